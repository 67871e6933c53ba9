-- flags: allow-oom
-- SET for what is small and must be known while Valkey is full: that the account refuses, who probes it.
-- KEYS: the key. ARGV: value, lifetime (ms), only where there is none (1 or 0). Answers 1 when it was set.
if ARGV[3] == '1' then
  return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') and 1 or 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
