"""A row becomes usable, or a reject with a reason (API.md §2).

In: cells. Out: vector id, text and metadata, or why not.


contract      judges a row; uses all that follows
context       what a row's metadata say about its task
excel         cells that are kept from being retyped
nulls         cells without a value
ids           a row's id, and how the index has it
dates         the day of a row against the request's days
sanitizers    what becomes of a text
markup        takes HTML out of it
tokens        how long it is
text_copy     how much of it the metadata hold
column_types  of what type a column is, over all its rows
metadata      the row's metadata in their wire form
"""
