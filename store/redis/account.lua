-- The script of an account's slot. Follows subject.lua and value.lua.
--
-- KEYS[1] is the account, KEYS[2] its right passwords, the newest first, ten
-- octets each, KEYS[3] a ZSET of the networks it is familiar to, by the time
-- until which it is. That ZSET is a copy: what the network's slot says counts.

local BEFRIEND, FORGET, UNFRIEND = 5, 6, 7
local HAS_NETWORK, EXEMPT, LAPSE_COUNTS, CREATE, STRANGER = 1, 2, 4, 8, 16
local MAX_NETWORKS = 64

local verb, now, at, flags, outcome, secret, number, guess, network, on_account, token, until_then =
  struct.unpack('<BI6I6BBBBc8c8I4I4I6', ARGV[2])
now, at = clock(now, at)

-- befriend notes that the account is familiar to a network, and returns the
-- network that had to go for it.
local function befriend()
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  if until_then <= now then return '' end
  redis.call('ZADD', KEYS[3], until_then, network)
  local gone = ''
  if redis.call('ZCARD', KEYS[3]) > MAX_NETWORKS then
    gone = redis.call('ZRANGE', KEYS[3], 0, 0)[1]
    redis.call('ZREM', KEYS[3], gone)
  end
  local last = redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', KEYS[3], tonumber(last[2]) - now)
  return gone
end

if verb == BEFRIEND then
  return befriend()
elseif verb == UNFRIEND then
  redis.call('DEL', KEYS[3])
  return ''
end

local held = redis.call('GET', KEYS[1])
local subject = unpack_subject(held, 1)

if verb == FORGET then
  touch(subject, now, ACCOUNT)
  forget(subject)
  put(KEYS[1], held, pack(subject), ends(subject), now)
  redis.call('DEL', KEYS[2])
  return table.concat(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. now, '+inf'))
end

local till = 0
if has(flags, HAS_NETWORK) and not has(flags, STRANGER) then
  till = tonumber(redis.call('ZSCORE', KEYS[3], network) or 0)
  if till <= at then till = 0 end
end
local familiar = till > 0

-- The right passwords, and which of them this secret is: 0 is none, 1 the latest.
local remembers = secret == SURE and rules.remember > 0 and rules.remember_for > 0
local rights, known, right_at = {}, 0, 0
if remembers then
  local packed = redis.call('GET', KEYS[2]) or ''
  for i = 1, #packed / 10 do
    local r = {}
    r.token, r.at = struct.unpack('<I4I6', packed, 10 * i - 9)
    rights[i] = r
    if i <= rules.remember and r.token == token and known == 0 and r.at + rules.remember_for > at then
      known, right_at = i, r.at
    end
  end
end

-- learn notes that the secret was right, perhaps at an earlier time than others.
local function learn()
  local right = {token = token, at = at}
  for _, r in ipairs(rights) do
    if r.token == token then right.at = max(right.at, r.at) end
  end
  local kept, placed = {}, false
  for _, r in ipairs(rights) do
    if not placed and right.at >= r.at then
      kept[#kept + 1], placed = right, true
    end
    if r.token ~= token then kept[#kept + 1] = r end
  end
  if not placed then kept[#kept + 1] = right end
  local packed = ''
  for i = 1, min(#kept, rules.remember, 3) do
    packed = packed .. struct.pack('<I4I6', kept[i].token, kept[i].at)
  end
  put(KEYS[2], true, packed, kept[1].at + rules.remember_for, now)
end

local deed = LOOK
if verb == GIVE_BACK then
  deed = GIVE_BACK
elseif verb == RESERVE and not familiar and secret == SURE and not has(flags, EXEMPT) and known ~= 1 then
  deed = RESERVE
elseif verb == RECORD then
  deed = RECORD
  if familiar and outcome ~= SUCCESS or has(flags, EXEMPT) then deed = SETTLE end
end

local e = {
  at = at, guess = guess, outcome = outcome, secret = secret, count = number,
  known = known > 0, familiar = familiar,
}
if verb == RESERVE then e.outcome = UNKNOWN end
local options = {counts = has(flags, LAPSE_COUNTS), create = has(flags, CREATE), now = now}

local sight, seen = visit(subject, deed, ACCOUNT, on_account, e, options)
if sight.changed then put(KEYS[1], held, pack(subject), ends(subject), now) end

if verb == RECORD and outcome == SUCCESS and remembers
  and (known ~= 1 or at - right_at >= refresh_after(rules.remember_for)) then
  learn()
end

local answer = sight.flags
if deed ~= RESERVE then answer = answer + FITS end
if familiar then answer = answer + 1 end
return struct.pack('<I6BBI6I4I4', at, answer, known, till, 0, sight.points) .. reading(seen, sight)
