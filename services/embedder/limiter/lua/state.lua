-- What every script of the limiter begins with: its arguments, the clock, the state.
--
-- KEYS[1] state (hash)   KEYS[2] account block (string)
-- ARGV    1 requests/s (0: none)  2 tokens/s (0: none)  3 largest request (tokens)  4 late credit (s)
--         5 starting debt (s)     6 what who waits holds a turn for, beyond the moment it was told to ask again (s)
--         7 longest pause (s)     then what the script itself is asked
local RATE, PER_SECOND, LARGEST = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local CREDIT, DEBT, HOLD = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local LONGEST_PAUSE = tonumber(ARGV[7])
local ASKED = 7 -- the script's own arguments follow this one

local CLIMB = 0.02 -- of the limit, a second
local TIMES = {'requests_at', 'tokens_at', 'pause_until', 'factor_at', 'dropped_at', 'learned_rate_at',
               'learned_tokens_at', 'search_until', 'bulk_until', 'bulk_at'}

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

-- Nine decimals: a time of day in all its bits, and a limit of one a minute (0.016666667 a second) to the microsecond.
local function save(changes)
  local flat = {'seen_at', string.format('%.9f', now)}
  for name, value in pairs(changes) do
    flat[#flat + 1] = name
    flat[#flat + 1] = string.format('%.9f', value)
  end
  redis.call('HSET', KEYS[1], unpack(flat))
end

local function load()
  local raw, state = redis.call('HGETALL', KEYS[1]), {}
  for i = 1, #raw, 2 do state[raw[i]] = tonumber(raw[i + 1]) end

  -- An absent key may be a flush or a restart right after a burst: start in debt, never double the spend.
  if not state.requests_at or not state.tokens_at then
    state = {tokens_at = now + DEBT, requests_at = now + (RATE > 0 and math.max(DEBT, 1 / RATE) or DEBT)}
    save(state)
    return state
  end

  -- A clock that stepped back (a failover, an operator) takes its times along: what was to come stays as far away.
  local back = (state.seen_at or now) - now
  if back > 0.001 then
    local moved = {}
    for _, name in ipairs(TIMES) do
      if state[name] then
        state[name] = state[name] - back
        moved[name] = state[name]
      end
    end
    save(moved)
  end
  return state
end

-- Slowly back from a 429.
local function factor_of(state)
  if not state.factor then return 1 end
  return math.min(1, state.factor + CLIMB * math.max(0, now - (state.factor_at or now)))
end

-- The limit before the factor: the configured one (0: none), tightened by what a 429 taught.
local function taught(configured, learned, since)
  if not learned then return configured end
  learned = learned * (1 + CLIMB) ^ math.min(2000, math.max(0, now - (since or now)))
  if configured == 0 or learned < configured then return learned end
  return configured
end
