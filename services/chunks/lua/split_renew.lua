-- flags: allow-oom
-- Extends the splitting lease of its holder; never brings a lost one back.
-- KEYS: split. ARGV: token, lease ms.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
