-- flags: allow-oom
-- May a request start now? Requests per second and tokens per second, both or neither.
--
-- ARGV    tokens of this request, who asks: bulk, search or probe
--
-- Answers {1, 0, tokens/s} start now | {0, microseconds, tokens/s} ask again then | {-1, 0, '0'} the account is blocked.
-- tokens/s: the rate in force, a text of six decimals; 0: none.
--
-- Post-paid (GCRA with no burst): `requests_at` and `tokens_at` are when the cost of what has started is repaid.
local tokens, who = tonumber(ARGV[ASKED + 1]), ARGV[ASKED + 2]
local search = who == 'search'

if who ~= 'probe' and redis.call('EXISTS', KEYS[2]) == 1 then return {-1, 0, '0'} end

local state = load()
local factor = factor_of(state)
local rate = taught(RATE, state.learned_rate, state.learned_rate_at) * factor
local per_second = taught(PER_SECOND, state.learned_tokens, state.learned_tokens_at) * factor

-- A limit that was configured higher since must not wait out the debts of the old one.
local function due(name, longest)
  if state[name] > now + longest then
    state[name] = now + longest
    save({[name] = state[name]})
  end
  return state[name]
end

local at = math.max(now, state.pause_until or 0)
if rate > 0 then at = math.max(at, due('requests_at', DEBT + 1 / rate)) end
if per_second > 0 then at = math.max(at, due('tokens_at', DEBT + math.max(LARGEST, tokens) / per_second)) end
local free_at = at
if not search then at = math.max(at, state.search_until or 0) end

if at > now then
  if search then save({search_until = free_at + SEARCH_HOLD}) end
  return {0, math.ceil((at - now) * 1e6), string.format('%.6f', per_second)}
end

local changes = {}
if rate > 0 then changes.requests_at = math.max(state.requests_at, now - CREDIT) + 1 / rate end
if per_second > 0 then changes.tokens_at = math.max(state.tokens_at, now) + tokens / per_second end
-- Others may be waiting behind this search: they ask within the hold.
if search then changes.search_until = now + SEARCH_HOLD end

-- What starts in this second and in the one before: the limit to learn, should a 429 come.
local second = math.floor(now)
if state.second == second then
  changes.second_requests = (state.second_requests or 0) + 1
  changes.second_tokens = (state.second_tokens or 0) + tokens
else
  changes.second, changes.second_requests, changes.second_tokens = second, 1, tokens
  changes.last_requests, changes.last_tokens = state.second_requests or 0, state.second_tokens or 0
end
save(changes)
return {1, 0, string.format('%.6f', per_second)}
