-- Second part of the prelude of take and reclaim: what may be worked, by whom.
-- A handout is what one call hands out: `rows` (lane index, id, delivery count, strikes, fields), `lost` refs, and how
-- many thousandths of slots the rows fill.

local function new_handout(request)
  return {rows = {}, lost = {}, filled = 0, draining = false, alone = false, request = request}
end

-- What a chunk fills of a slot, in thousandths: see settings.QueueLimits.share.
local function share(request, fields)
  local rows, bytes = tonumber(field(fields, 'rows')), tonumber(field(fields, 'payload_bytes'))
  if not rows or not bytes then return 1000 end
  local filled = math.max(math.ceil(rows * 1000 / request.slot_rows), math.ceil(bytes * 1000 / request.slot_bytes))
  return math.max(request.least_share, math.min(filled, 1000))
end

local function leave_suspect(handout, lane_index, id, count)
  local request = handout.request
  park(request.lanes[lane_index], request.group, id, SUSPECT, count, 0)
  wake(request.wakeup)
  if reserve_alone(request.alone_key, request.me, request.alone_ms) then handout.draining = true end
end

-- Takes up an entry that has just become ours, or leaves it to whoever may have it.
local function admit(handout, lane_index, id, fields)
  local request = handout.request
  local lane = request.lanes[lane_index]
  local _, count = owner_of(lane, request.group, id)
  local strikes = redis.call('SCARD', strikes_key(request.strikes_prefix, fields))
  if request.forbidden[LANES[lane_index] .. ':' .. id] or handout.alone then
    park(lane, request.group, id, RETURNED, count, request.lease_ms)
    return
  end
  if is_suspect(strikes, request.suspect_from, request.poison_from) then
    if request.held + #handout.rows > 0 then
      leave_suspect(handout, lane_index, id, count)
      return
    end
    handout.alone = true
  end
  handout.rows[#handout.rows + 1] = {lane_index, id, count, strikes, fields}
  handout.filled = handout.filled + share(request, fields)
end

-- Claims the first entry parked under `name` in a lane that we may work. True when there was one.
local function claim_parked(handout, lane_index, name)
  local request = handout.request
  local lane = request.lanes[lane_index]
  local rows = on_group('XPENDING', lane, request.group, '-', '+', request.forbidden_count + 1, name) or {}
  for _, row in ipairs(rows) do
    local id = row[1]
    if not request.forbidden[LANES[lane_index] .. ':' .. id] then
      local entry = redis.call('XCLAIM', lane, request.group, request.me, '0', id)[1]
      if entry then
        admit(handout, lane_index, id, entry[2])
      else
        redis.call('XACK', lane, request.group, id)
        handout.lost[#handout.lost + 1] = LANES[lane_index] .. ':' .. id
      end
      return true
    end
  end
  return false
end

-- ARGV from `at` on: the request that take and reclaim share.
local function read_request(at)
  local request = {
    lanes = {KEYS[1], KEYS[2], KEYS[3], KEYS[4]},
    wakeup = KEYS[5], alone_key = KEYS[6], strikes_prefix = KEYS[7],
    group = ARGV[1], me = ARGV[2], want = tonumber(ARGV[3]), held = tonumber(ARGV[4]), lease_ms = tonumber(ARGV[5]),
    suspect_from = tonumber(ARGV[6]), poison_from = tonumber(ARGV[7]), alone_ms = tonumber(ARGV[5]),
    slot_rows = tonumber(ARGV[8]), slot_bytes = tonumber(ARGV[9]), least_share = tonumber(ARGV[10]),
    forbidden = {}, forbidden_count = #ARGV - at + 1,
  }
  for i = at, #ARGV do request.forbidden[ARGV[i]] = true end
  return request
end
