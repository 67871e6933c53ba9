-- A 429 came: one pause for every replica, and a slower rate after it.
--
-- KEYS[1] state (hash)
-- ARGV    seconds to pause, drop (0.7), seconds between drops (5), 1 when the configured rate is 0,
--         1 when the configured token limit is 0, requests or tokens: what was exceeded
local seconds, drop, between = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local raw = redis.call('HMGET', KEYS[1], 'pause_until', 'factor', 'factor_at', 'second_requests', 'second_tokens',
                       'learned_rate', 'learned_tokens', 'dropped_at')

local until_ = math.max(tonumber(raw[1] or '0'), now + seconds)
redis.call('HSET', KEYS[1], 'pause_until', string.format('%.6f', until_))

-- `factor_at` is when the last drop's pause ends, from where the climb back counts.
local factor_at, dropped_at = tonumber(raw[3] or '0'), tonumber(raw[8] or '0')
if now - dropped_at < between then return 0 end
local factor = 1
if raw[2] then factor = math.min(1, tonumber(raw[2]) + 0.02 * math.max(0, now - factor_at)) end

-- Without a configured limit the first 429 teaches one: what had started in that second.
if ARGV[6] == 'tokens' and ARGV[5] == '1' and not raw[7] then
  redis.call('HSET', KEYS[1], 'learned_tokens', math.max(1, tonumber(raw[5] or '1')), 'learned_at', now)
elseif ARGV[6] ~= 'tokens' and ARGV[4] == '1' and not raw[6] then
  redis.call('HSET', KEYS[1], 'learned_rate', math.max(1, tonumber(raw[4] or '1')), 'learned_at', now)
end
redis.call('HSET', KEYS[1], 'factor', math.max(0.05, factor * drop),
           'factor_at', string.format('%.6f', until_), 'dropped_at', string.format('%.6f', now))
return 1
