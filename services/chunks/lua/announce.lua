-- flags: allow-oom
-- Says that a process is alive with so many slots, until its time runs out; drops those whose time did.
-- KEYS: presence. ARGV: name, slots, ttl ms.
local now = now_ms()
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^(%d+)')) <= now then redis.call('HDEL', KEYS[1], all[i]) end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d', now + tonumber(ARGV[3]), tonumber(ARGV[2])))
return 1
