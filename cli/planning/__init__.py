"""What a line for so many rows a day needs, costs and promises; arithmetic only, nothing is asked.

`demand` is what is wanted, `prices` the one dated table, `measured` and `limits` what the parts can do, `lines` the two
lines of `deploy/parameters` and their bills, `availability` the published promises
multiplied. `plan` is all of it together.
"""
