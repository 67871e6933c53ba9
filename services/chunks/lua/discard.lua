-- flags: allow-oom
-- Takes an entry that nobody can read off the queue. KEYS: lane, bytes. ARGV: group, id, ref.
on_group('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[3])
return redis.call('XDEL', KEYS[1], ARGV[2])
