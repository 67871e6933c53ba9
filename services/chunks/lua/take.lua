-- flags: allow-oom
-- Hands out chunks until they fill `want` thousandths of slots: suspects first to who holds nothing, then the lanes in weighted turns, in each
-- what was handed back before what is new.
-- KEYS: the four lanes, wakeup, alone, strikes prefix.
-- ARGV: group, consumer, want, held, lease ms, suspect from, poison from, rows and bytes of a slot, least share, turn,
--       schedule (a digit a turn), then refs that this consumer must not get.
local request = read_request(13)
local turn, schedule = tonumber(ARGV[11]), ARGV[12]
local handout = new_handout(request)
local wakeups = redis.call('XREVRANGE', request.wakeup, '+', '-', 'COUNT', 1)
local wakeup = wakeups[1] and wakeups[1][1] or '0-0'

local function answer()
  return {handout.rows, handout.lost, handout.draining and 1 or 0, turn, wakeup}
end

for lane_index = 1, 4 do
  if request.held == 0 then
    while #handout.rows == 0 and claim_parked(handout, lane_index, SUSPECT) do end
  else
    local waiting = on_group('XPENDING', request.lanes[lane_index], request.group, '-', '+', 1, SUSPECT) or {}
    if #waiting > 0 and reserve_alone(request.alone_key, request.me, request.alone_ms) then handout.draining = true end
  end
end
if handout.draining then return answer() end
if request.held == 0 and redis.call('GET', request.alone_key) == request.me then redis.call('DEL', request.alone_key) end

local function read_new(lane_index)
  local lane = request.lanes[lane_index]
  local read = {'XREADGROUP', 'GROUP', request.group, request.me, 'COUNT', '1', 'STREAMS', lane, '>'}
  local reply = on_group(unpack(read))
  if reply == nil then
    create_group(lane, request.group)
    reply = redis.call(unpack(read))
  end
  if not reply then return false end
  local entry = reply[1][2][1]
  admit(handout, lane_index, entry[1], entry[2])
  return true
end

local dry, dry_count = {}, 0
while handout.filled < request.want and dry_count < 4 and not handout.alone and not handout.draining do
  local lane_index = tonumber(string.sub(schedule, turn + 1, turn + 1))
  turn = (turn + 1) % #schedule
  if not dry[lane_index] and not claim_parked(handout, lane_index, RETURNED) and not read_new(lane_index) then
    dry[lane_index] = true
    dry_count = dry_count + 1
  end
end
return answer()
