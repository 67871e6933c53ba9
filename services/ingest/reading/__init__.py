"""Bytes become rows. In: a stream. Out: blocks of rows with their source bytes, and flaws that stay with their rows.

gunzip     unpacks, bounded
foreign    refuses what is no CSV, by its name
encoding   in which encoding the bytes are
delimiter  which character parts the cells
dialect    all of that together: how to read one file
reader     reads it, a block at a time
oversized  records that are too long to be held
header     the first line against the request
"""
