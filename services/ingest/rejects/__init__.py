"""The rows that were not used. ``export`` writes them as a file; ``retrying`` picks those that are tried again."""
