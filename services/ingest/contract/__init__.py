"""A row becomes usable, or a reject with a reason (API.md §2, §5).

In: cells. Out: vector id, text and metadata, or why not.


contract        judges a row; uses all that follows
nulls           which cells have no value
dates           the day of a row against the request's days
sanitizers      what becomes of a text
tokens          how long it is
declared        what becomes of a cell whose column has a declared type
metadata        the row's metadata in their wire form

columns         what a scan finds out of the columns over all rows; uses
column_types    of what type a column is
number_forms    which cells are numbers
date_orders     in which order a column writes day, month and year
moments         what a cell says of a day and a time
calendar_words  names of months and weekdays
"""
