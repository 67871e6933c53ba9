"""docs/reference is what the code gives, and links of the documents lead somewhere."""

import functools
import pathlib
import re

import pytest

from docs import reference

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGES = ["cli.md", "configuration.md", "options.md"]


@functools.cache
def made() -> dict[str, str]:
    return reference.pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_gives(name):
    pages = made()
    assert sorted(pages) == PAGES
    assert (ROOT / "docs" / "reference" / name).read_text() == pages[name], "make reference-files"


@pytest.mark.parametrize("page", ["tutorial.md", "how-to.md", "capacity.md"])
def test_every_link_leads_somewhere(page):
    text = (ROOT / "docs" / page).read_text()
    links = re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", text)
    assert links
    for path, anchor in links:
        target = ROOT / "docs" / path
        assert target.exists(), path
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, anchor
