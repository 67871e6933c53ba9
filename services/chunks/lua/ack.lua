-- flags: allow-oom
-- Takes chunks off the queue for their owner: pending list, stream, in-flight, byte book; once they are over (settled, or
-- their task has ended), their strikes too. Others will be split again, and are as dangerous then. Answers 1 or 0 (not
-- the owner) for each.
-- KEYS: bytes, then lane, inflight, strikes of each. ARGV: group, consumer, over (1 or 0), then id, delivery count,
--       chunk, ref of each.
local bytes, group, consumer, over = KEYS[1], ARGV[1], ARGV[2], ARGV[3] == '1'

local function ack(lane, inflight, strikes, id, count, chunk, ref)
  if not owns(lane, group, id, consumer, count) then return 0 end
  redis.call('XACK', lane, group, id)
  redis.call('XDEL', lane, id)
  redis.call('HDEL', bytes, ref)
  if redis.call('HGET', inflight, chunk) == ref then redis.call('HDEL', inflight, chunk) end
  if over then redis.call('DEL', strikes) end
  return 1
end

local answers = {}
for i = 1, (#KEYS - 1) / 3 do
  local key, arg = 3 * i - 1, 4 * i
  answers[i] = ack(KEYS[key], KEYS[key + 1], KEYS[key + 2], ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3])
end
return answers
