-- flags: allow-oom
-- Counts a drive of a task that failed inside, for the holder of its splitting lease; a token counts once. Answers how
-- many there are; 0: it is not the holder, and nothing is counted.
-- KEYS: split, defects. ARGV: token of the lease, token, ttl ms.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return redis.call('SCARD', KEYS[2])
