-- The arithmetic of one subject: package score, transcribed function by function
-- under the same names. The scripts of this package begin with it. Numbers are
-- doubles here, and exact: no value exceeds 2^53, and what is divided is rounded
-- down. Guesses have 64 bits and stay strings.
--
-- A subject is {at, score, counted, repeats, ring, places}, an entry of the ring
-- a number of 32 bits, a place {guess, ends, points, entry, counts}. An event
-- is {at, now, entry, guess, outcome, secret, known, familiar, count, counts, create}:
-- counts tells whether its place lapses as a failure, create whether new subjects are
-- kept.
--
-- One operation after the other uses the same tables, and loops count by themselves:
-- a table or a function for each is what a script would spend half of its time on.

local floor, max, min = math.floor, math.max, math.min

local POINT, MAX_SCORE, RING_SIZE, MAX_PLACES = 1000, 2147483648, 63, 64
local UNKNOWN, SUCCESS, FAILURE, UNKNOWN_ACCOUNT, REFUSED, TRAPPED, CROWDED = 0, 1, 2, 3, 4, 5, 7
local NONE, SURE, UNSURE, ROTATES = 0, 1, 2, 3
local NO_GUESS = '\0\0\0\0\0\0\0\0'
local NOTHING = {} -- a ring or places of which there are none; nobody adds to it

-- The tables of score/decay.go, eight octets an entry. As strings they are
-- constants; tables would be built anew at each run of a script.
local COARSE = [[
1048576 1026107 1004120 0982604 0961548 0940944 0920782 0901051
0881744 0862850 0844361 0826268 0808563 0791237 0774282 0757691
0741455 0725567 0710020 0694806 0679917 0665348 0651091 0637140
0623487 0610127 0597053 0584260 0571740 0559489 0547500 0535768]]
local FINE = [[
1048576 1047866 1047157 1046449 1045741 1045033 1044326 1043619
1042913 1042207 1041502 1040797 1040093 1039389 1038686 1037983
1037281 1036579 1035877 1035176 1034476 1033776 1033076 1032377
1031679 1030981 1030283 1029586 1028889 1028193 1027497 1026802]]

local function factor(digits, i)
  return tonumber(string.sub(digits, 8 * i + 1, 8 * i + 7))
end

-- The rules of the operation come as one packed string; scripts.go packs it.
local rules = {}
local CLIENT, NETWORK, ACCOUNT, PAIR = {}, {}, {}, {}
do
  local k = {CLIENT, NETWORK, ACCOUNT, PAIR}
  local r = rules
  r.half_life, r.failure, r.unknown_account, r.further_account, r.free_repeats,
    CLIENT.tarpit, CLIENT.refuse, CLIENT.ban, NETWORK.tarpit, NETWORK.refuse, NETWORK.ban,
    ACCOUNT.tarpit, ACCOUNT.refuse, ACCOUNT.ban, PAIR.tarpit, PAIR.refuse, PAIR.ban,
    r.place_life, r.familiar_for, r.remember, r.remember_for =
    struct.unpack('<I6I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I6I6BI6', ARGV[1])
  for i = 1, 4 do
    k[i].ceiling = min(2 * max(k[i].tarpit, k[i].refuse, k[i].ban), MAX_SCORE)
  end
end

local function refuses(kind, score)
  return kind.refuse > 0 and score + rules.failure > kind.refuse
end

local function points_of(kind, outcome)
  if outcome == FAILURE then
    return rules.failure
  elseif outcome == UNKNOWN_ACCOUNT then
    if kind == CLIENT or kind == NETWORK then return rules.failure + rules.unknown_account end
    return rules.failure
  elseif outcome == REFUSED and kind == CLIENT then
    return rules.failure
  end
  return 0
end

-- decayed is score.Decay: v after a number of steps, whose factors serve for all that
-- decays together.
local factors_of, power, coarse, fine
local function decayed(v, steps)
  if v <= 0 or steps >= 32 * 1024 then return 0 end
  if steps == 0 then return v end
  if steps ~= factors_of then
    local rest = steps % 1024
    factors_of, power = steps, 2 ^ floor(steps / 1024)
    coarse, fine = factor(COARSE, floor(rest / 32)), factor(FINE, rest % 32)
  end
  return floor(floor(floor(v / power) * coarse / 1048576) * fine / 1048576)
end

local function steps_of(span)
  if span * 1024 < rules.half_life then return 0 end
  return floor(min(span, 4398046511104) * 1024 / rules.half_life)
end

local function decay(s, now)
  if s.score == 0 and s.counted == 0 and s.repeats == 0 then
    if now > s.at then s.at = now end
    return
  end
  local steps = steps_of(now - s.at)
  if steps == 0 then return end
  s.score, s.counted, s.repeats = decayed(s.score, steps), decayed(s.counted, steps), decayed(s.repeats, steps)
  if steps >= 32 * 1024 then
    s.at = now
  else
    s.at = s.at + floor(steps * rules.half_life / 1024)
  end
  if s.score == 0 then
    s.counted, s.repeats, s.ring = 0, 0, NOTHING
  end
end

-- member_of is an entry's member where it stands in the entry.
local function member_of(entry) return entry - entry % 4096 end

-- find tells whether the ring holds the entry, and any entry of its member.
local function find(s, entry)
  local ring, of, member = s.ring, member_of(entry), false
  for i = 1, #ring do
    local x = ring[i]
    if x == entry then return true, true end
    member = member or x - x % 4096 == of
  end
  return false, member
end

local function push(s, entry)
  if s.ring == NOTHING then s.ring = {} end
  while #s.ring >= RING_SIZE do table.remove(s.ring, 1) end
  s.ring[#s.ring + 1] = entry
end

local function pull(s, member)
  if s.ring == NOTHING then return 0 end
  local ring, kept = s.ring, {}
  for i = 1, #ring do
    if member_of(ring[i]) ~= member then kept[#kept + 1] = ring[i] end
  end
  s.ring = kept
  return #ring - #kept
end

local function distinct(s)
  local ring, last, n = s.ring, nil, 0
  if #ring < 2 then return #ring end
  local seen = {}
  for i = 1, #ring do
    local member = member_of(ring[i])
    if member ~= last and not seen[member] then
      seen[member], n = true, n + 1
    end
    last = member
  end
  return n
end

local function in_flight(s)
  local places, sum = s.places, 0
  for i = 1, #places do sum = sum + places[i].points end
  return sum
end

local function add(s, points, at, kind)
  if s.score == 0 and s.repeats == 0 and at > s.at then s.at = at end
  local late, more = steps_of(s.at - at), POINT
  if late > 0 then points, more = decayed(points, late), decayed(POINT, late) end
  s.score = min(s.score + points, kind.ceiling)
  s.counted = min(s.counted + more, MAX_SCORE)
end

local function lapse(s, now, kind)
  if s.places == NOTHING then return end
  local places, kept = s.places, {}
  for i = 1, #places do
    local p = places[i]
    if p.ends > now then
      kept[#kept + 1] = p
    elseif p.counts and not find(s, p.entry) then
      decay(s, p.ends)
      add(s, min(p.points, rules.failure), p.ends, kind)
      push(s, p.entry)
    end
  end
  s.places = kept
end

local function touch(s, now, kind)
  lapse(s, now, kind)
  decay(s, now)
end

local function empty(s) return s.score == 0 and s.repeats == 0 and #s.places == 0 end

local function weigh(s, kind, e, fresh)
  local points = points_of(kind, e.outcome)
  if points == 0 or e.known then return 0, false end
  local again, member = find(s, e.entry)
  again = again and not fresh
  if again then
    if e.secret == UNSURE and s.repeats + POINT > rules.free_repeats * POINT then return rules.failure, true end
    return 0, true
  end
  if kind == CLIENT and not member and #s.ring > 0 then points = points + rules.further_account end
  return points, false
end

local function holds(s, e)
  local places, same = s.places, e.secret == SURE or e.secret == ROTATES
  for i = 1, #places do
    local p = places[i]
    if e.guess ~= NO_GUESS and p.guess == e.guess or same and p.entry == e.entry then return true end
  end
  return false
end

local function another(s, member)
  local places = s.places
  for i = 1, #places do
    if member_of(places[i].entry) ~= member then return true end
  end
  return false
end

local function worst(s, kind, e)
  local outcome = e.outcome
  if outcome == UNKNOWN then e.outcome = e.familiar and FAILURE or UNKNOWN_ACCOUNT end
  local points = weigh(s, kind, e, e.secret == NONE or e.secret == UNSURE)
  e.outcome = outcome
  if points > 0 and kind == CLIENT and #s.ring == 0 and another(s, member_of(e.entry)) then
    points = points + rules.further_account
  end
  return points
end

-- reserve returns whether the attempt may go on, and the points of the place
-- that was taken, nil if none was.
local function reserve(s, kind, e)
  if kind.refuse == 0 then return true end
  local points = worst(s, kind, e)
  if holds(s, e) or points == 0 then return not refuses(kind, s.score) end
  if refuses(kind, s.score + in_flight(s)) or #s.places >= MAX_PLACES then return false end
  if s.places == NOTHING then s.places = {} end
  s.places[#s.places + 1] =
    {guess = e.guess, ends = e.at + rules.place_life, points = points, entry = e.entry, counts = e.counts}
  return true, points
end

local function settle(s, e)
  if e.guess == NO_GUESS and (e.outcome == REFUSED or e.outcome == CROWDED) then return false end
  if s.places == NOTHING then return false end
  local places, kept, freed = s.places, {}, false
  for i = 1, #places do
    local p = places[i]
    local mine = p.guess == e.guess and (e.guess ~= NO_GUESS or member_of(p.entry) == member_of(e.entry))
    if mine and (not freed or e.outcome == SUCCESS) then
      freed = true
    else
      kept[#kept + 1] = p
    end
  end
  s.places = kept
  return freed
end

local function give_back(s, e)
  for i = #s.places, 1, -1 do
    if s.places[i].guess == e.guess and s.places[i].entry == e.entry then
      table.remove(s.places, i)
      return true
    end
  end
  return false
end

-- count_repeat is score's repeat, which is a word of Lua.
local function count_repeat(s, at)
  s.repeats = min(s.repeats + decayed(POINT, steps_of(s.at - at)), rules.free_repeats * POINT)
end

local function count(s, kind, e, fresh)
  local points, again = weigh(s, kind, e, fresh)
  if points == 0 then
    if again and e.secret == UNSURE then count_repeat(s, e.at) end
    return
  end
  add(s, points, e.at, kind)
  if not again then push(s, e.entry) end
end

local function trap(s, kind, e)
  local missing = kind.ban - s.score
  if kind ~= CLIENT or missing <= 0 then return end
  add(s, missing, e.at, kind)
  if not find(s, e.entry) then push(s, e.entry) end
end

local function twice(s, e)
  if e.secret ~= NONE or e.guess ~= NO_GUESS or e.count > 1 then return false end
  return (e.outcome == FAILURE or e.outcome == UNKNOWN_ACCOUNT) and (find(s, e.entry))
end

local function record(s, kind, e)
  if twice(s, e) then return 0 end
  local fresh = settle(s, e) and e.secret == NONE
  if kind.ceiling == 0 then return 0 end
  local before = s.score
  if e.outcome == TRAPPED then
    trap(s, kind, e)
    return s.score - before
  end
  local entry, token = e.entry, e.entry % 4096
  count(s, kind, e, fresh)
  for i = 1, min(e.count, RING_SIZE) - 1 do
    e.entry = entry - token + (token + i) % 4096
    count(s, kind, e, fresh)
  end
  e.entry = entry
  return max(0, s.score - before)
end

local function forgive(s, member)
  local all = max(s.counted, #s.ring * POINT)
  local n = pull(s, member) * POINT
  if n == 0 then return end
  if n >= all then
    s.score, s.counted = 0, 0
    return
  end
  s.score = s.score - min(floor(s.score * n / all), n / POINT * rules.failure)
  s.counted = s.counted - floor(s.counted * n / all)
end

local function set_back(s, wall)
  local places, slack, changed = s.places, 1000, false
  if s.at > wall + slack then s.at, changed = wall, true end
  if places == NOTHING then return changed end
  for i = 1, #places do
    local p = places[i]
    if p.ends > wall + rules.place_life + slack then p.ends, changed = wall + rules.place_life, true end
  end
  return changed
end

local function forget(s)
  s.score, s.counted, s.repeats, s.ring = 0, 0, 0, NOTHING
end
