"""`make bench`: what the line costs and how near to the quota it runs, measured side by side in one run."""
