"""Bytes become rows. In: a stream. Out: blocks of rows with their source bytes, and flaws that stay with their rows.

gunzip     unpacks, bounded
foreign    refuses what is no CSV, by its name
encoding   in which encoding the bytes are
padding    bytes that say nothing
table      where the table begins and how it is written, from the four that follow
preamble   what stands above it
delimiter  which character parts the cells
quoting    how cells are quoted
sample     which kind of quoting explains the first rows, and their habits
dialect    all of that together: how to read one file
lines      whole lines of a stream
reader     rows of lines, a block at a time
records    quotes and marks in the wrong place
oversized  records that are too long to be held
block      rows as they were read, with their bytes and lines
names      when two names are the same
header     the header's names against the request
shape      rows against the header: too wide, too short, blank, or the header again
"""
