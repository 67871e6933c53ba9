-- flags: allow-oom
-- Takes the splitting lease of a task when nobody has it. Asking again with the same token says yes again.
-- KEYS: split. ARGV: token, lease ms.
if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
