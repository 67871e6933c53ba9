-- flags: allow-oom
-- Gives a chunk back for its owner with the count it had before this delivery; the next taker may have it at once.
-- KEYS: lane, wakeup, strikes. ARGV: group, consumer, id, delivery count, lease ms, suspect from, poison from.
local lane, group, id, count = KEYS[1], ARGV[1], ARGV[3], tonumber(ARGV[4])
if not owns(lane, group, id, ARGV[2], count) then return 0 end
if is_suspect(redis.call('SCARD', KEYS[3]), tonumber(ARGV[6]), tonumber(ARGV[7])) then
  park(lane, group, id, SUSPECT, count, 0)
else
  park(lane, group, id, RETURNED, count, ARGV[5])
end
wake(KEYS[2])
return 1
