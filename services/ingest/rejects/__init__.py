"""The rows that were not used. ``reading`` finds them, in ledger and source; ``export`` writes the file."""
