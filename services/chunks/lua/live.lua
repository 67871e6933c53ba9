-- flags: allow-oom
-- KEYS: presence. Answers name, slots of each process that is alive.
local now, live = now_ms(), {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local expires, slots = string.match(all[i + 1], '^(%d+) (%d+)$')
  if tonumber(expires) > now then
    live[#live + 1] = all[i]
    live[#live + 1] = slots
  end
end
return live
