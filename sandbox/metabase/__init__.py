"""A Metabase-compatible stand-in: questions exported as CSV, with the real thing's ways of failing."""
