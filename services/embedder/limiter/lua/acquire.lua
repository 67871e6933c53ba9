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
-- A search goes before bulk, but for bulk's share: where both wait, bulk is first once what it started last is repaid
-- twice over, so that it has half of each limit while searches could use all of it.
local bulk_first = (rate > 0 or per_second > 0) and (state.bulk_at or 0) <= free_at + 1e-6
if search then
  if bulk_first then at = math.max(at, math.min(state.bulk_until or 0, free_at + HOLD)) end
elseif not bulk_first then
  at = math.max(at, state.search_until or 0)
end

if at > now then
  save({[search and 'search_until' or 'bulk_until'] = at + HOLD})
  return {0, math.ceil((at - now) * 1e6), string.format('%.6f', per_second)}
end

local changes = {permits = (state.permits or 0) + 1}
if not search then
  changes.bulk_at = now
  if rate > 0 then changes.bulk_at = math.max(state.requests_at, now - CREDIT) + 2 / rate end
  if per_second > 0 then changes.bulk_at = math.max(changes.bulk_at, now + 2 * tokens / per_second) end
end
if rate > 0 then changes.requests_at = math.max(state.requests_at, now - CREDIT) + 1 / rate end
if per_second > 0 then changes.tokens_at = math.max(state.tokens_at, now) + tokens / per_second end
-- Others may be waiting behind this search: they ask within the hold.
if search then changes.search_until = now + HOLD end

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
