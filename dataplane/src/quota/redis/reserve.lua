-- Reserves all charges or none, in the store's time. See window.rs for the arithmetic.
-- KEYS: 1 = settled marker, then one counter base a charge
-- ARGV: 1 = id, 2 = ttl ms, then for each charge: window ms, limit, estimate, keep ms
-- Returns {0 admitted | 1 exceeded | 2 settled already, now ms, current, previous, current, …}
local PURGE = 1000  -- lapsed reservations dropped by one call; the rest counts on, which is safe

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('EXISTS', KEYS[1]) == 1 then return {2, now} end

local function int(n) return string.format('%.0f', n) end

local function total(bucket)
  local holds = bucket .. ':h'
  local lapsed = redis.call('ZRANGEBYSCORE', holds, '-inf', now, 'LIMIT', 0, PURGE)
  if #lapsed > 0 then
    local sum = 0
    for _, hold in ipairs(lapsed) do sum = sum + tonumber(string.match(hold, ':(%d+)$')) end
    redis.call('ZREM', holds, unpack(lapsed))
    redis.call('HINCRBY', bucket, 'r', int(-sum))
  end
  local counts = redis.call('HMGET', bucket, 'u', 'r')
  return (tonumber(counts[1]) or 0) + (tonumber(counts[2]) or 0)
end

local function keep(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, int(ms)) end
end

local answer, buckets, fits = {0, now}, {}, true
for i = 2, #KEYS do
  local arg = i * 4 - 5
  local window, limit, estimate = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  local id = math.floor(now / window)
  local remaining = window - (now - id * window)
  buckets[i] = KEYS[i] .. ':' .. int(id)
  local current = total(buckets[i])
  local previous = total(KEYS[i] .. ':' .. int(id - 1))
  answer[#answer + 1], answer[#answer + 2] = current, previous
  local weight = math.ceil(remaining * 65536 / window)
  if current + math.ceil(previous * weight / 65536) + estimate > limit then fits = false end
end
if not fits then
  answer[1] = 1
  return answer
end

for i = 2, #KEYS do
  local arg = i * 4 - 5
  local estimate, ms, holds = ARGV[arg + 2], tonumber(ARGV[arg + 3]), buckets[i] .. ':h'
  if redis.call('ZADD', holds, int(now + ARGV[2]), ARGV[1] .. ':' .. estimate) == 1 then
    redis.call('HINCRBY', buckets[i], 'r', estimate)
  end
  keep(holds, ms)
  keep(buckets[i], ms)
end
return answer
