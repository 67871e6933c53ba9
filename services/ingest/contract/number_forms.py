"""Numbers as cells: only what the number would write back in the same characters, in a form that the whole column has.

There are three kinds of form:

* ``plain``: 12, -3, 30.5: as short as can be, no zero behind the last place;
* ``float``: 12.0, 30.5, 1e-05: as Python writes floats, with one place at least, very small and large ones by exponent;
* ``fixed:2``: 12.00, 30.50: always so many places, as prices and decimals of databases are written.

So 1.1 and 1.10 together are no numbers (versions, sections), nor are 12E5, 1e3, 00123, +1, -0; 9.50 and 12.00 are.
"""

import decimal
import functools
import re
from collections.abc import Callable, Sequence

import orjson

PLAIN = "plain"
FLOAT = "float"
FIXED = "fixed:"

# Up to 15 digits a double gives back what it was made of (IEEE 754, DBL_DIG); longer cells are looked at one by one.
SAFE_CHARACTERS = 15
# A double has no more digits than this before its point, and none is written with more behind it.
LONGEST_CHARACTERS = 350
_INTEGER = r"-?(?:0|[1-9][0-9]*+)"
# Where Python uses an exponent: from 1e16 on, and below 0.0001.
_SCIENTIFIC = r"-?[1-9](?:\.[0-9]++(?<!0))?e(?:-[0-9]{2,3}|\+[0-9]{2,3})"
_NUMBER = re.compile(rf"(?!-0\Z){_INTEGER}(?:\.(?P<places>[0-9]++))?")
# Whole numbers from here on are not all doubles (IEEE 754): such cells are keys.
INEXACT_INTEGER = 2**53


def of(cell: str) -> frozenset[str]:
    """Return the forms that a cell without outer blanks has as a number; none: it is no number."""
    match = _NUMBER.fullmatch(cell)
    if match is None:
        exact = re.fullmatch(_SCIENTIFIC, cell) and writes(FLOAT, cell)
        return frozenset({FLOAT} if exact else ())
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
    if "e" in cell:
        return repr(value) == cell
    if "." not in cell:
        return abs(value) < INEXACT_INTEGER
    if form.startswith(FIXED):
        return f"{value:.{len(cell) - cell.index('.') - 1}f}" == cell
    # repr is the shortest decimal that is read as the same double; it may have an exponent where the cell has none.
    return repr(value) == cell or decimal.Decimal(repr(value)) == decimal.Decimal(cell)


def writes_all(form: str, cells: Sequence[str]) -> bool:
    """Tell the same of many cells, without outer blanks; of none it is true."""
    if cells and not form.startswith(FIXED):
        # JSON's floats are the shortest decimals too, and written ten times as fast; only exponents look different.
        text = f"[{','.join(cells)}]"
        try:
            values = orjson.loads(text)
        except ValueError:
            values = None
        if orjson.dumps(values) == text.encode() and (form == FLOAT or max(map(abs, values)) < INEXACT_INTEGER):
            return True
    return all(writes(form, cell) for cell in cells)


@functools.lru_cache(maxsize=64)
def matcher(form: str, separator: str) -> Callable[[str], object]:
    """Return what tells whether text is cells of a form or empty ones, spaces around them, a separator behind each."""
    end = rf"(?= *+{separator})"
    if form == PLAIN:
        cell = rf"(?!-0{end}){_INTEGER}(?:\.[0-9]++(?<!0))?"
    elif form == FLOAT:
        cell = rf"{_INTEGER}\.(?:0{end}|[0-9]++(?<!0)){end}|{_SCIENTIFIC}"
    else:
        cell = rf"{_INTEGER}\.[0-9]{{{form.removeprefix(FIXED)}}}"
    return re.compile(rf"(?> *+(?:{cell})? *+{separator})*+").fullmatch
