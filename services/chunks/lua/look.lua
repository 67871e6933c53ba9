-- flags: allow-oom
-- What is in the queue. KEYS: bytes, the four lanes. ARGV: group.
-- Answers now ms, bytes, and for each lane: entries, waiting (not in the hands of an embedder), id of the oldest,
-- pending of each consumer (name, count, …), bytes.
local named = {}
for i, name in ipairs(LANES) do named[name] = KEYS[1 + i] end
local total = queue_bytes(KEYS[1], named)
local sizes, book = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #book, 2 do
  local name = string.match(book[i], '^(%a+):')
  sizes[name] = (sizes[name] or 0) + tonumber(book[i + 1])
end
local lanes = {}
for i = 1, 4 do
  local lane = KEYS[1 + i]
  local entries = redis.call('XLEN', lane)
  local oldest = redis.call('XRANGE', lane, '-', '+', 'COUNT', 1)[1]
  local summary = on_group('XPENDING', lane, ARGV[1])
  local worked, consumers = 0, {}
  for _, row in ipairs(summary and summary[4] or {}) do
    if row[1] ~= RETURNED and row[1] ~= SUSPECT then
      worked = worked + tonumber(row[2])
      consumers[#consumers + 1] = row[1]
      consumers[#consumers + 1] = row[2]
    end
  end
  lanes[i] = {entries, math.max(entries - worked, 0), oldest and oldest[1] or '', consumers, sizes[LANES[i]] or 0}
end
return {now_ms(), total, lanes}
