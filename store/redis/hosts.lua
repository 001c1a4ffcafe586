-- Which hosts there are: each says so now and then, and is forgotten when it no
-- longer does. A process is told from another of the same host's name by an
-- instance, which is random. A host's firewall agent may be a process of its own,
-- so that what it says is kept apart. All keys are in one slot, and expire when no
-- host is left.
--
-- ARGV[1] is what to do, ARGV[2] the time in milliseconds, or "" for the
-- server's clock, ARGV[3] for how many milliseconds a host is remembered.
-- A process is named by its host, a unit separator (0x1F) and its instance.
local BEATS  = KEYS[1] -- ZSET: names of processes, by when they were heard of
local ABOUT  = KEYS[2] -- HASH: name of a process, what it said
local HEARD  = KEYS[3] -- ZSET: names of hosts with an agent, by when it was heard of
local AGENTS = KEYS[4] -- HASH: host's name, what its agent said

local now = tonumber(ARGV[2])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local life = tonumber(ARGV[3])

local function whole(n)
  return string.format('%.0f', n)
end

-- keep sets what was said now, and forgets what is too old or too much.
local function keep(times, texts, limit, field, text)
  redis.call('ZADD', times, whole(now), field)
  redis.call('HSET', texts, field, text)
  local function drop(fields)
    for _, f in ipairs(fields) do
      redis.call('ZREM', times, f)
      redis.call('HDEL', texts, f)
    end
  end
  drop(redis.call('ZRANGEBYSCORE', times, '-inf', whole(now - life)))
  local more = redis.call('ZCARD', times) - tonumber(limit)
  if more > 0 then drop(redis.call('ZRANGE', times, 0, more - 1)) end
  redis.call('PEXPIRE', times, whole(life))
  redis.call('PEXPIRE', texts, whole(life))
end

-- The other processes of a host's name, and when they were heard of.
local function others(name, process)
  local found, start = {}, name .. '\31'
  local beats = redis.call('ZRANGE', BEATS, 0, -1, 'WITHSCORES')
  for i = 1, #beats, 2 do
    if beats[i] ~= process and string.sub(beats[i], 1, #start) == start then
      found[beats[i]] = tonumber(beats[i + 1])
    end
  end
  return found
end

local function forget(times, texts, field)
  redis.call('ZREM', times, field)
  redis.call('HDEL', texts, field)
end

local run = {}

-- beat limit name instance about: returns how many others live under the same
-- name. One that was not heard of since this one's last beat has ended, as by a
-- crash, and this one came after it.
function run.beat(limit, name, instance, about)
  local process = name .. '\31' .. instance
  local last, living = tonumber(redis.call('ZSCORE', BEATS, process) or nil), 0
  for other, at in pairs(others(name, process)) do
    if last and at > last then
      living = living + 1
    elseif last and at < last then
      forget(BEATS, ABOUT, other)
    end
  end
  keep(BEATS, ABOUT, limit, process, about)
  return living
end

-- leave name instance
function run.leave(name, instance)
  forget(BEATS, ABOUT, name .. '\31' .. instance)
  return 'ok'
end

-- agent limit name state
function run.agent(limit, name, state)
  keep(HEARD, AGENTS, limit, name, state)
  return 'ok'
end

-- retire name
function run.retire(name)
  forget(HEARD, AGENTS, name)
  return 'ok'
end

-- What one of the two says, flat: field, time and text, for all that were heard
-- of lately.
local function lately(times, texts)
  local all = {}
  local beats = redis.call('ZRANGEBYSCORE', times, '(' .. whole(now - life), '+inf', 'WITHSCORES')
  for i = 1, #beats, 2 do
    local text = redis.call('HGET', texts, beats[i])
    if text then
      all[#all + 1] = beats[i]
      all[#all + 1] = whole(tonumber(beats[i + 1]))
      all[#all + 1] = text
    end
  end
  return all
end

-- list: what the hosts said, and what their agents said.
function run.list()
  return {lately(BEATS, ABOUT), lately(HEARD, AGENTS)}
end

return run[ARGV[1]](unpack(ARGV, 4))
