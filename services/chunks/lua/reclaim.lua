-- flags: allow-oom
-- Claims chunks whose lease ran out, until they fill `want` thousandths of slots, going on where the last round stopped.
-- KEYS: the four lanes, wakeup, alone, strikes prefix.
-- ARGV: group, consumer, want, held, lease ms, suspect from, poison from, rows and bytes of a slot, least share, the four
--       cursors, then refs that this consumer must not get.
local request = read_request(15)
local handout = new_handout(request)
local cursors = {ARGV[11], ARGV[12], ARGV[13], ARGV[14]}
for lane_index = 1, 4 do
  -- As many at a time as there is room for should each fill a slot; small ones leave room for more.
  local more = true
  while more and handout.filled < request.want and not handout.alone do
    local room = math.ceil((request.want - handout.filled) / 1000)
    local lane = request.lanes[lane_index]
    local reply = on_group('XAUTOCLAIM', lane, request.group, request.me, request.lease_ms, cursors[lane_index], 'COUNT', room)
    if reply == nil then
      create_group(lane, request.group)
      cursors[lane_index] = '0-0'
      more = false
    else
      cursors[lane_index] = reply[1]
      for _, entry in ipairs(reply[2]) do admit(handout, lane_index, entry[1], entry[2]) end
      for _, id in ipairs(reply[3] or {}) do handout.lost[#handout.lost + 1] = LANES[lane_index] .. ':' .. id end
      more = #reply[2] > 0 and reply[1] ~= '0-0'
    end
  end
end
return {handout.rows, handout.lost, handout.draining and 1 or 0, cursors}
