-- Replaces a reservation by what was used, once by id; also one that lapsed or never came.
-- KEYS: 1 = settled marker, then one counter base an entry
-- ARGV: 1 = id, 2 = remember ms, then for each entry: window id, estimate, amount, keep ms
-- Returns 1, or 0 if it was settled before.
if not redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[2]) then return 0 end

for i = 2, #KEYS do
  local arg = i * 4 - 5
  local bucket, estimate = KEYS[i] .. ':' .. ARGV[arg], ARGV[arg + 1]
  if redis.call('ZREM', bucket .. ':h', ARGV[1] .. ':' .. estimate) == 1 then
    redis.call('HINCRBY', bucket, 'r', '-' .. estimate)
  end
  redis.call('HINCRBY', bucket, 'u', ARGV[arg + 2])
  -- Never shorten what a reservation asked for.
  if redis.call('PTTL', bucket) < tonumber(ARGV[arg + 3]) then
    redis.call('PEXPIRE', bucket, ARGV[arg + 3])
  end
end
return 1
