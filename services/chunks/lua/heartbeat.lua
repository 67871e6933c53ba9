-- flags: allow-oom
-- Renews the lease of each entry that the consumer still owns (name and delivery count); answers 1 or 0 for each.
-- A plain XCLAIM by a stalled worker would steal the entry back: hence the question first. JUSTID keeps the count.
-- KEYS: the four lanes. ARGV: group, consumer, then lane index, id, delivery count of each.
local answers = {}
for i = 3, #ARGV, 3 do
  local lane, id = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
  local renewed = 0
  if owns(lane, ARGV[1], id, ARGV[2], ARGV[i + 2]) then
    renewed = #redis.call('XCLAIM', lane, ARGV[1], ARGV[2], '0', id, 'JUSTID')
  end
  answers[#answers + 1] = renewed
end
return answers
