"""Numbers as cells: only what the number would write back in the same characters, in a form that the whole column has.

There are three kinds of form, none with an exponent, a plus, a leading zero or a separator of thousands:

* ``plain``: 12, -3, 30.5: as short as can be, no zero behind the last place;
* ``float``: 12.0, 30.5: the same with one place at least, as Python and Java write floats;
* ``fixed:2``: 12.00, 30.50: always so many places, as prices and decimals of databases are written.

So 1.1 and 1.10 together are no numbers (versions, sections), nor are 12E5, 00123, +1, -0; 9.50 and 12.00 are.
"""

import decimal
import functools
import re
from collections.abc import Callable

PLAIN = "plain"
FLOAT = "float"
FIXED = "fixed:"

# Up to 15 digits a double gives back what it was made of (IEEE 754, DBL_DIG); longer cells are looked at one by one.
SAFE_CHARACTERS = 15
# A double has no more digits than this before its point, and none is written with more behind it.
LONGEST_CHARACTERS = 350
_INTEGER = r"-?(?:0|[1-9][0-9]*+)"
_NUMBER = re.compile(rf"(?!-0\Z){_INTEGER}(?:\.(?P<places>[0-9]++))?")
# Whole numbers from here on are not all doubles (IEEE 754): such cells are keys.
INEXACT_INTEGER = 2**53


def of(cell: str) -> frozenset[str]:
    """Return the forms that a cell without outer blanks has as a number; none: it is no number."""
    match = _NUMBER.fullmatch(cell)
    if match is None:
        return frozenset()
    places = match["places"]
    if places is None:
        forms = {PLAIN}
    else:
        forms = {f"{FIXED}{len(places)}"}
        if not places.endswith("0"):
            forms |= {PLAIN, FLOAT}
        elif places == "0":
            forms.add(FLOAT)
    return frozenset(forms if len(cell) <= SAFE_CHARACTERS else (form for form in forms if writes(form, cell)))


def writes(form: str, cell: str) -> bool:
    """Tell whether the double that a cell of a form is read as is written as that cell again."""
    if len(cell) > LONGEST_CHARACTERS:
        return False
    value = float(cell)
    if "." not in cell:
        return abs(value) < INEXACT_INTEGER
    if form.startswith(FIXED):
        return f"{value:.{len(cell) - cell.index('.') - 1}f}" == cell
    # repr is the shortest decimal that is read as the same double; it may have an exponent where the cell has none.
    return repr(value) == cell or decimal.Decimal(repr(value)) == decimal.Decimal(cell)


@functools.lru_cache(maxsize=64)
def matcher(form: str, separator: str) -> Callable[[str], object]:
    """Return what tells whether text is cells of a form or empty ones, each with a separator behind it."""
    if form == PLAIN:
        cell = rf"(?!-0{separator}){_INTEGER}(?:\.[0-9]++(?<!0))?"
    elif form == FLOAT:
        cell = rf"{_INTEGER}\.(?:0(?={separator})|[0-9]++(?<!0))"
    else:
        cell = rf"{_INTEGER}\.[0-9]{{{form.removeprefix(FIXED)}}}"
    return re.compile(rf"(?>(?:{cell})?{separator})*+").fullmatch
