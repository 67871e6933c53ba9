"""docs/reference is what the code gives, and links of the documents lead somewhere."""

import functools
import pathlib
import re

import pytest

from docs import reference

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGES = ["cli.md", "configuration.md", "options.md", "reasons.md"]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md", "clients/python/*.md", "gateway/*.md", "sandbox/**/*.md")
    for path in ROOT.glob(pattern)
)


@functools.cache
def made() -> dict[str, str]:
    return reference.pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_gives(name):
    pages = made()
    assert sorted(pages) == PAGES
    assert (ROOT / "docs" / "reference" / name).read_text() == pages[name], "make reference-files"


@pytest.mark.parametrize("page", DOCUMENTS, ids=str)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)", text):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{path}#{anchor}"


def test_the_readme_is_a_screen_and_a_half():
    """What is longer belongs into docs/, where the index of docs/README.md leads to it."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


def test_every_page_is_reached_from_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {each for each in DOCUMENTS if each.parts[0] == "docs" and each.parent.name in ("docs", "reference")}
    unreached = [each for each in pages if f"({each.relative_to('docs').as_posix()})" not in index]
    assert unreached == [pathlib.Path("docs/README.md")]


@pytest.mark.parametrize("page", DOCUMENTS, ids=str)
def test_every_target_of_make_that_is_named_is_there(page):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / page).read_text()
    code = [*re.findall(r"`(make [^`]+)`", text), *re.findall(r"^(?:\S+=\S+ )*(make .*)$", text, re.MULTILINE)]
    named = {word for each in code for word in re.findall(r"^make ([a-z][a-z-]*)", each)}
    assert named <= targets
