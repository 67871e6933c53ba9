-- flags: allow-oom
-- Removes one strike of each chunk, whoever has it by now. KEYS: strikes of each. ARGV: token.
for _, strikes in ipairs(KEYS) do redis.call('SREM', strikes, ARGV[1]) end
return #KEYS
