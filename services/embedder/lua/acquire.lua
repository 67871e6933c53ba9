-- May a request start now? Requests per second and tokens per second, both or neither.
--
-- KEYS[1] state (hash)   KEYS[2] account block (string)
-- ARGV    rate (requests/s, 0: none), tokens/s (0: none), tokens of this request, 1 for search,
--         late credit (s), starting debt (s), largest request (tokens), seconds a waiting search refuses bulk
--
-- Answers {1, 0} start now | {0, microseconds} ask again then | {-1, 0} the account is blocked.
--
-- Post-paid (GCRA with no burst): `requests_at` and `tokens_at` are when the cost of what has started is repaid.
local rate, per_second, tokens = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local search, credit, debt = ARGV[4] == '1', tonumber(ARGV[5]), tonumber(ARGV[6])
local largest, search_hold = tonumber(ARGV[7]), tonumber(ARGV[8])

if redis.call('EXISTS', KEYS[2]) == 1 then return {-1, 0} end

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

local names = {'requests_at', 'tokens_at', 'pause_until', 'factor', 'factor_at', 'search_until',
               'learned_rate', 'learned_tokens', 'learned_at', 'second', 'second_requests', 'second_tokens'}
local raw, state = redis.call('HMGET', KEYS[1], unpack(names)), {}
for i, name in ipairs(names) do state[name] = raw[i] and tonumber(raw[i]) or nil end

-- An absent key may be a flush or a restart right after a burst: start in debt, never double the spend.
if not state.requests_at then
  state.requests_at, state.tokens_at = now + debt, now + debt
  redis.call('HSET', KEYS[1], 'requests_at', string.format('%.6f', state.requests_at),
             'tokens_at', string.format('%.6f', state.tokens_at))
end

-- Slowly back from a 429: two per cent of the limit a second.
local factor = 1
if state.factor then factor = math.min(1, state.factor + 0.02 * math.max(0, now - (state.factor_at or now))) end
local function ceiling(configured, learned)
  local limit = configured
  if learned then
    learned = learned * (1 + 0.02 * math.max(0, now - (state.learned_at or now)))
    if limit == 0 or learned < limit then limit = learned end
  end
  return limit * factor
end
rate = ceiling(rate, state.learned_rate)
per_second = ceiling(per_second, state.learned_tokens)

-- A clock that stepped back (failover) must not stall the line: no debt is larger than one request's.
local at = now
if state.pause_until then at = math.max(at, math.min(state.pause_until, now + 3600)) end
if rate > 0 then
  state.requests_at = math.min(state.requests_at, now + debt + 1 / rate)
  at = math.max(at, state.requests_at)
end
if per_second > 0 then
  state.tokens_at = math.min(state.tokens_at, now + debt + largest / per_second)
  at = math.max(at, state.tokens_at)
end
if not search and state.search_until and state.search_until > now then
  at = math.max(at, math.min(state.search_until, now + 10))
end

if at > now then
  if search then
    redis.call('HSET', KEYS[1], 'search_until', string.format('%.6f', at + search_hold))
  end
  return {0, math.ceil((at - now) * 1e6)}
end

if rate > 0 then state.requests_at = math.max(state.requests_at, now - credit) + 1 / rate end
if per_second > 0 then state.tokens_at = math.max(state.tokens_at, now) + tokens / per_second end

-- What starts in this second: the ceiling to learn from, should a 429 come.
local second = math.floor(now)
local requests_now, tokens_now = 1, tokens
if state.second == second then
  requests_now, tokens_now = (state.second_requests or 0) + 1, (state.second_tokens or 0) + tokens
end
redis.call('HSET', KEYS[1],
  'requests_at', string.format('%.6f', state.requests_at), 'tokens_at', string.format('%.6f', state.tokens_at),
  'second', second, 'second_requests', requests_now, 'second_tokens', tokens_now)
if search then redis.call('HDEL', KEYS[1], 'search_until') end
return {1, 0}
