-- What several scripts share; the loader puts it in front of each. Every key carries the hash tag {vectorline}, so a
-- script never leaves its slot, also where it builds a key (strikes) from what it reads in an entry.
local LANES = {'first', 'high', 'normal', 'low'}
-- Not processes: pending entries of these names wait for the next taker. SUSPECT ones go to an embedder that holds
-- nothing else.
local RETURNED, SUSPECT = '~returned', '~suspect'

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function is_nogroup(reply)
  local err = type(reply) == 'table' and reply.err
  return err and (string.find(err, 'NOGROUP', 1, true) or string.find(err, 'no such key', 1, true)) ~= nil
end

-- The reply of a command on a group, or nil where stream or group do not exist.
local function on_group(...)
  local reply = redis.pcall(...)
  if is_nogroup(reply) then return nil end
  if type(reply) == 'table' and reply.err then error(reply) end
  return reply
end

-- From id 0, never $: what was published before the group came back must be read.
local function create_group(lane, group)
  redis.pcall('XGROUP', 'CREATE', lane, group, '0', 'MKSTREAM')
end

-- The consumer and the delivery count of a pending entry; nil when it is not pending.
local function owner_of(lane, group, id)
  local rows = on_group('XPENDING', lane, group, id, id, 1)
  if rows == nil or #rows == 0 then return nil, nil end
  return rows[1][2], tonumber(rows[1][4])
end

local function owns(lane, group, id, consumer, count)
  local owner, deliveries = owner_of(lane, group, id)
  return owner == consumer and deliveries == tonumber(count)
end

local function newer(id, than)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local than_ms, than_seq = string.match(than, '^(%d+)-(%d+)$')
  ms, seq, than_ms, than_seq = tonumber(ms), tonumber(seq), tonumber(than_ms), tonumber(than_seq)
  return ms > than_ms or (ms == than_ms and seq > than_seq)
end

local function last_delivered(lane, group)
  local groups = redis.pcall('XINFO', 'GROUPS', lane)
  if groups.err then return nil end
  for _, flat in ipairs(groups) do
    local facts = {}
    for i = 1, #flat, 2 do facts[flat[i]] = flat[i + 1] end
    if facts['name'] == group then return facts['last-delivered-id'] end
  end
  return nil
end

-- Will somebody ever get this entry? Not when it left the stream, and not when it was delivered and then fell out of
-- the pending list (its consumer was deleted by hand): nobody reads it again.
local function alive(lane, group, id)
  if #redis.call('XRANGE', lane, id, id) == 0 then return false end
  if owner_of(lane, group, id) then return true end
  local last = last_delivered(lane, group)
  return last == nil or newer(id, last)
end

-- A stream of one entry: who waits for work blocks on it, and misses no wake-up since it last looked.
local function wake(wakeup)
  redis.call('XADD', wakeup, 'MAXLEN', '1', '*', 'r', '')
end

local function field(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return ''
end

local function strikes_key(prefix, fields)
  return prefix .. field(fields, 'task_id') .. ':' .. field(fields, 'chunk')
end

-- Give a pending entry to one of the names that wait for the next taker, with the count it had before this delivery.
local function park(lane, group, id, name, count, idle_ms)
  redis.call('XCLAIM', lane, group, name, '0', id, 'IDLE', idle_ms, 'RETRYCOUNT', math.max(count - 1, 0), 'JUSTID')
end

local function is_suspect(strikes, suspect_from, poison_from)
  return strikes >= suspect_from and strikes < poison_from
end

-- One embedder at a time stops taking until it holds nothing, so that a suspect chunk finds one alone under any load.
-- For so long: one that is not empty by then (a chunk of its is never settled) takes again for as long, while the key
-- lives on, and others may try in its place.
local function reserve_alone(key, me, ttl_ms)
  local holder = redis.call('GET', key)
  local active = holder and redis.call('PTTL', key) > ttl_ms
  if active or holder == me then return active and holder == me end
  redis.call('SET', key, me, 'PX', 2 * ttl_ms)
  return true
end

-- Bytes of all entries, and their number. The book (lane:id -> bytes) is kept by the scripts that add and remove entries
-- and summed anew each time; when somebody else deleted or added entries, the two disagree in number, and it is first
-- put right from the lanes. `lanes`: name -> key.
local function queue_bytes(book, lanes)
  local length = 0
  for _, lane in pairs(lanes) do length = length + redis.call('XLEN', lane) end
  if redis.call('HLEN', book) ~= length then
    for _, ref in ipairs(redis.call('HKEYS', book)) do
      local lane, id = string.match(ref, '^(%a+):(.+)$')
      if #redis.call('XRANGE', lanes[lane], id, id) == 0 then redis.call('HDEL', book, ref) end
    end
  end
  if redis.call('HLEN', book) ~= length then
    for name, lane in pairs(lanes) do
      local from = '-'
      while true do
        local page = redis.call('XRANGE', lane, from, '+', 'COUNT', 16)
        if #page == 0 then break end
        for _, entry in ipairs(page) do
          local sum = 0
          for _, part in ipairs(entry[2]) do sum = sum + #part end
          redis.call('HSETNX', book, name .. ':' .. entry[1], sum)
        end
        from = '(' .. page[#page][1]
      end
    end
  end
  local total = 0
  for _, held in ipairs(redis.call('HVALS', book)) do total = total + tonumber(held) end
  return total, length
end
