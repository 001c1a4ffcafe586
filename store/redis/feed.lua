-- Adds texts to a stream, and lets go of what is too much or too old. Many texts in
-- one run cost a server, and whoever sends them, a part of what a command each does.
--
-- KEYS[1] is the stream. ARGV[1] is about how many are kept, ARGV[2] the least id that
-- is, ARGV[3] for how many milliseconds the stream is, if nothing comes. The others
-- are the texts.
for i = 4, #ARGV do
  redis.call('XADD', KEYS[1], '*', 'e', ARGV[i])
end
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[1])
redis.call('XTRIM', KEYS[1], 'MINID', '~', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3]) -- private data does not outlive the cluster
