"""Guesses at encodings: right or refused by name, the same for any number of rows, and held against the whole file."""

import collections

import pytest

from services.ingest import failures
from services.ingest.planning import scan
from services.ingest.reading import ballot, cesu8, encoding, reader
from tests.unit.ingest import support
from tests.unit.ingest.reading import languages

HEAD = "id,formatted_text\n"
PLAIN = "".join(f"{number},plain words of ascii {number}\n" for number in range(10, 10_010)).encode()
ORDINARY = ("Italian", "Swedish", "German", "French", "Polish", "Russian")
PAIRS = [(name, codec) for name, language in languages.LANGUAGES.items() for codec in language.codecs]


def outcome(data: bytes, texts: list[str]) -> str:
    try:
        loaded = support.load(data)
    except failures.FileFailure as failure:
        return "refused" if failure.reason == "ENCODING_UNCERTAIN" else f"wrong: {failure.reason}"
    read = [row.text for row in loaded.rows()]
    assert loaded.plan.dialect.encoding_guessed
    assert [each.code for each in loaded.plan.warnings] == ["encoding_guessed"]
    return "right" if read == texts else f"wrong: {loaded.plan.dialect.encoding} {read[:3]}"


@pytest.mark.parametrize(("name", "codec"), PAIRS)
def test_a_file_is_read_rightly_whatever_the_number_of_its_rows(name: str, codec: str) -> None:
    found: dict[int, collections.Counter[str]] = {}
    for rows, seeds in ((3, 4), (30, 3), (200, 1), (2_000, 1)):
        drawn = [languages.LANGUAGES[name].written(rows, seed, codec) for seed in range(seeds)]
        found[rows] = collections.Counter(outcome(data, texts) for data, texts in drawn)
    assert not [said for counts in found.values() for said in counts if said.startswith("wrong")]
    assert all(not found[rows]["refused"] for rows in (30, 200, 2_000))
    if name in ORDINARY and codec == languages.LANGUAGES[name].codecs[0]:
        assert not found[3]["refused"]


@pytest.mark.parametrize("name", ORDINARY)
def test_one_row_of_an_ordinary_language_is_read_in_the_page_of_windows(name: str) -> None:
    language = languages.LANGUAGES[name]
    for sentence in language.sentences:
        if not sentence.isascii():
            data = f'{HEAD}1,"{sentence}"\n'.encode(language.codecs[0])
            assert outcome(data, [sentence]) in ("right", "refused")


@pytest.mark.parametrize("before", [b"", PLAIN * 2], ids=["in the head", "late"])
def test_one_stray_byte_never_turns_a_file_of_utf8(before: bytes) -> None:
    good = "".join(f"{number},Müller café – Straße\n" for number in range(20_000, 21_000)).encode()
    loaded = support.load(HEAD.encode() + before + b"1,caf\xe9\n" + PLAIN * 2 + good)
    rows = before.count(b"\n")
    assert loaded.plan.dialect.encoding == "utf-8"
    assert loaded.reasons() == {rows + 1: "bad_encoding"}
    assert loaded.rows()[-1].text == "Müller café – Straße"
    assert not loaded.plan.dialect.encoding_guessed
    assert not loaded.plan.warnings


def test_a_head_of_utf8_is_outvoted_by_a_legacy_rest_and_its_rows_are_rejected_not_garbled() -> None:
    rest = "".join(f"{number},Müller sucht eine größere Straße für {number}\n" for number in range(2, 12_000)).encode(
        "cp1252"
    )
    loaded = support.load(HEAD.encode() + "1,naïve Größe\n".encode() + rest)
    assert loaded.plan.dialect.encoding == "cp1252"
    assert loaded.reasons() == {1: "bad_encoding"}
    assert loaded.rows()[0].text.startswith("Müller sucht eine größere")


def test_a_cut_character_in_a_line_of_utf8_is_a_stray() -> None:
    loaded = support.load(f"{HEAD}1,a\n2,Une chaise très légère".encode() + b" pour le caf\xc3\n3,b\n")
    assert (loaded.plan.dialect.encoding, loaded.reasons()) == ("utf-8", {2: "bad_encoding"})


def test_a_mark_in_the_middle_is_a_character_of_utf8() -> None:
    loaded = support.load(f"{HEAD}1,\ufeffa\n2,b\n".encode())
    assert loaded.plan.dialect.encoding == "utf-8"
    assert not loaded.plan.dialect.encoding_guessed


def test_a_late_legacy_page_is_found_by_lines_from_all_over_the_file() -> None:
    language = languages.LANGUAGES["Russian"]
    rest = "".join(f"{number},{language.sentences[number % 9]}\n" for number in range(20_000, 21_000)).encode("cp1251")
    loaded = support.load(HEAD.encode() + b"1,M\xfcller\n" + PLAIN * 2 + rest)
    assert loaded.plan.dialect.encoding == "cp1251"
    assert loaded.rows()[-1].text == language.sentences[20_999 % 9]


def test_a_scan_begins_anew_once_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    over = scan._Pass.over
    monkeypatch.setattr(scan._Pass, "over", lambda *args: begun.append(1) or over(*args))
    rest = "".join(f"{number},größere Straße\n" for number in range(9_000)).encode("cp1252")
    support.load(HEAD.encode() + PLAIN * 2 + rest)
    assert len(begun) == 2
    begun.clear()
    support.load(HEAD.encode() + PLAIN)
    assert len(begun) == 1


def test_what_cannot_be_told_is_asked_with_three_guesses_and_a_line_of_each() -> None:
    with pytest.raises(failures.FileFailure) as caught:
        support.load(HEAD.encode() + "1,Tè verde in bustine\n".encode("mac_roman"))
    assert caught.value.reason == "ENCODING_UNCERTAIN"
    assert "encoding=" in caught.value.message
    assert caught.value.message.count("verde") == 3


ENGLISH = (
    "A stool for £12", "The shop’s stool", "A lamp – red", "5° warm", "½ inch pipe", "Café table", "A 12 € stool",
    "Acme® lamp", "Size 3×4 rug", "Price: £ 12", "A “big” stool", "Tea… and more", "Naïve art print", "¥ 500 a bag",
    "Jalapeño sauce", "20 °C and more", "Brand™ kettle", "§ 5 of the law", "Crème brûlée set", "10¢ bag", "Rug 2 m²",
    "• first point", "© 2024 Acme", "San José mug", "A 3¼ inch nail",
)  # fmt: skip


@pytest.mark.parametrize("sentence", ENGLISH)
@pytest.mark.parametrize("rows", [1, 200])
def test_a_sign_or_a_borrowed_word_in_an_english_table_is_what_windows_writes(sentence: str, rows: int) -> None:
    texts = [f"{sentence} in colour {chr(97 + row % 26)}" for row in range(rows)]
    data = HEAD + "".join(f"{number},{text}\n" for number, text in enumerate(texts, start=1))
    assert outcome(data.encode("cp1252"), texts) == "right"


@pytest.mark.parametrize("byte", [b"\xc3", b"\xc2", b"\xe2\x80", b"\xc4", b"\xc5"])
@pytest.mark.parametrize("line", [b"A rug for the caf%b", b"Un caf%b noir", b"Kleine Stra%be"])
def test_half_a_character_in_a_table_of_ascii_is_asked_about(line: bytes, byte: bytes) -> None:
    """In one code page or another it is a letter; none of them makes a word of it."""
    assert outcome(HEAD.encode() + b"1,a lamp\n2," + line % byte + b"\n3,a stool\n", []) == "refused"


def test_a_declared_encoding_is_taken_at_its_word() -> None:
    latin = support.load(f"{HEAD}1,Größe\n".encode("latin-1"), encoding="iso8859-1")
    assert (latin.plan.dialect.encoding, latin.plan.dialect.encoding_guessed) == ("iso8859-1", False)
    assert not latin.plan.warnings
    broken = support.load(HEAD.encode() + b"1,caf\xe9\n2,caf\xe9\n3,a\n", encoding="utf-8")
    assert broken.reasons() == {1: "bad_encoding", 2: "bad_encoding"}


def test_cesu_8_is_read_as_what_it_is() -> None:
    emoji = "😀".encode("utf-16-le")
    pair = "".join(chr(int.from_bytes(emoji[at : at + 2], "little")) for at in (0, 2)).encode("utf-8", "surrogatepass")
    loaded = support.load(HEAD.encode() + b"1,a smile " + pair + "\n2,très bien\n3,half ".encode() + pair[:3] + b"\n")
    assert loaded.plan.dialect.encoding == cesu8.NAME
    assert [row.text for row in loaded.rows()] == ["a smile 😀", "très bien"]
    assert loaded.reasons() == {3: "bad_encoding"}
    assert (pair * 2).decode("cesu-8") == "😀😀"


def test_damage_in_a_few_lines_says_nothing_against_a_page() -> None:
    data, _ = languages.LANGUAGES["German"].written(200, 1, "cp1252")
    loaded = support.load(data + b"201;Gr\x81\xf6\xdfe\r\n")
    assert loaded.plan.dialect.encoding == "cp1252"
    assert loaded.reasons() == {201: "bad_encoding"}


def test_a_sample_is_spread_over_all_lines_and_bounded() -> None:
    votes = ballot.Ballot()
    for number in range(3_000):
        votes.add([f"{number},{chr(97 + number % 26)}{'é' * (number % 200)} wörter\n".encode("cp1252")] * 3)
    lines = votes.sample.splitlines()
    assert 0 < len(votes.sample) <= ballot.SAMPLE_BYTES
    assert min(int(line.split(b",")[0]) for line in lines) < 300
    assert max(int(line.split(b",")[0]) for line in lines) > 2_500


def test_a_line_of_a_megabyte_gives_a_sample_of_what_speaks_in_it() -> None:
    votes = ballot.Ballot()
    votes.add([b"1," + b"x " * 500_000 + "größere Straße\n".encode("cp1252")])
    assert votes.sample == b"gr\xf6\xdfere Stra\xdfe\n"
    assert encoding.verdict(votes).codec == "cp1252"


@pytest.mark.parametrize("block", [3, 7, 19, 64, 1 << 20])
def test_a_record_that_is_skipped_over_votes_wherever_a_block_ends(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess that depended on it would make the plan depend on how the bytes came."""
    monkeypatch.setattr(reader, "RECORD_LIMIT_BYTES", 90)
    long_line = b"2," + b"caf\xc3\xa9 " * 30 + b"\n"
    loaded = support.load(b"id,formatted_text\n1,caf\xe9\n" + long_line + b"3,\xc3\xa9t\xc3\xa9\n", piece_bytes=block)
    assert loaded.plan.dialect.encoding == "utf-8"
    assert loaded.reasons() == {1: "bad_encoding", 2: "field_too_long"}


@pytest.mark.parametrize("text", ["Ein grüner Stuhl", "Зелёный стул", "เก้าอี้ไม้สีแดงสำหรับเด็ก", "كرسي أخضر", "緑色の椅子"])
@pytest.mark.parametrize("rows", [1, 3, 400])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_is_named_in_any_script(text: str, rows: int, codec: str) -> None:
    data = (HEAD + "".join(f"{number},{text} {text} {text}\n" for number in range(rows))).encode(codec)
    with pytest.raises(failures.FileFailure, match=f"encoding={codec}") as refused:
        support.load(data)
    assert refused.value.reason == "NOT_TEXT"
    assert support.load(data, encoding=codec).rows()[0].text == f"{text} {text} {text}"


@pytest.mark.parametrize("text", ["Une chaise très légère", "Größe für Küche", "€ 5 – 6 “big”", "Зелёный стул"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_text_that_was_garbled_before_is_loaded_with_a_warning(text: str, mark: str) -> None:
    data = f"{mark}{HEAD}1,{text}\n2,plain\n".encode()
    assert not support.load(data).plan.warnings
    garbled = bytearray()
    for byte in text.encode():
        try:
            garbled += bytes([byte]).decode("cp1252").encode()
        except UnicodeDecodeError:
            garbled += chr(byte).encode()
    loaded = support.load(f"{mark}{HEAD}1,".encode() + garbled + b"\n2,plain\n", sanitizer="none")
    (said,) = loaded.plan.warnings
    assert (said.code, said.count) == ("garbled_text", 1)
    assert f"'1,{text}'" in said.message
    assert loaded.rows()[0].text == garbled.decode()
