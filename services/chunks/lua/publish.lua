-- flags: none, so that a full Valkey refuses it as a whole (OOM) before anything is written.
-- Publishes one chunk under the splitting lease, the task's window and the queue's byte budget; or, dry, says whether it could.
-- KEYS: split, inflight, bytes, presence of the embedders, wakeup, the four lanes.
-- ARGV: token, split lease ms, chunk, lane index, window per slot (in thousandths), window floor, queue bytes, group, size
--       (0: sum of the fields), dry (1 or 0), share of a slot (in thousandths), then the fields of the entry.
local split, inflight, bytes, embedders, wakeup = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, lease_ms, chunk, lane_index = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local group, size, dry = ARGV[8], tonumber(ARGV[9]), ARGV[10] == '1'
local lanes = {}
for i, name in ipairs(LANES) do lanes[name] = KEYS[5 + i] end

if redis.call('GET', split) ~= token then return 'LEASE_LOST' end
redis.call('PEXPIRE', split, lease_ms)

local function forget(ref)
  local lane, id = string.match(ref, '^(%a+):(.+)$')
  redis.call('XDEL', lanes[lane], id)
  redis.call('HDEL', bytes, ref)
end

local published = redis.call('HGET', inflight, chunk)
if published then
  local lane, id = string.match(published, '^(%a+):(.+)$')
  if alive(lanes[lane], group, id) then return 'ALREADY' end
  forget(published)
  redis.call('HDEL', inflight, chunk)
end

local slots, now = 0, now_ms()
local present = redis.call('HGETALL', embedders)
for i = 1, #present, 2 do
  local expires, count = string.match(present[i + 1], '^(%d+) (%d+)$')
  if tonumber(expires) > now then slots = slots + tonumber(count) end
end
local window = math.max(math.floor(slots * tonumber(ARGV[5]) / tonumber(ARGV[11])), tonumber(ARGV[6]))
if redis.call('HLEN', inflight) >= window then return 'FULL' end

if size == 0 then
  for i = 12, #ARGV do size = size + #ARGV[i] end
end
local total, length = queue_bytes(bytes, lanes)
if length > 0 and total + size > tonumber(ARGV[7]) then return 'FULL' end
if dry then return 'PUBLISHED' end

local entry = {}
for i = 12, #ARGV do entry[#entry + 1] = ARGV[i] end
local id = redis.call('XADD', KEYS[5 + lane_index], '*', unpack(entry))
local ref = LANES[lane_index] .. ':' .. id
redis.call('HSET', inflight, chunk, ref)
redis.call('HSET', bytes, ref, size)
wake(wakeup)
return 'PUBLISHED'
