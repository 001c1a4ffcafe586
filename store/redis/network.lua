-- The script of a network's slot. Follows subject.lua and value.lua.
--
-- KEYS[1] is the network's page: the network's value and, after four octets of
-- its name, that of one of its clients, the lodger. Most attacked networks have
-- one attacker, to whom a key of its own would cost a hundred octets.
-- KEYS[2] is a client that found the page occupied, KEYS[3] the pair, KEYS[4] a
-- ZSET of the accounts familiar to the network, by the time until which they are.
-- Whether the secret was right before is known in the account's slot only, and
-- comes along as far as it is known.

local FORGET, UNFRIEND = 5, 6
local HAS_NETWORK, HAS_ACCOUNT, LAPSE_COUNTS, CREATE = 1, 2, 4, 8

local verb, now, at, flags, outcome, secret, number, known, guess, account, name, on_client, on_network, on_pair =
  struct.unpack('<BI6I6BBBBBc8c8I4I4I4I4', ARGV[2])
local has_network = has(flags, HAS_NETWORK)
local has_pair = has_network and has(flags, HAS_ACCOUNT)
now, at = clock(now, at)

-- The parts of the page stay as they are, octet for octet, unless they change.
local held = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
local network, after = unpack_subject(held[1], 1)
local network_part, network_till = '\64', ends(network)
local lodger_name, lodger_part, lodger_till, client = nil, nil, 0, nil
if held[1] then
  network_part = string.sub(held[1], 1, after - 1)
  if after < #held[1] then
    lodger_name, after = struct.unpack('<I4', held[1], after)
    lodger_part = string.sub(held[1], after)
    client = unpack_subject(lodger_part, 1)
    lodger_till = ends(client)
  end
end
local lodges = not held[2] and (lodger_name == name or lodger_till <= now)
if not lodges or lodger_name ~= name then client = unpack_subject(held[2], 1) end
local pair = unpack_subject(held[3], 1)

local function keep_page()
  local value, till = network_part, network_till
  if lodger_till > now then
    value = value .. struct.pack('<I4', lodger_name) .. lodger_part
    till = max(till, lodger_till)
  end
  put(KEYS[1], held[1], value, till, now)
end

local function keep(client_changed, network_changed, pair_changed)
  if network_changed then network_part, network_till = pack(network), ends(network) end
  if client_changed and lodges then
    lodger_name, lodger_part, lodger_till = name, pack(client), empty(client) and 0 or ends(client)
  elseif client_changed then
    put(KEYS[2], held[2], pack(client), ends(client), now)
  end
  if network_changed or client_changed and lodges then keep_page() end
  if pair_changed then put(KEYS[3], held[3], pack(pair), ends(pair), now) end
end

-- What has lapsed is forgotten, too; what is still in flight is not.
if verb == FORGET then
  touch(client, now, CLIENT)
  forget(client)
  keep(true, false, false)
  return ''
elseif verb == UNFRIEND then
  redis.call('ZREM', KEYS[4], account)
  touch(pair, now, PAIR)
  forget(pair)
  keep(false, false, true)
  return ''
end

-- Who is familiar, and for how long yet.
local accounts, till = 0, 0
if has_network then
  accounts = redis.call('ZCOUNT', KEYS[4], '(' .. at, '+inf')
  if accounts > 0 and has_pair then
    till = tonumber(redis.call('ZSCORE', KEYS[4], account) or 0)
    if till <= at then till = 0 end
  end
end
local familiar = till > 0

local function befriend()
  local ends_at = at + rules.familiar_for
  if ends_at <= now or familiar and ends_at - till < refresh_after(rules.familiar_for) then return end
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
  redis.call('ZADD', KEYS[4], ends_at, account)
  local last = redis.call('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', KEYS[4], tonumber(last[2]) - now)
  till = ends_at
end

-- The places of familiar pairs are their own, and a failure counts on the pair
-- instead of the network. Places are settled everywhere: they may have been
-- taken when the pair was not familiar yet, or still was.
local client_deed, network_deed, pair_deed = LOOK, LOOK, LOOK
if verb == GIVE_BACK then
  client_deed = GIVE_BACK
elseif verb == RESERVE and not familiar then
  client_deed = RESERVE
elseif verb == RESERVE and known ~= 1 then
  pair_deed = RESERVE
elseif verb == RECORD then
  client_deed, network_deed, pair_deed = RECORD, RECORD, SETTLE
  if familiar then network_deed, pair_deed = LOOK, RECORD end
  if familiar and outcome == REFUSED then client_deed, pair_deed = SETTLE, SETTLE end
  if outcome == SUCCESS then pair_deed = RECORD end
end

local e = {
  at = at, guess = guess, outcome = outcome, secret = secret, count = number,
  known = known > 0 and known < 4, familiar = familiar,
}
if verb == RESERVE then e.outcome = UNKNOWN end
-- Whether a pair is familiar cannot be told before it is asked about: places of
-- familiar pairs lapse for nothing.
local options = {counts = has(flags, LAPSE_COUNTS) and not familiar, create = has(flags, CREATE), now = now}

local none = {added = 0, before = 0, flags = 0, points = 0}
local on_the_network, seen_network, on_the_pair, seen_pair = none, nil, none, nil
if has_network then
  on_the_network, seen_network = visit(network, network_deed, NETWORK, on_network, e, options)
end
-- What its network's score refuses needs no place.
if client_deed == RESERVE and has_network and refuses(NETWORK, network.score) then client_deed = LOOK end
local on_the_client, seen_client = visit(client, client_deed, CLIENT, on_client, e, options)
if has_pair then on_the_pair, seen_pair = visit(pair, pair_deed, PAIR, on_pair, e, options) end
keep(on_the_client.changed, on_the_network.changed, on_the_pair.changed)

if verb == RECORD and outcome == SUCCESS and has_pair and rules.familiar_for > 0
  and (familiar or CLIENT.tarpit == 0 or on_the_client.before < CLIENT.tarpit) then
  befriend()
end

local asked = familiar and on_the_pair or on_the_client
local answer = asked.flags
if verb == RESERVE and familiar and known == 1 then answer = FITS end
if familiar then answer = answer + 1 end
if verb == RECORD and not has(answer, UNTRACKED) and has(on_the_client.flags + on_the_network.flags, UNTRACKED) then
  answer = answer + UNTRACKED
end
return struct.pack('<I6BBI6I4I4', at, answer, 0, till, accounts, asked.points) ..
  reading(seen_client, on_the_client) .. reading(seen_network, on_the_network) ..
  reading(familiar and seen_pair or nil, on_the_pair)
