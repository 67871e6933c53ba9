-- flags: allow-oom
-- Remembers a number for a while, unless a smaller one is known: then that goes on to be.
-- KEYS: the number. ARGV: number, lifetime (ms). Answers the one that holds.
local known = tonumber(redis.call('GET', KEYS[1]) or '')
local least = math.min(known or tonumber(ARGV[1]), tonumber(ARGV[1]))
if least ~= known then redis.call('SET', KEYS[1], string.format('%d', least), 'PX', ARGV[2]) end
return least
