"""One pass over the whole source. In: a pinned source. Out: what is wrong with all of it, or the plan of its chunks.

scan        the pass
duplicates  rows whose id an earlier row has
firsts      which of them counts: the first that is loaded
cursor      reads from a row on
cutter      where chunks end
plan        what the split needs
selection   the rows that a retry takes
shelf       plans in the bucket
"""
