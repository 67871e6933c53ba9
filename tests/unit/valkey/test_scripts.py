"""Scripts say their flags, in every room."""

import pathlib

import pytest

from services.valkey import scripts

ROOT = pathlib.Path(__file__).resolve().parents[3]
# What stands before others has no flags of its own: they are the script's.
SHARED = {"services/chunks": ("prelude", "admit"), "services/embedder/limiter": ("state",)}
FILES = sorted((ROOT / "services").glob("**/lua/*.lua"))
SCRIPTS = [
    (str(file.parents[1].relative_to(ROOT)), file.stem)
    for file in FILES
    if file.stem not in SHARED.get(str(file.parents[1].relative_to(ROOT)), ())
]


def test_there_are_scripts_in_three_rooms() -> None:
    assert {room for room, _ in SCRIPTS} == {*SHARED, "services/valkey"}


@pytest.mark.parametrize(("room", "name"), SCRIPTS)
def test_every_script_says_its_flags_and_the_shebang_repeats_them(room: str, name: str) -> None:
    text = scripts.source(room.replace("/", "."), name, SHARED.get(room, ()))

    first, *rest = text.splitlines()
    said = next(line for line in rest if line.startswith("-- flags: "))
    flags = said.removeprefix("-- flags: ").split(",")[0].split()[0]
    assert first == ("#!lua" if flags == "none" else f"#!lua flags={flags}")


def test_a_file_that_does_not_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"services\.chunks/lua/prelude\.lua"):
        scripts.source("services.chunks", "prelude")
