-- Which hosts there are: each says so now and then, and is forgotten when it no
-- longer does. Both keys are in one slot, and expire when no host is left.
--
-- ARGV[1] is what to do, ARGV[2] the time in milliseconds, or "" for the
-- server's clock, ARGV[3] for how many milliseconds a host is remembered.
local BEATS = KEYS[1] -- ZSET: names, by when they were heard of
local ABOUT = KEYS[2] -- HASH: name, what it said

local now = tonumber(ARGV[2])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local life = tonumber(ARGV[3])

local function whole(n)
  return string.format('%.0f', n)
end

local function drop(names)
  for _, name in ipairs(names) do
    redis.call('ZREM', BEATS, name)
    redis.call('HDEL', ABOUT, name)
  end
end

local run = {}

-- beat limit name about
function run.beat(limit, name, about)
  redis.call('ZADD', BEATS, whole(now), name)
  redis.call('HSET', ABOUT, name, about)
  drop(redis.call('ZRANGEBYSCORE', BEATS, '-inf', whole(now - life)))
  local more = redis.call('ZCARD', BEATS) - tonumber(limit)
  if more > 0 then drop(redis.call('ZRANGE', BEATS, 0, more - 1)) end
  redis.call('PEXPIRE', BEATS, whole(life))
  redis.call('PEXPIRE', ABOUT, whole(life))
  return 'ok'
end

-- leave name
function run.leave(name)
  drop({name})
  return 'ok'
end

-- list: name, time and what it said, for each host that was heard of lately.
function run.list()
  local hosts = {}
  local beats = redis.call('ZRANGEBYSCORE', BEATS, '(' .. whole(now - life), '+inf', 'WITHSCORES')
  for i = 1, #beats, 2 do
    local about = redis.call('HGET', ABOUT, beats[i])
    if about then
      hosts[#hosts + 1] = beats[i]
      hosts[#hosts + 1] = whole(tonumber(beats[i + 1]))
      hosts[#hosts + 1] = about
    end
  end
  return hosts
end

return run[ARGV[1]](unpack(ARGV, 4))
