"""Files to load: rows of about 64 tokens, no two texts alike, made once a run."""

import pathlib
import random
import re
from collections.abc import Iterator

SEED = 20261123
WORDS_A_TEXT = 48
WORDS = (
    "sturdy oak table chair lamp brass handle garden hose summer winter copper kettle paper note blue red green large "
    "light heavy quiet motor river stone wall window door floor carpet woven cotton linen silk leather belt buckle "
    "clock spring steel blade knife board bread oven glass bottle cork wine salt pepper spice rice bean apple pear "
    "bicycle wheel chain pedal saddle helmet tent rope map compass boat oar sail anchor harbour bridge tower roof"
)
HEADER = "id,formatted_text,title,category,price,rating,in_stock,created_at,url\n"
BLOCK_ROWS = 5_000
NOTE = "Delivered in one parcel with a returns label; spare parts are kept for ten years. " * 4


def of(folder: pathlib.Path, rows: int) -> pathlib.Path:
    """A file of so many rows, about 420 bytes each."""
    return _made(folder / f"rows-{rows}.csv", HEADER, _blocks(rows))


def big(folder: pathlib.Path, rows: int) -> pathlib.Path:
    """The same with another column, so that 1.5 million rows are 1 GB."""
    blocks = (block.replace("\n", f",{NOTE}\n") for block in _blocks(rows))
    return _made(folder / f"big-{rows}.csv", HEADER.replace("\n", ",note\n"), blocks)


def one_id(folder: pathlib.Path, rows: int) -> pathlib.Path:
    """All rows have the same id, of which the first is taken."""
    blocks = (re.sub(r"^\d+", "1", block, flags=re.MULTILINE) for block in _blocks(rows))
    return _made(folder / f"one-id-{rows}.csv", HEADER, blocks)


def wide(folder: pathlib.Path, rows: int) -> pathlib.Path:
    """With so many further columns that there are a thousand, of which three of a row are filled: 1.5 KB a row."""
    names = [f"attribute_{number:03}" for number in range(1_000 - len(HEADER.split(",")))]
    header = HEADER.replace("\n", f",{','.join(names)}\n")
    cells = [_filled(len(names), at) for at in range(len(names))]
    blocks = (
        re.sub(r"^(\d+),(.*)$", lambda row: row[0] + cells[int(row[1]) % len(cells)], block, flags=re.MULTILINE)
        for block in _blocks(rows)
    )
    return _made(folder / f"wide-{rows}.csv", header, blocks)


def _filled(columns: int, at: int) -> str:
    """Three cells of so many, the first at a place."""
    cells = [""] * columns
    for step in range(3):
        cells[(at + step * 7) % columns] = f"v{step}"
    return "," + ",".join(cells)


def _made(path: pathlib.Path, header: str, blocks: Iterator[str]) -> pathlib.Path:
    if not path.exists():
        with path.open("w", encoding="utf-8") as file:
            file.write(header)
            file.writelines(blocks)
    return path


def _blocks(rows: int) -> Iterator[str]:
    choose = random.Random(SEED)
    phrases = [" ".join(choose.choices(WORDS.split(), k=WORDS_A_TEXT // 4)) for _ in range(4_000)]
    for first in range(1, rows + 1, BLOCK_ROWS):
        yield "".join(
            _row(number, choose.choices(phrases, k=4)) for number in range(first, min(first + BLOCK_ROWS, rows + 1))
        )


def _row(number: int, parts: list[str]) -> str:
    text = f"Article {number}. {'. '.join(parts)}."
    return (
        f"{number},{text},{parts[0][:20]},c{number % 31},{number % 9973 / 100},{number % 50 / 10},"
        f"{'true' if number % 3 else 'false'},2025-{number % 12 + 1:02}-{number % 28 + 1:02},https://shop.example/{number}\n"
    )
