-- flags: allow-oom
-- Creates the state where it is absent, so that its starting debt is repaid before the first task comes.
load()
return 1
