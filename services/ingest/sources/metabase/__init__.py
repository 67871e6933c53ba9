"""Questions of Metabase: ``export`` asks and stages; ``answer`` tells a whole export from what only looks like one."""
