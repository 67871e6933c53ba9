-- flags: allow-oom
-- Removes consumers that hold nothing and are neither alive nor recently seen; with a name, only that one, at once.
-- Check and removal are one script: XGROUP DELCONSUMER drops what is pending, and nobody would ever read it again.
-- KEYS: presence of the embedders, the four lanes. ARGV: group, idle ms, name or ''. Answers the names.
local now, gone = now_ms(), {}
for i = 1, 4 do
  for _, flat in ipairs(on_group('XINFO', 'CONSUMERS', KEYS[1 + i], ARGV[1]) or {}) do
    local facts = {}
    for j = 1, #flat, 2 do facts[flat[j]] = flat[j + 1] end
    local name = facts['name']
    local wanted
    if ARGV[3] ~= '' then
      wanted = name == ARGV[3]
    else
      local presence = redis.call('HGET', KEYS[1], name)
      local live = presence and tonumber(string.match(presence, '^(%d+)')) > now
      wanted = not live and facts['idle'] >= tonumber(ARGV[2])
    end
    if wanted and facts['pending'] == 0 then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[1 + i], ARGV[1], name)
      gone[#gone + 1] = name
    end
  end
end
return gone
