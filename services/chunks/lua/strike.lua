-- flags: allow-oom
-- Adds one strike to each chunk that the consumer has in hand; a token is one strike however often it is sent. Who has
-- lost the chunk writes nothing: it may be settled, and its task over, and nobody would ever take the strike back.
-- Answers how many each has; 0: not the owner.
-- KEYS: lane, strikes of each. ARGV: group, consumer, token, ttl ms, then id, delivery count of each.
local function strike(lane, strikes, id, count)
  if not owns(lane, ARGV[1], id, ARGV[2], count) then return 0 end
  -- Deleted while pending: the chunk is published again, and another's.
  if #redis.call('XRANGE', lane, id, id) == 0 then return 0 end
  redis.call('SADD', strikes, ARGV[3])
  redis.call('PEXPIRE', strikes, ARGV[4])
  return redis.call('SCARD', strikes)
end

local counts = {}
for i = 1, #KEYS / 2 do counts[i] = strike(KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 * i + 3], ARGV[2 * i + 4]) end
return counts
