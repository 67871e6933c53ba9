-- flags: allow-oom
-- Claims chunks whose lease ran out, at most `want` over all lanes, going on where the last round stopped.
-- KEYS: the four lanes, wakeup, alone, strikes prefix.
-- ARGV: group, consumer, want, held, lease ms, suspect from, poison from, the four cursors, then refs that this consumer
--       must not get.
local request = read_request(12)
local handout = new_handout(request)
local cursors = {ARGV[8], ARGV[9], ARGV[10], ARGV[11]}
for lane_index = 1, 4 do
  local room = request.want - #handout.rows
  if room > 0 and not handout.alone then
    local lane = request.lanes[lane_index]
    local reply = on_group('XAUTOCLAIM', lane, request.group, request.me, request.lease_ms, cursors[lane_index], 'COUNT', room)
    if reply == nil then
      create_group(lane, request.group)
      cursors[lane_index] = '0-0'
    else
      cursors[lane_index] = reply[1]
      for _, entry in ipairs(reply[2]) do admit(handout, lane_index, entry[1], entry[2]) end
      for _, id in ipairs(reply[3] or {}) do handout.lost[#handout.lost + 1] = LANES[lane_index] .. ':' .. id end
    end
  end
end
return {handout.rows, handout.lost, handout.draining and 1 or 0, cursors}
