"""Write the catalogue as a CSV: ``python -m sandbox.demo.sample --rows 100000 --out catalogue.csv``.

The same seed and number of rows always give the same bytes. A handful of rows near the start shows the row contract:
duplicates, empty fields, a ragged row, HTML, a line break in quotes. `expected` says what must come of them.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import pathlib
import random
import sys
from collections.abc import Callable, Iterator
from typing import Final

from sandbox.demo import vocabulary

DEFAULT_ROWS: Final = 5_000
DEFAULT_SEED: Final = 232

COLUMNS: Final = (
    "id",
    "formatted_text",
    "title",
    "category",
    "brand",
    "colour",
    "price",
    "rating",
    "reviews",
    "in_stock",
    "created_at",
    "url",
)
_ROWS_A_BLOCK: Final = 500  # about 150 KB of CSV: what is in memory at a time

Row = list[str]


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the line must make of a sample: rows_read = indexed + skipped + failed."""

    rows_read: int
    indexed: int
    skipped: int
    failed: int


def _product_id(number: int) -> str:
    return f"P-{number:07d}"


def _duplicate_id(row: Row) -> Row:
    return [_product_id(1), *row[1:]]


def _no_text(row: Row) -> Row:
    return [row[0], "", *row[2:]]


def _no_id(row: Row) -> Row:
    return ["", *row[1:]]


def _one_cell_too_many(row: Row) -> Row:
    return [*row, "surplus"]


def _html(row: Row) -> Row:
    text = row[1].replace(". ", ".</p>\n<p>")
    return [row[0], f"<p><b>New!</b> {text}</p><br/>Gift wrap &amp; card free of charge.", *row[2:]]


# Row number (1-based, the header not counted) to what is odd about it.
_SKIPPED: Final[dict[int, Callable[[Row], Row]]] = {41: _duplicate_id, 87: _duplicate_id}
_FAILED: Final[dict[int, Callable[[Row], Row]]] = {23: _no_text, 58: _no_id, 96: _one_cell_too_many}
_ODD_BUT_GOOD: Final[dict[int, Callable[[Row], Row]]] = {12: _html}
_ODD: Final = _SKIPPED | _FAILED | _ODD_BUT_GOOD


def expected(rows: int, *, odd: bool = True) -> Expected:
    """What must come of a sample of `rows` rows."""
    skipped = sum(number <= rows for number in _SKIPPED) if odd else 0
    failed = sum(number <= rows for number in _FAILED) if odd else 0
    return Expected(rows_read=rows, indexed=rows - skipped - failed, skipped=skipped, failed=failed)


def blocks(rows: int = DEFAULT_ROWS, *, seed: int = DEFAULT_SEED, odd: bool = True) -> Iterator[bytes]:
    """The CSV as UTF-8, block by block, the header in the first. Memory does not grow with `rows`.

    Args:
        rows: Data rows.
        seed: Another seed, another catalogue (the ids stay).
        odd: Include the rows that show the row contract.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, row in enumerate(_rows(rows, seed), start=1):
        writer.writerow(_ODD[number](row) if odd and number in _ODD else row)
        if number % _ROWS_A_BLOCK == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    if rest := buffer.getvalue():
        yield rest.encode()


def write(out: pathlib.Path, rows: int = DEFAULT_ROWS, *, seed: int = DEFAULT_SEED, odd: bool = True) -> None:
    """Write a sample to a file."""
    with out.open("wb") as stream:
        stream.writelines(blocks(rows, seed=seed, odd=odd))


def _rows(rows: int, seed: int) -> Iterator[Row]:
    # One draw of 128 bits a row, taken apart by division: several times quicker than a draw for each choice.
    draw = random.Random(seed).getrandbits
    categories, colours, audiences = vocabulary.CATEGORIES, vocabulary.COLOURS, vocabulary.AUDIENCES
    for number in range(1, rows + 1):
        bits = draw(128)
        bits, choice = divmod(bits, len(categories))
        category = categories[choice]
        bits, choice = divmod(bits, len(category.products))
        product = category.products[choice]
        bits, choice = divmod(bits, len(product.uses))
        use = product.uses[choice]
        bits, choice = divmod(bits, len(category.brands))
        brand = category.brands[choice]
        bits, choice = divmod(bits, len(category.looks))
        look = category.looks[choice]
        bits, choice = divmod(bits, len(category.features))
        feature = category.features[choice]
        bits, choice = divmod(bits, len(colours))
        colour = colours[choice]
        bits, choice = divmod(bits, len(audiences))
        audience = audiences[choice]
        bits, percent = divmod(bits, 101)
        bits, rating = divmod(bits, 21)
        bits, reviews = divmod(bits, 900)
        bits, stocked = divmod(bits, 5)
        bits, month = divmod(bits, 36)
        bits, day = divmod(bits, 28)
        minute = bits % 1440
        title = f"{brand} {look} {product.name}"
        price = product.usual_price * (0.6 + percent / 100) - 0.01
        row_id = _product_id(number)
        yield [
            row_id,
            f"{title}. {use} {feature} {audience} Available in {colour}.",
            title,
            category.name,
            brand,
            colour,
            f"{price:.2f}",
            f"{3 + rating / 10:.1f}",
            str(reviews),
            "true" if stocked else "false",
            f"{2023 + month // 12}-{month % 12 + 1:02}-{day + 1:02}T{minute // 60:02}:{minute % 60:02}:00Z",
            f"https://shop.example/{category.name}/{row_id}",
        ]


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo.sample", description="Write a product catalogue.")
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS, help="data rows (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="default: %(default)s")
    parser.add_argument("--clean", action="store_true", help="without the rows that are skipped or rejected")
    parser.add_argument("--out", type=pathlib.Path, help="default: stdout")
    arguments = parser.parse_args()
    if arguments.rows < 0:
        parser.error("--rows must not be negative")
    if arguments.out:
        write(arguments.out, arguments.rows, seed=arguments.seed, odd=not arguments.clean)
    else:
        sys.stdout.buffer.writelines(blocks(arguments.rows, seed=arguments.seed, odd=not arguments.clean))


if __name__ == "__main__":
    main()
