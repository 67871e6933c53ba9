"""New inputs out of old ones: bytes moved about, words of the trade put in, options changed, the whole written anew."""

import dataclasses
import gzip
import random
import re
import zlib
from collections.abc import Sequence
from typing import Any

from tests.fuzz import case
from tests.unit.ingest.reading import languages

# What means something to the reader, the types, the sanitizers or the contract.
WORDS = (
    b"id,formatted_text\n", b"id;formatted_text;created_at\r\n", b"id\tformatted_text\ttext\n", b"1,a\n", b"\n1,a,b",
    b'"', b'""', b'"a"b', b',"', b'",', b'"\n', b'\n"', b",", b";", b"|", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b" ",
    b"\x00", b"\x1f", b"\x0b", b"\x0c", b"\x1a", b"\x1c", b"\x85", b"\xa0", b"\xe9", b"\xff", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\x83|", b"\xf0\x9f\x98\x80", "é".encode(),
    "\u2028".encode(), "\u200d".encode(),
    b"id", b"formatted_text", b"created_at", b"text", b"source", b"csv_text", b"row_id", b"$x", b"column_2",
    b"true", b"FALSE", b"yes", b"NaN", b"inf", b"1e999", b"-0", b"-1.5e-7", b"00123", b"0x10", b"1_000",
    b"9007199254740993", b"2025-01-01", b"2025-02-30", b"2025-01-02T23:59:59-05:00", b"1/2/2025",
    b"1-2-2025", b"13/13/2025", b"0000-01-01", b"13/1/2025", b"1.2.25", b"25-01-02", b"3 Jan 2025 1:00 PM", b"NULL",
    b"12E5", b"1.10", b"1.1", b"2.50", b"1e-05", b"+7", b"red|wood", b"1712102400",
    b"<b>", b"</p>", b"<!--", b"-->", b"<", b">", b"&amp;", b"&#x41;", b"&lt;", b"&", b"=1+1", b"x" * 60, b"a b " * 40,
    b"y" * 250, b'2,"a"b' + b"z" * 250 + b"\n", b'\n3,"' + b"z\n" * 150 + b'"\n4,d\n', b"\x80" * 40,
    b"\n5," + b"\x80" * 40 + b"\n",
    b"{", b"[{", b"<html>", b"PK\x03\x04", b"\x1f\x8b", b"sep=;\n",
    b'\\"', b"\\", b"\\,", b"\\\n", b"\\N", b', "a, b", ', b', "', b'" ,', b"'", b",'a, b'", b"''",
    b"\x1a\n", b"\0\0\0", b"\x1a",
    b"\n,,\n", b"\n , ,\n", b"id,formatted_text\n", b"\xef\xbb\xbfid,formatted_text\n", b" id , formatted_text\n",
    b"formatted_text,id\n", b"id,formatted_text,n\n", b"Report of May\n", b"# a comment\n", b"n,n,n", b"\xc2\xa0",
    b" " * 250, b"\n7\n x, y\n",
    b'\n5,"' + b" " * 150 + b'"\n', b'5" nail', b'"Soft" chairs',
)  # fmt: skip
OPTIONS: dict[str, Sequence[Any]] = {
    "encoding": ("utf-8", "cp1252", "cp932", "gb18030", "utf-16-le", "utf-32-be", "iso2022_jp", "cp037"),
    "delimiter": (",", ";", "|", "\t"),
    "sanitizer": ("legacy", "none"),
    "metadata": ("legacy",),
    "on_long_text": ("truncate",),
    "on_duplicate": ("fail",),
    "start_date": ("2025-01-01",),
    "end_date": ("2025-01-02", "2024-12-31"),
    "text_template": ("{id}", "{formatted_text} {{{id}}}", "{column_2}"),
    "metadata_columns": (["text"], ["id"]),
    "exclude_columns": (["formatted_text"], ["created_at"]),
    "id_column": ("formatted_text", "text"),
    "null_values": (["NULL"], ["1", "true"]),
    "column_types": (["created_at:timestamp"], ["created_at:number"], ["text:list(|)"], ["id:string", "text:boolean"]),
    "date_order": ("mdy", "dmy", "ymd"),
    "time_zone": ("Asia/Tokyo", "America/New_York"),
    "chunk_size": (1, 2, 7),
    "quoting": ("csv", "none", "backslash"),
    "on_ragged": ("pad",),
    "skip_lines": (0, 1, 3),
}
REWRITTEN = (
    "utf-16", "utf-16-be", "utf-8-sig", "utf-32", "cp1252", "cp1250", "cp1251", "cp850", "cp874", "koi8-r", "cp932",
    "gb18030", "iso2022_jp", "mac_roman",
)  # fmt: skip
MOST_BYTES = 1_500


def mutated(one: case.Case, others: Sequence[case.Case], rng: random.Random) -> case.Case:
    """Return an input that differs in one to six things."""
    packed = one.data[:2] == b"\x1f\x8b" and rng.random() < 0.8
    data = _unpacked(one.data) if packed else one.data
    options, block_bytes, tiny = one.options, one.block_bytes, one.tiny
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        what = rng.random()
        if what < 0.02:
            data = _foreign(rng)
        elif what < 0.75:
            data = _bytes(data, others, rng)
        elif what < 0.9:
            options = _options(options, rng)
        elif what < 0.97:
            block_bytes, tiny = rng.choice((1, 3, 7, 50, 1 << 20, 1 << 20)), rng.random() < 0.7
        else:
            data = _rewritten(data, rng)
    data = data[:MOST_BYTES]
    if packed or rng.random() < 0.01:
        data = gzip.compress(data, compresslevel=1, mtime=0)
    return dataclasses.replace(one, data=data, options=options, block_bytes=block_bytes, tiny=tiny)


def _bytes(data: bytes, others: Sequence[case.Case], rng: random.Random) -> bytes:
    # Rather behind the header than in it: a file without its columns shows little.
    first = re.search(rb"[\r\n]", data) if rng.random() < 0.9 else None
    start = rng.randrange(first.end() if first else 0, len(data) + 1)
    end = min(len(data), start + int(rng.expovariate(0.1)) + 1)
    what = rng.random()
    if what < 0.5:
        return data[:start] + rng.choice(WORDS) + data[start:]
    if what < 0.6:
        return data[:start] + rng.randbytes(1) + data[start + 1 :]
    if what < 0.75:
        return data[:start] + data[end:]
    if what < 0.85:
        return data[:end] + data[start:end] * rng.choice((1, 2, 9)) + data[end:]
    if what < 0.9:
        return data[:start] + rng.choice(WORDS) + data[end:]
    other = rng.choice(others).data
    cut = rng.randrange(len(other) + 1)
    return data[:start] + other[cut : cut + 200]


def _foreign(rng: random.Random) -> bytes:
    """A file of some language, in a page and of a number of rows that people have."""
    language = languages.LANGUAGES[rng.choice(list(languages.LANGUAGES))]
    return language.written(rng.choice((1, 2, 3, 30)), rng.randrange(1_000), rng.choice(language.codecs))[0]


def _options(options: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    name = rng.choice(list(OPTIONS)[rng.choice((0, 1, 2, 2, 2)) :])
    if name in options:
        return {key: value for key, value in options.items() if key != name}
    return {**options, name: rng.choice(OPTIONS[name])}


def _rewritten(data: bytes, rng: random.Random) -> bytes:
    try:
        return data.decode().encode(rng.choice(REWRITTEN))
    except UnicodeError:
        return data


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, MOST_BYTES)
    except zlib.error:
        return data
