-- The script: carries out operations one after the other. Follows subject.lua,
-- value.lua, network.lua and account.lua.
--
-- KEYS are those of each operation, four in a network's slot, three in an account's.
-- ARGV[1] are the rules of all, the others are the operations. One that fails, say
-- for want of memory, does not take the others with it: they are of other attempts.
-- A script's functions are made anew whenever it runs, at the cost of some twenty
-- microseconds, which operations that come together share.

local replies, key, rank = {}, 1, nil
for i = 2, #ARGV do
  local ok, reply
  if string.byte(ARGV[i]) >= ACCOUNT_SLOT then
    ok, reply, rank = pcall(in_account, KEYS[key], KEYS[key + 1], KEYS[key + 2], ARGV[i])
    if not ok then rank = nil end
    key = key + 3
  else
    ok, reply = pcall(in_network, KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3], ARGV[i], rank)
    key = key + 4
  end
  if not ok then
    reply = {err = type(reply) == 'table' and reply.err or tostring(reply)}
    -- A client looks for another server only when the whole answer is this.
    if string.find(reply.err, 'READONLY', 1, true) then return {err = 'READONLY the server is a replica'} end
  end
  replies[i - 1] = reply
end
return replies
