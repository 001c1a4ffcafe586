-- Carries out one deed on one subject, for the test that holds the arithmetic
-- against package score. Follows subject.lua and value.lua. The key is made to
-- last, since the test's time is not the server's.

local DROP = 5

local deed, kind, now, outcome, secret, number, known, familiar, counts, guess, entry, at =
  struct.unpack('<BBI6BBBBBBc8I4I6', ARGV[2])
kind = ({CLIENT, NETWORK, ACCOUNT, PAIR})[kind + 1]

local held = redis.call('GET', KEYS[1])
local s = unpack_subject(kind, held, 1)
local e = {
  at = at, guess = guess, outcome = outcome, secret = secret, count = number, known = known == 1,
  familiar = familiar == 1, counts = counts == 1, create = true, now = now,
}
local sight, seen
if deed == DROP then
  forget(s)
  sight = {changed = true, flags = 0, points = 0, added = 0}
else
  sight, seen = visit(s, deed, kind, entry, e)
end
if sight.changed then put(KEYS[1], held, pack(s), ends(s), now) end
local left = redis.call('PTTL', KEYS[1])
redis.call('PERSIST', KEYS[1])
return {
  struct.pack(ANSWER, at, sight.flags, 0, 0, 0, sight.points) .. reading(seen, sight),
  redis.call('GET', KEYS[1]) or '', left,
}
