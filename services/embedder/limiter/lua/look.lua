-- flags: allow-oom
-- What the limiter is like now. Changes nothing: neither an absent state nor a clock that stepped back is put right.
--
-- Answers requests/s, tokens/s, factor, seconds of pause, seconds until the next start, requests that were let start,
-- answers 429 (texts, six decimals), and why the account is blocked ('' when it is not).
local raw, state = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #raw, 2 do state[raw[i]] = tonumber(raw[i + 1]) end
-- Where nothing is stored yet, the first question would find the starting debt.
if not state.requests_at or not state.tokens_at then
  state = {tokens_at = now + DEBT, requests_at = now + (RATE > 0 and math.max(DEBT, 1 / RATE) or DEBT)}
end
local back = math.max(0, (state.seen_at or now) - now)
if back <= 0.001 then back = 0 end
for _, name in ipairs(TIMES) do
  if state[name] then state[name] = state[name] - back end
end

local factor = factor_of(state)
local rate = taught(RATE, state.learned_rate, state.learned_rate_at) * factor
local per_second = taught(PER_SECOND, state.learned_tokens, state.learned_tokens_at) * factor
local pause = math.max(0, (state.pause_until or 0) - now)
local wait = pause
if rate > 0 then wait = math.max(wait, math.min(state.requests_at - now, DEBT + 1 / rate)) end
if per_second > 0 then wait = math.max(wait, math.min(state.tokens_at - now, DEBT + LARGEST / per_second)) end

local answer = {}
for i, number in ipairs({rate, per_second, factor, pause, wait, state.permits or 0, state.refused or 0}) do answer[i] = string.format('%.6f', number) end
answer[8] = redis.call('GET', KEYS[2]) or ''
return answer
