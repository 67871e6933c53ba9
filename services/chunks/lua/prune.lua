-- flags: allow-oom
-- Drops what nobody will ever get from a task's in-flight chunks. Answers the chunks that stay and those that went.
-- KEYS: inflight, bytes, the four lanes. ARGV: group.
local kept, dropped = {}, {}
local lanes = {}
for i, name in ipairs(LANES) do lanes[name] = KEYS[2 + i] end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local chunk, ref = all[i], all[i + 1]
  local lane, id = string.match(ref, '^(%a+):(.+)$')
  if lane and lanes[lane] and alive(lanes[lane], ARGV[1], id) then
    kept[#kept + 1] = chunk
    kept[#kept + 1] = ref
  else
    if lane and lanes[lane] then redis.call('XDEL', lanes[lane], id) end
    redis.call('HDEL', KEYS[2], ref)
    redis.call('HDEL', KEYS[1], chunk)
    dropped[#dropped + 1] = chunk
    dropped[#dropped + 1] = ref
  end
end
return {kept, dropped}
