-- flags: none
-- Adds to a sum once, however often the same call arrives: numbers grow, and one that is not above the last is in already.
-- KEYS: the sum; a hash of each process's last number. ARGV: process, number, amount, lifetime of both (s).
if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0) then
  redis.call('INCRBY', KEYS[1], ARGV[3])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
return 1
