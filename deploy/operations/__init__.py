"""What an operator does with a line on AWS; `deploy/bin` has a command for each.

`line` says which stacks a line has and with what parameters · `stacks` creates, changes and deletes them by change sets
· `releases` are the tags that ran, and their images · `rolling` brings one out or back · `bootstrapping` begins with an
empty account · `smoke` loads a few rows as a caller would and looks for each of their vectors · `health` asks for it.
"""
