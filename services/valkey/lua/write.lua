-- flags: allow-oom
-- Does Valkey take writes? One that is read-only, cannot save or misses its replicas answers PING all the same.
-- KEYS: a key of no use. ARGV: its lifetime (ms).
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1
