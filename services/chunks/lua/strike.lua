-- flags: allow-oom
-- Adds (1) or removes (0) one strike (or defect); a token is one strike however often it is sent. Answers how many there are.
-- KEYS: strikes. ARGV: token, add, ttl ms.
if ARGV[2] == '1' then
  redis.call('SADD', KEYS[1], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  redis.call('SREM', KEYS[1], ARGV[1])
end
return redis.call('SCARD', KEYS[1])
