-- flags: allow-oom
-- Takes a terminal task's chunks off the queue, but for those that an embedder works on: they end by its ack. Forgets
-- its defects, and the strikes of all others: nobody will work them again.
-- KEYS: inflight, bytes, the four lanes, defects, then strikes that the task has. ARGV: group, then the chunk of each of
--       these. Answers how many it took off.
local lanes, cleared = {}, 0
for i, name in ipairs(LANES) do lanes[name] = KEYS[2 + i] end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local chunk, ref = all[i], all[i + 1]
  local lane, id = string.match(ref, '^(%a+):(.+)$')
  lane = lane and lanes[lane]
  local owner = lane and owner_of(lane, ARGV[1], id)
  local worked = owner and owner ~= RETURNED and owner ~= SUSPECT and #redis.call('XRANGE', lane, id, id) > 0
  if not worked then
    if lane then
      on_group('XACK', lane, ARGV[1], id)
      redis.call('XDEL', lane, id)
    end
    redis.call('HDEL', KEYS[2], ref)
    redis.call('HDEL', KEYS[1], chunk)
    cleared = cleared + 1
  end
end
redis.call('DEL', KEYS[7])
for i = 8, #KEYS do
  if redis.call('HEXISTS', KEYS[1], ARGV[i - 6]) == 0 then redis.call('DEL', KEYS[i]) end
end
return cleared
