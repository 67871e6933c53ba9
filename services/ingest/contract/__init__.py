"""A row becomes usable, or a reject with a reason (API.md §2).

In: cells. Out: vector id, text and metadata, or why not.


contract      judges a row; uses all that follows
unreadable    what is wrong with rows that are no records as wide as the header
dates         the day of a row against the request's days
sanitizers    what becomes of a text
tokens        how long it is
column_types  of what type a column is, over all its rows
metadata      the row's metadata in their wire form
"""
