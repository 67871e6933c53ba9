-- flags: none
-- Takes one request out of a bucket. KEYS: the bucket, holding when it is full again (microseconds since 1970).
-- ARGV: microseconds that one request costs, microseconds that a full bucket holds.
-- Returns 0, or the microseconds until it is worth asking again.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, depth = tonumber(ARGV[1]), tonumber(ARGV[2])
-- A clock that was set back must not lock a key out for longer than an empty bucket does.
local full_at = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now), now + depth) + cost
if full_at - now > depth then
  return full_at - now - depth
end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1000)
return 0
