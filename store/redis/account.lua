-- What is done in an account's slot. Follows subject.lua and value.lua.
--
-- Kept are the account, its right passwords, the newest first, ten octets each, and
-- a ZSET of the networks it is familiar to, by the time until which it is. That ZSET
-- is a copy: what the network's slot says counts.

local BEFRIEND, FORGET_ACCOUNT, UNFRIEND_ALL = 5, 6, 7
local PAIR_NAMED, EXEMPT, STRANGER = 1, 2, 16 -- and LAPSE_COUNTS and CREATE
local MAX_NETWORKS = 64
local ACCOUNT_OP = '<BI6I6BBBBc8c8I4I4I6'

-- note_friend notes that the account is familiar to a network, and returns the
-- network that had to go for it.
local function note_friend(friends, network, till, now)
  redis.call('ZREMRANGEBYSCORE', friends, '-inf', now)
  if till <= now then return '' end
  redis.call('ZADD', friends, till, network)
  local gone = ''
  if redis.call('ZCARD', friends) > MAX_NETWORKS then
    gone = redis.call('ZRANGE', friends, 0, 0)[1]
    redis.call('ZREM', friends, gone)
  end
  expire_with_last(friends, now)
  return gone
end

-- forget_account returns the networks that the account was familiar to.
local function forget_account(account_key, rights_key, friends, now)
  local held = redis.call('GET', account_key)
  local subject = unpack_subject(ACCOUNT, held, 1)
  touch(subject, now, ACCOUNT)
  forget(subject)
  put(account_key, held, pack(subject), ends(subject), now)
  redis.call('DEL', rights_key)
  return table.concat(redis.call('ZRANGEBYSCORE', friends, '(' .. now, '+inf'))
end

-- rank_of returns which of the right passwords a secret is, 0 for none and 1 for the
-- latest, and when it was right last.
local function rank_of(packed, token, at)
  for i = 1, min(#packed / 10, rules.remember) do
    local its, right_at = struct.unpack('<I4I6', packed, 10 * i - 9)
    if its == token and right_at + rules.remember_for > at then return i, right_at end
  end
  return 0, 0
end

-- learn notes that the secret was right, perhaps at an earlier time than others.
local function learn(rights_key, packed, token, at, now)
  local others = {}
  for i = 1, #packed / 10 do
    local r = {}
    r.token, r.at = struct.unpack('<I4I6', packed, 10 * i - 9)
    if r.token == token then
      at = max(at, r.at)
    else
      others[#others + 1] = r
    end
  end
  local kept, placed = {}, false
  for _, r in ipairs(others) do
    if not placed and at >= r.at then
      kept[#kept + 1], placed = {token = token, at = at}, true
    end
    kept[#kept + 1] = r
  end
  if not placed then kept[#kept + 1] = {token = token, at = at} end
  packed = ''
  for i = 1, min(#kept, rules.remember, 3) do
    packed = packed .. struct.pack('<I4I6', kept[i].token, kept[i].at)
  end
  put(rights_key, true, packed, kept[1].at + rules.remember_for, now)
end

-- in_account carries out an operation, and returns the secret's rank too.
local function in_account(account_key, rights_key, friends, operation)
  local verb, now, at, flags, outcome, secret, number, guess, network, on_account, token, until_then =
    struct.unpack(ACCOUNT_OP, operation)
  verb = verb - ACCOUNT_SLOT
  now, at = clock(now, at)
  if verb == BEFRIEND then return note_friend(friends, network, until_then, now) end
  if verb == FORGET_ACCOUNT then return forget_account(account_key, rights_key, friends, now) end
  if verb == UNFRIEND_ALL then
    redis.call('DEL', friends)
    return ''
  end

  local held = redis.call('MGET', account_key, rights_key)
  local kept, rights = held[1], held[2] or ''
  local subject = unpack_subject(ACCOUNT, kept, 1)
  local till = 0
  if has(flags, PAIR_NAMED) and not has(flags, STRANGER) then till = familiar_till(friends, network, at) end
  local familiar, exempt = till > 0, has(flags, EXEMPT)
  local remembers = secret == SURE and rules.remember > 0 and rules.remember_for > 0
  local known, right_at = 0, 0
  if remembers then known, right_at = rank_of(rights, token, at) end

  local deed = LOOK
  if verb == GIVE_BACK then
    deed = GIVE_BACK
  elseif verb == RESERVE and not familiar and secret == SURE and not exempt and known ~= 1 then
    deed = RESERVE
  elseif verb == RECORD then
    deed = RECORD
    if familiar and outcome ~= SUCCESS or exempt then deed = SETTLE end
  end
  local e = event(verb, now, at, guess, outcome, secret, number, known > 0, familiar, flags)
  local sight, seen = visit(subject, deed, ACCOUNT, on_account, e)
  if sight.changed then put(account_key, kept, pack(subject), ends(subject), now) end

  if verb == RECORD and outcome == SUCCESS and remembers
    and (known ~= 1 or at - right_at >= refresh_after(rules.remember_for)) then
    learn(rights_key, rights, token, at, now)
  end

  local answer = sight.flags
  if deed ~= RESERVE then answer = answer + FITS end
  if familiar then answer = answer + 1 end
  return struct.pack(ANSWER, at, answer, known, till, 0, sight.points) .. reading(seen, sight), known
end
