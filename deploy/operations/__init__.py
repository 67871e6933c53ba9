"""What an operator does with a line on AWS.

`line` says which stacks a line has and with what parameters · `stacks` creates, changes and deletes them by change sets
· `smoke` loads a few rows as a caller would and looks for each of their vectors.
"""
