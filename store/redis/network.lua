-- What is done in a network's slot. Follows subject.lua and value.lua.
--
-- The page is the network's: its value and, after four octets of its name, that of
-- one of its clients, the lodger. Most attacked networks have one attacker, to whom
-- a key of its own would cost a hundred octets. Beside it lie a client that found
-- the page occupied, the pair, and a ZSET of the accounts familiar to the network,
-- by the time until which they are.

local FORGET_CLIENT, UNFRIEND = 5, 6
local HAS_NETWORK, HAS_ACCOUNT = 1, 2 -- and LAPSE_COUNTS and CREATE
local NETWORK_OP = '<BI6I6BBBBBc8c8I4I4I4I4'

-- open_page returns what is kept under the first three keys. The parts of the page
-- stay as they are, octet for octet, unless they change.
local the_page = {}
local function open_page(page_key, client_key, pair_key, name, now)
  local held = redis.call('MGET', page_key, client_key, pair_key)
  local p, value, after = the_page, held[1], nil
  p.key, p.held, p.part, p.till, p.lodger, p.lodger_till = page_key, value, '\64', 0, nil, 0
  p.network, after = unpack_subject(NETWORK, value, 1)
  if value then
    p.part, p.till = string.sub(value, 1, after - 1), ends(p.network)
    if after < #value then
      p.lodger, after = struct.unpack('<I4', value, after)
      p.lodger_part = string.sub(value, after)
      p.client = unpack_subject(CLIENT, p.lodger_part, 1)
      p.lodger_till = ends(p.client)
    end
  end
  p.lodges = not held[2] and (p.lodger == name or p.lodger_till <= now)
  if not p.lodges or p.lodger ~= name then p.client = unpack_subject(CLIENT, held[2], 1) end
  return p, held[2], unpack_subject(PAIR, held[3], 1), held[3]
end

-- keep_page writes the page where the network or a client that lodges has changed.
local function keep_page(p, name, client_changed, network_changed, now)
  if network_changed then p.part, p.till = pack(p.network), ends(p.network) end
  if client_changed then
    p.lodger, p.lodger_part, p.lodger_till = name, pack(p.client), empty(p.client) and 0 or ends(p.client)
  end
  local value, till = p.part, p.till
  if p.lodger_till > now then
    value = value .. struct.pack('<I4', p.lodger) .. p.lodger_part
    till = max(till, p.lodger_till)
  end
  put(p.key, p.held, value, till, now)
end

local function keep(key, held, subject, now)
  put(key, held, pack(subject), ends(subject), now)
end

local function forget_client(page_key, client_key, pair_key, name, now)
  local page, held = open_page(page_key, client_key, pair_key, name, now)
  -- What has lapsed is forgotten, too; what is still in flight is not.
  touch(page.client, now, CLIENT)
  forget(page.client)
  if page.lodges then
    keep_page(page, name, true, false, now)
  else
    keep(client_key, held, page.client, now)
  end
  return ''
end

local function unfriend(pair_key, friends, account, now)
  redis.call('ZREM', friends, account)
  local held = redis.call('GET', pair_key)
  local pair = unpack_subject(PAIR, held, 1)
  touch(pair, now, PAIR)
  forget(pair)
  keep(pair_key, held, pair, now)
  return ''
end

-- befriend returns until when an account is familiar to the network.
local function befriend(friends, account, at, till, now)
  local ends_at = at + rules.familiar_for
  if ends_at <= now or till > 0 and ends_at - till < refresh_after(rules.familiar_for) then return till end
  redis.call('ZREMRANGEBYSCORE', friends, '-inf', now)
  redis.call('ZADD', friends, ends_at, account)
  expire_with_last(friends, now)
  return ends_at
end

-- deeds returns what an operation does to the client, the network and the pair. The
-- places of familiar pairs are their own, and a failure counts on the pair instead
-- of the network. Places are settled everywhere: they may have been taken when the
-- pair was not familiar yet, or still was.
local function deeds(verb, familiar, known, outcome)
  if verb == GIVE_BACK then return GIVE_BACK, LOOK, LOOK end
  if verb == RESERVE then
    if not familiar then return RESERVE, LOOK, LOOK end
    return LOOK, LOOK, known ~= 1 and RESERVE or LOOK
  end
  if verb ~= RECORD then return LOOK, LOOK, LOOK end
  if familiar and outcome == REFUSED then return SETTLE, LOOK, SETTLE end
  if familiar then return RECORD, LOOK, RECORD end
  return RECORD, RECORD, outcome == SUCCESS and RECORD or SETTLE
end

-- in_network carries out an operation. Whether the secret was right before is known
-- in the account's slot only: rank is what that one said, if it was asked just before.
local function in_network(page_key, client_key, pair_key, friends, operation, rank)
  local verb, now, at, flags, outcome, secret, number, known, guess, account, name, on_client, on_network, on_pair =
    struct.unpack(NETWORK_OP, operation)
  now, at = clock(now, at)
  if verb == FORGET_CLIENT then return forget_client(page_key, client_key, pair_key, name, now) end
  if verb == UNFRIEND then return unfriend(pair_key, friends, account, now) end
  if known == ASKED then known = rank or NOT_YET end
  local has_network = has(flags, HAS_NETWORK)
  local has_pair = has_network and has(flags, HAS_ACCOUNT)
  local page, client_held, pair, pair_held = open_page(page_key, client_key, pair_key, name, now)
  local client, network = page.client, page.network

  local accounts, till = 0, 0
  if has_network then
    accounts = redis.call('ZCARD', friends)
    if accounts > 0 then accounts = redis.call('ZCOUNT', friends, '(' .. at, '+inf') end
    if accounts > 0 and has_pair then till = familiar_till(friends, account, at) end
  end
  local familiar = till > 0

  local client_deed, network_deed, pair_deed = deeds(verb, familiar, known, outcome)
  local e = event(verb, now, at, guess, outcome, secret, number, known > 0 and known < 4, familiar, flags)
  -- Whether a pair is familiar cannot be told before it is asked about: places of
  -- familiar pairs lapse for nothing.
  e.counts = e.counts and not familiar
  local on_the_network, seen_network, on_the_pair, seen_pair = UNSEEN, nil, UNSEEN, nil
  if has_network then on_the_network, seen_network = visit(network, network_deed, NETWORK, on_network, e) end
  -- What its network's score refuses needs no place.
  if client_deed == RESERVE and has_network and refuses(NETWORK, network.score) then client_deed = LOOK end
  local on_the_client, seen_client = visit(client, client_deed, CLIENT, on_client, e)
  if has_pair then on_the_pair, seen_pair = visit(pair, pair_deed, PAIR, on_pair, e) end

  local lodger_changed = on_the_client.changed and page.lodges
  if on_the_network.changed or lodger_changed then
    keep_page(page, name, lodger_changed, on_the_network.changed, now)
  end
  if on_the_client.changed and not page.lodges then keep(client_key, client_held, client, now) end
  if on_the_pair.changed then keep(pair_key, pair_held, pair, now) end

  if verb == RECORD and outcome == SUCCESS and has_pair and rules.familiar_for > 0
    and (familiar or CLIENT.tarpit == 0 or on_the_client.before < CLIENT.tarpit) then
    till = befriend(friends, account, at, till, now)
  end

  local asked = familiar and on_the_pair or on_the_client
  local answer = asked.flags
  if verb == RESERVE and familiar and known == 1 then answer = FITS end
  if familiar then answer = answer + 1 end
  if verb == RECORD and not has(answer, UNTRACKED) and has(on_the_client.flags + on_the_network.flags, UNTRACKED) then
    answer = answer + UNTRACKED
  end
  return struct.pack(ANSWER, at, answer, 0, till, accounts, asked.points) ..
    reading(seen_client, on_the_client) .. reading(seen_network, on_the_network) ..
    reading(familiar and seen_pair or nil, on_the_pair)
end
