-- flags: allow-oom
-- Adds (1) or removes (0) one strike (or defect) of each chunk; a token is one strike however often it is sent. Answers
-- how many each has.
-- KEYS: strikes of each. ARGV: token, add, ttl ms.
local counts = {}
for i, strikes in ipairs(KEYS) do
  if ARGV[2] == '1' then
    redis.call('SADD', strikes, ARGV[1])
    redis.call('PEXPIRE', strikes, ARGV[3])
  else
    redis.call('SREM', strikes, ARGV[1])
  end
  counts[i] = redis.call('SCARD', strikes)
end
return counts
