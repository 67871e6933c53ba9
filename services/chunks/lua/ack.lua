-- flags: allow-oom
-- Takes a chunk off the queue for its owner: pending list, stream, in-flight, byte book; once it is settled, its strikes
-- too. One that is not will be split again, and is as dangerous then.
-- KEYS: lane, inflight, bytes, strikes. ARGV: group, consumer, id, delivery count, chunk, ref, settled (1 or 0).
local lane, inflight, bytes, strikes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if not owns(lane, ARGV[1], ARGV[3], ARGV[2], ARGV[4]) then return 0 end
redis.call('XACK', lane, ARGV[1], ARGV[3])
redis.call('XDEL', lane, ARGV[3])
redis.call('HDEL', bytes, ARGV[6])
if redis.call('HGET', inflight, ARGV[5]) == ARGV[6] then redis.call('HDEL', inflight, ARGV[5]) end
if ARGV[7] == '1' then redis.call('DEL', strikes) end
return 1
