"""A row becomes usable, or a reject with a reason (API.md §2, §5).

In: cells. Out: vector id, text and metadata, or why not.


contract        judges a row; uses all that follows
unreadable      what is wrong with rows that are no records as wide as the header
context         what a row's metadata say about its task
excel           cells that are kept from being retyped
nulls           which cells have no value
ids             a row's id, and how the index has it
dates           the day of a row against the request's days
sanitizers      what becomes of a text
markup          takes HTML out of it
tokens          how long it is
text_copy       how much of it the metadata hold
declared        what becomes of a cell whose column has a declared type
metadata        the row's metadata in their wire form

columns         what a scan finds out of the columns over all rows; uses
column_types    of what type a column is
number_forms    which cells are numbers
date_orders     in which order a column writes day, month and year
moments         what a cell says of a day and a time
calendar_words  names of months and weekdays
"""
