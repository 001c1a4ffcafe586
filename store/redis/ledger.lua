-- The ledger: every change of it is one run of this script, so that hosts which
-- ban the same client at once make one ban. All keys are in one slot.
--
-- An entry is text: "1 since until times state", a unit separator (0x1F), then
-- reason, rule and maker with one between them. Times are Unix milliseconds, an
-- end of 0 is none, and the state is e (enforced) or o (only observed). It is
-- parsed here and in ledger_entry.go. Names of automatic bans begin with a 2.
--
-- ARGV[1] is what to do, ARGV[2] the time in milliseconds, or "" for the
-- server's clock.
local ENTRIES = KEYS[1] -- HASH: name, entry
local ENDS    = KEYS[2] -- ZSET: names of the entries that end, by their end
local PAST    = KEYS[3] -- HASH: name, how often it was banned (see past)
local FORGETS = KEYS[4] -- ZSET: the names in PAST, by when all of that is forgotten
local CHANGES = KEYS[5] -- STREAM: n, name, and the entry if it is in force, or at if it was lifted
local NUMBER  = KEYS[6] -- of the last change: a watcher that misses one sees it
local PLACED  = KEYS[7] -- HASH: names of the entries that operators made, 1 (see count)
local LIFTED  = KEYS[8] -- ZSET: names of entries that were removed, by when (see lift)
local NAME    = KEYS[9] -- of the ledger: another one says that changes were lost
local PROBE   = KEYS[10] -- written to see whether that can be done

local now = tonumber(ARGV[2])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Lua would write 1.7e+12.
local function whole(n)
  return string.format('%.0f', n)
end

local function parse(value)
  if not value then return nil end
  local since, ends, times, state = string.match(value, '^1 (%-?%d+) (%d+) (%d+) ([eo])\31')
  if not since then return nil end
  return {since = tonumber(since), ends = tonumber(ends), times = tonumber(times), observed = state == 'o'}
end

local function live(entry)
  return entry ~= nil and (entry.ends == 0 or entry.ends > now)
end

local function automatic(name)
  return string.sub(name, 1, 1) == '2'
end

-- Whether an operator put what has these texts on the allowlist: it has no rule.
local function operators(texts)
  return string.match(texts, '^[^\31]*\31\31') ~= nil
end

-- Whether an entry with these texts leaves a value as it is: what a program keeps
-- on the allowlist, as the addresses of a host name, never replaces what an operator
-- put there.
local function yields(name, texts, value)
  return string.sub(name, 1, 1) == '1' and not operators(texts) and operators(string.match(value, '^[^\31]*\31(.*)$') or '')
end

-- Announces a change and returns its position. What is removed was lifted at a
-- time, or its own time was over.
local function announce(name, value, length, at)
  local n = redis.call('INCR', NUMBER)
  if value then
    return redis.call('XADD', CHANGES, 'MAXLEN', '~', length, '*', 'n', n, 'name', name, 'entry', value)
  elseif at then
    return redis.call('XADD', CHANGES, 'MAXLEN', '~', length, '*', 'n', n, 'name', name, 'at', whole(at))
  end
  return redis.call('XADD', CHANGES, 'MAXLEN', '~', length, '*', 'n', n, 'name', name)
end

-- The position of the last change.
local function position()
  local last = redis.call('XREVRANGE', CHANGES, '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or '0-0'
end

local function drop(name, length, at)
  redis.call('HDEL', ENTRIES, name)
  redis.call('ZREM', ENDS, name)
  if not automatic(name) then redis.call('HDEL', PLACED, name) end
  return announce(name, nil, length, at)
end

local function forget(name)
  redis.call('HDEL', PAST, name)
  redis.call('ZREM', FORGETS, name)
end

-- When a name was lifted last: what was made up to then is void, whoever still
-- has it, as a host that was down or cut off when it was lifted.
local function lifted(name)
  return tonumber(redis.call('ZSCORE', LIFTED, name) or nil) or -math.huge
end

-- Remembers that, for as long as LASTING and for as many names as there may be
-- entries: the oldest go.
local LASTING = 60 * 24 * 3600 * 1000
local function lift(name, at, limit)
  if at > lifted(name) then redis.call('ZADD', LIFTED, whole(at), name) end
  local more = redis.call('ZCARD', LIFTED) - limit
  if more > 0 then redis.call('ZREMRANGEBYRANK', LIFTED, 0, more - 1) end
end

-- How often a name was banned, as far as that is not forgotten. What was only
-- observed refused nobody, and makes no enforced ban longer. In PAST it is
-- "enforced until observed until", or only how many were enforced: FORGETS then
-- has until when they count.
local function past(name)
  local value = redis.call('HGET', PAST, name) or '0'
  local enforced, ends, observed, over = string.match(value, '^(%d+) (%d+) (%d+) (%d+)$')
  if not enforced then
    enforced, ends, observed, over = value, redis.call('ZSCORE', FORGETS, name) or '0', 0, 0
  end
  local h = {enforced = tonumber(enforced) or 0, ends = tonumber(ends), observed = tonumber(observed), over = tonumber(over)}
  if h.ends <= now then h.enforced, h.ends = 0, 0 end
  if h.over <= now then h.observed, h.over = 0, 0 end
  return h
end

-- How many bans count towards one that is enforced, or only observed. One more
-- can still be read by ledger_entry.go.
local function number(h, state)
  return math.min(h.enforced + (state == 'o' and h.observed or 0), 2147483647)
end

-- There are as many histories as there may be automatic bans: the one that is
-- forgotten soonest goes, and that may be the new one.
local function remember(name, h, limit)
  local value = whole(h.enforced)
  if h.observed > 0 then
    value = value .. ' ' .. whole(h.ends) .. ' ' .. whole(h.observed) .. ' ' .. whole(h.over)
  end
  redis.call('HSET', PAST, name, value)
  redis.call('ZADD', FORGETS, whole(math.max(h.ends, h.over)), name)
  while redis.call('ZCARD', FORGETS) > limit do
    forget(redis.call('ZRANGE', FORGETS, 0, 0)[1])
  end
end

-- Ends what is over, at most count entries and count histories, and returns
-- whether there may be more.
local function sweep(count, length)
  local over = redis.call('ZRANGEBYSCORE', ENDS, '-inf', whole(now), 'LIMIT', 0, count)
  for _, name in ipairs(over) do drop(name, length) end
  local old = redis.call('ZRANGEBYSCORE', FORGETS, '-inf', whole(now), 'LIMIT', 0, count)
  for _, name in ipairs(old) do forget(name) end
  redis.call('ZREMRANGEBYSCORE', LIFTED, '-inf', whole(now - LASTING))
  return math.max(#over, #old) == count
end

-- Looks through at most some of the entries for those that operators made, where
-- PLACED does not know them all, and returns whether there are more. The field ""
-- has how far that is. What is put or removed meanwhile is known anyway; what
-- is not found, as by another server with another order, counts as automatic.
local function count(some)
  local at = redis.call('HGET', PLACED, '') or '0'
  if at == 'all' then return false end
  local page = redis.call('HSCAN', ENTRIES, at, 'MATCH', '[^2]*', 'COUNT', some)
  for i = 1, #page[2], 2 do redis.call('HSET', PLACED, page[2][i], 1) end
  at = page[1] == '0' and 'all' or page[1]
  redis.call('HSET', PLACED, '', at)
  return at ~= 'all'
end

-- Operators may use all room there is; an attacker who earns bans leaves them
-- the reserve.
local function room(name, limit)
  local have = redis.call('HLEN', ENTRIES)
  if have < limit then return true end
  if have >= limit + math.max(math.floor(limit / 10), 1000) then return false end
  if not automatic(name) then return true end
  return have - redis.call('HLEN', PLACED) + redis.call('HEXISTS', PLACED, '') < limit
end

-- What is over and not swept yet takes no room from what is new.
local function full(name, limit, length)
  if room(name, limit) then return false end
  sweep(100, length)
  return not room(name, limit)
end

-- The length of the n-th ban: doubled each time, never beyond the longest.
-- store.Ladder.Duration is the same in Go.
local function duration(n, first, longest)
  local d = first
  for _ = 2, n do
    if d >= longest / 2 then return longest end
    d = d * 2
  end
  return math.min(d, longest)
end

local function write(name, since, ends, times, state, texts, length)
  local value = '1 ' .. whole(since) .. ' ' .. whole(ends) .. ' ' .. whole(times) .. ' ' .. state .. '\31' .. texts
  redis.call('HSET', ENTRIES, name, value)
  if not automatic(name) then redis.call('HSET', PLACED, name, 1) end
  if ends == 0 then
    redis.call('ZREM', ENDS, name)
  else
    redis.call('ZADD', ENDS, whole(ends), name)
  end
  return value, announce(name, value, length)
end

local run = {}

-- put limit length name since until times state first longest forget texts
-- returns the entry in force and a position at which it is, or why there is none:
-- over, full.
-- since "" is now; a first of 0 is no ladder, and a forget of 0 no history. Who
-- puts has the last word: what was lifted up to now is in force from then on.
function run.put(limit, length, name, since, ends, times, state, first, longest, keep, texts)
  limit, since, ends, times = tonumber(limit), tonumber(since) or now, tonumber(ends), tonumber(times)
  first, longest, keep = tonumber(first), tonumber(longest), tonumber(keep)
  since = math.max(since, lifted(name) + 1)
  local value = redis.call('HGET', ENTRIES, name)
  local h
  if automatic(name) then
    local old = parse(value)
    if live(old) and (not old.observed or state == 'o') then return {value, position()} end
    -- One that was only observed until now refuses for the first time, too.
    h = past(name)
    times = number(h, state) + 1
    if ends == 0 and first > 0 then ends = now + duration(times, first, longest) end
  end
  if value and live(parse(value)) and yields(name, texts, value) then return {value, position()} end
  if ends ~= 0 and ends <= now then return {'over'} end
  if not value and full(name, limit, length) then return {'full'} end
  if h and ends ~= 0 and keep > 0 then
    if state == 'o' then
      h.observed, h.over = math.max(times - h.enforced, 1), ends + keep
    else
      h = {enforced = times, ends = ends + keep, observed = 0, over = 0}
    end
    remember(name, h, limit)
  end
  return {write(name, since, ends, times, state, texts, length)}
end

-- The history of a name with a ban that was made elsewhere, which counts until
-- some time. Its number counts what was known there: the higher one holds.
local function merged(name, times, state, at)
  local h = past(name)
  if state == 'o' then
    h.observed, h.over = math.max(h.observed, times - h.enforced, 1), math.max(h.over, at)
    return h
  end
  return {enforced = math.max(h.enforced, times), ends = math.max(h.ends, at), observed = 0, over = 0}
end

-- Whether an entry that was made elsewhere wins over the one in force here. What
-- an operator said last holds. Of two automatic bans the enforced one stays, then
-- the one that ends later.
local function wins(name, since, ends, state, old)
  if not automatic(name) then return since > old.since end
  if old.observed ~= (state == 'o') then return old.observed end
  return old.ends ~= 0 and (ends == 0 or ends > old.ends)
end

-- merge limit length, then for each entry: name since until times state forget texts
-- Entries that were made elsewhere while this ledger could not be reached, or
-- that it has lost. What was lifted since it was made stays so. A ban that is over
-- already still counts as one. Returns how many entries were written, and how many
-- found no room.
function run.merge(limit, length, ...)
  limit = tonumber(limit)
  local args, written, refused = {...}, 0, 0
  for i = 1, #args, 7 do
    local name, since, ends, times = args[i], tonumber(args[i + 1]) or now, tonumber(args[i + 2]), tonumber(args[i + 3])
    local state, keep, texts = args[i + 4], tonumber(args[i + 5]), args[i + 6]
    if since > lifted(name) then
      local value = redis.call('HGET', ENTRIES, name)
      local old = parse(value)
      if keep > 0 and ends ~= 0 and ends + keep > now then
        local h = merged(name, times, state, ends + keep)
        times = number(h, state)
        remember(name, h, limit)
      end
      local take = ends == 0 or ends > now
      if take and live(old) then
        if old.observed == (state == 'o') then times = math.max(times, old.times) end
        local theirs = string.match(value, '^[^\31]*\31(.*)$') or ''
        if yields(name, texts, value) then
          take = false
        elseif yields(name, theirs, '\31' .. texts) then
          take = true
        else
          take = wins(name, since, ends, state, old)
        end
      end
      if take and not value and full(name, limit, length) then
        take, refused = false, refused + 1
      end
      if take then
        write(name, since, ends, times, state, texts, length)
        written = written + 1
      end
    end
  end
  return {written, refused}
end

-- Removes what was made up to some time, and returns whether there was an entry
-- in force, and a position at which it is not.
local function remove(limit, length, name, at)
  lift(name, at, limit)
  local value = redis.call('HGET', ENTRIES, name)
  local old = parse(value)
  if old and old.since > at then return '0', position() end
  forget(name)
  if not value then return '0', position() end
  return live(old) and '1' or '0', drop(name, length, at)
end

-- remove limit length name: returns what the function above does. Whoever removes
-- has the last word, also on an entry from a clock ahead of this one.
function run.remove(limit, length, name)
  local old = parse(redis.call('HGET', ENTRIES, name))
  return {remove(tonumber(limit), length, name, math.max(now, old and old.since or now))}
end

-- lift limit length, then for each entry: name at
-- Removals that were made elsewhere while this ledger could not be reached, or
-- that it has lost. None reaches further than now, or than the entry in force, if
-- that is from a clock ahead of this one.
function run.lift(limit, length, ...)
  local args = {...}
  for i = 1, #args, 2 do
    local old = parse(redis.call('HGET', ENTRIES, args[i]))
    local latest = math.max(now, old and old.since or now)
    remove(tonumber(limit), length, args[i], math.min(tonumber(args[i + 1]), latest))
  end
  return 'ok'
end

-- sweep length some: returns 1 if more may be over, or is to be counted.
function run.sweep(length, some)
  local counts = count(some)
  return (sweep(tonumber(some), length) or counts) and 1 or 0
end

-- rename old new: gives the ledger another name, unless somebody else has.
function run.rename(old, new)
  if redis.call('GET', NAME) == old then redis.call('SET', NAME, new) end
  return redis.call('GET', NAME) or ''
end

-- probe life: the time, from a server on which can be written. One that ran out of
-- memory or of replicas refuses.
function run.probe(life)
  redis.call('SET', PROBE, '1', 'PX', life)
  return whole(now)
end

return run[ARGV[1]](unpack(ARGV, 3))
