-- How subjects are kept, and what is done to one of them. Follows subject.lua.
--
-- A subject's value begins with an octet. 64 is a subject of which nothing is
-- known. 0 to 63 is the number of ring entries, four octets each, after a short
-- head: five octets of at, counted from EPOCH, and two of score; counted is the
-- same as score, and there are no repeats and no places. So is nearly every
-- attacker's, where each failure costs the same. With 128 added the head is long,
-- and after the ring come the places, 23 octets each.

local EPOCH, SHORT_SPAN = 1577836800000, 1099511627776 -- from 2020 to 2054
local LOOK, RESERVE, RECORD, GIVE_BACK, SETTLE = 0, 1, 2, 3, 4
local FITS, FULL, TAKEN, UNTRACKED = 2, 4, 8, 16 -- flags of a reply; 1 is FAMILIAR
local ANSWER = '<I6BBI6I4I4'
local LAPSE_COUNTS, CREATE = 4, 8 -- flags of an operation

-- An operation begins with its verb, and this added where it is for an account's slot.
local ACCOUNT_SLOT = 128

-- What was right before is a rank. A network's slot is told NOT_YET where it cannot be
-- known there, and ASKED where the account's slot was asked just before.
local NOT_YET, ASKED = 255, 254

for _, kind in ipairs({CLIENT, NETWORK, ACCOUNT, PAIR}) do
  kind.subject, kind.sight = {}, {}
end

local function pack_ring(ring)
  if #ring == 0 then return '' end
  return struct.pack('<' .. string.rep('I4', #ring), unpack(ring))
end

local function pack(s)
  if empty(s) then return '\64' end
  local n, since = #s.ring, s.at - EPOCH
  if s.counted == s.score and s.score < 65536 and s.repeats == 0 and #s.places == 0
    and since >= 0 and since < SHORT_SPAN then
    return struct.pack('<BI5I2', n, since, s.score) .. pack_ring(s.ring)
  end
  local parts = {
    struct.pack('<BI6I4I4I4B', n + 128, s.at, s.score, s.counted, s.repeats, #s.places), pack_ring(s.ring),
  }
  for i = 1, #s.places do
    local p = s.places[i]
    parts[i + 2] = struct.pack('<c8I6I4I4B', p.guess, p.ends, p.points, p.entry, p.counts and 1 or 0)
  end
  return table.concat(parts)
end

-- unpack_subject returns the subject of a kind that begins at a position, and where it
-- ends. The one before of the same kind is gone.
local function unpack_subject(kind, value, at)
  local s = kind.subject
  s.at, s.score, s.counted, s.repeats, s.ring, s.places = 0, 0, 0, 0, NOTHING, NOTHING
  if not value then return s, at end
  local n, places = string.byte(value, at), 0
  at = at + 1
  if n == 64 then
    return s, at
  elseif n < 64 then
    s.at, s.score, at = struct.unpack('<I5I2', value, at)
    s.at, s.counted = s.at + EPOCH, s.score
  else
    n = n - 128
    s.at, s.score, s.counted, s.repeats, places, at = struct.unpack('<I6I4I4I4B', value, at)
  end
  if n > 0 then
    local ring = {struct.unpack('<' .. string.rep('I4', n), value, at)}
    at = table.remove(ring)
    s.ring = ring
  end
  if places > 0 then s.places = {} end
  for i = 1, places do
    local p = {}
    p.guess, p.ends, p.points, p.entry, p.counts, at = struct.unpack('<c8I6I4I4B', value, at)
    p.counts = p.counts == 1
    s.places[i] = p
  end
  return s, at
end

-- ends is when a subject says no more than its absence would, whatever lapses
-- until then.
local function ends(s)
  local owed, at = s.score, s.at
  if s.repeats > owed then owed = s.repeats end
  for i = 1, #s.places do
    local p = s.places[i]
    if p.counts then owed = owed + p.points end
    if p.ends > at then at = p.ends end
  end
  local _, halvings = math.frexp(owed)
  return at + halvings * rules.half_life
end

-- put keeps a value until a time, or drops it where it says nothing.
local function put(key, known, value, till, now)
  if value ~= '\64' and till > now then
    redis.call('SET', key, value, 'PX', till - now)
  elseif known then
    redis.call('DEL', key)
  end
end

-- clock returns the present and the time of the operation. A late one happens
-- at its own time, one from the future now. The present is the same in the whole script.
local server_time
local function clock(now, at)
  if now == 0 then
    if not server_time then
      local t = redis.call('TIME')
      server_time = t[1] * 1000 + floor(t[2] / 1000)
    end
    now = server_time
  end
  if at == 0 then return now, now end
  return now, min(at, now)
end

local function has(flags, flag) return flags % (2 * flag) >= flag end

-- event is what happens, in a table that is the same each time.
local the_event = {}
local function event(verb, now, at, guess, outcome, secret, number, known, familiar, flags)
  local e = the_event
  e.now, e.at, e.guess, e.secret, e.count, e.known, e.familiar = now, at, guess, secret, number, known, familiar
  e.outcome = verb == RESERVE and UNKNOWN or outcome
  e.counts, e.create = has(flags, LAPSE_COUNTS), has(flags, CREATE)
  return e
end

-- UNSEEN is the sight of a subject of which nothing is known.
local UNSEEN = {added = 0, before = 0, flags = 0, points = 0}

-- visit carries out a deed on one subject. A subject is to be written back where
-- a place was taken or freed, when it is recorded, and when its clock was set
-- back; to be looked at changes nothing. Where there shall be no new subjects, one is
-- seen and not kept.
local function visit(s, deed, kind, entry, e)
  local known = not empty(s)
  if not known and deed ~= RESERVE and (deed ~= RECORD or e.outcome == SUCCESS) then return UNSEEN end
  local sight = kind.sight
  sight.added, sight.flags, sight.points = 0, 0, 0
  sight.changed = set_back(s, e.now)
  touch(s, e.at, kind)
  e.entry, sight.before = entry, s.score
  if deed == RESERVE then
    local fits, points = reserve(s, kind, e)
    sight.changed, sight.points = sight.changed or points ~= nil, points or 0
    if fits then
      sight.flags = FITS
    elseif not refuses(kind, s.score) then
      sight.flags = FULL
    end
  elseif deed == GIVE_BACK then
    sight.changed = give_back(s, e) or sight.changed
  elseif deed == SETTLE then
    sight.changed = settle(s, e) or sight.changed
  elseif deed == RECORD then
    sight.added = record(s, kind, e)
    if e.outcome == SUCCESS and kind ~= NETWORK then forgive(s, member_of(entry)) end
    sight.changed = true
  end
  if sight.changed and not known and not e.create and not empty(s) then
    sight.changed, sight.points, sight.flags = false, 0, sight.flags + UNTRACKED
  end
  if sight.points > 0 then sight.flags = sight.flags + TAKEN end
  return sight, s
end

-- reading packs what a judge sees of a subject.
local function reading(s, sight)
  if not s then return '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' end
  return struct.pack('<I4I5I4BI4', s.score, in_flight(s), sight.added, distinct(s), floor(s.repeats / POINT))
end

-- refresh_after is by how much what is remembered for a span must have aged
-- before it is written again.
local function refresh_after(span) return max(min(86400000, floor(span / 4)), 1000) end

-- familiar_till returns until when the other side of a pair is in a ZSET; 0: it is not.
local function familiar_till(friends, other, at)
  local till = tonumber(redis.call('ZSCORE', friends, other) or 0)
  if till <= at then return 0 end
  return till
end

-- expire_with_last has a ZSET of times go when the last of them has come.
local function expire_with_last(friends, now)
  local last = redis.call('ZRANGE', friends, -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', friends, tonumber(last[2]) - now)
end
