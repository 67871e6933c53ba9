-- flags: allow-oom
-- A 429 came: one pause for every replica, and a slower rate after it.
--
-- ARGV    seconds to pause, which limit was exceeded (requests or tokens), the limit a second that the provider named
--         (0: none), drop (0.7), seconds between drops (5), for how long a named limit is taken at its word (s)
local seconds, what, named = tonumber(ARGV[ASKED + 1]), ARGV[ASKED + 2], tonumber(ARGV[ASKED + 3])
local drop, between, word_seconds = tonumber(ARGV[ASKED + 4]), tonumber(ARGV[ASKED + 5]), tonumber(ARGV[ASKED + 6])

local state = load()
local until_ = math.max(state.pause_until or 0, now + math.min(math.max(seconds, 0), LONGEST_PAUSE))
local changes = {pause_until = until_, refused = (state.refused or 0) + 1}

-- Answers that were under way when the first 429 came are not further reasons to slow down.
if not state.dropped_at or now - state.dropped_at >= between then
  changes.factor = math.max(0.05, factor_of(state) * drop)
  changes.factor_at, changes.dropped_at = until_, now -- the climb back begins when the pause ends

  local by_tokens = what == 'tokens'
  local name = by_tokens and 'learned_tokens' or 'learned_rate'
  local configured = by_tokens and PER_SECOND or RATE
  local started = math.max(1, state[by_tokens and 'second_tokens' or 'second_requests'] or 0,
                           state[by_tokens and 'last_tokens' or 'last_requests'] or 0)
  local limit = taught(configured, state[name], state[name .. '_at'])
  if named > 0 then
    changes[name], changes[name .. '_at'] = named, until_ + word_seconds
  elseif configured == 0 then
    -- Without any limit the 429 teaches one: what had started in a second.
    changes[name], changes[name .. '_at'] = limit > 0 and math.min(limit, started) or started, until_
  end
end
save(changes)
return 1
