"""What an operator does with a line on AWS; `deploy/bin` has a command for each.

`line` says which stacks a line has and with what parameters · `stacks` creates, changes and deletes them by change sets
· `releases` are the tags that ran, and their images.
"""
