import html.parser
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.contract import markup, sanitizers


@pytest.mark.parametrize(
    "text",
    [
        "Returns a Set<Integer> of every <supplier>",
        "Map<K, V>, Pair<A,B>, Box<A>, List<Object>, vec<b>, Optional<Time>, Vec<Option>, foo_<I>",
        "<https://example.org/help>, <mailto:me@example.org>, <me@example.org>, <user>@<host>",
        "Dear <title> <name>, your <address> and <number>",
        "<my-tag class='x'>kept</my-tag>, <o:p>, <foo/>, </foo>",
        "a<b and c>d, if (a <b && c => d), 5 < 6, <3, x <- y, a <= b, <>, < p>, <<<",
        "<i.e.> <e.g.> <s,t> <b|i> <1> <p",
        "the <script> element and <style> too",
        "<!-- never closed, <![CDATA[ either, <!channel>, <?php echo 1 ?>",
        "<a href='never ends",
    ],
)
def test_what_html_does_not_know_is_text(text: str) -> None:
    assert sanitizers.clean(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<b>bold, <i>never</b> closed", "bold, never closed"),
        ("<title>Shop</title><address>Main street</address>", "Shop Main street"),
        ("word<br>word<BR/>word<P>word<hr />", "word word word word"),
        ("x<b>y</b>z <SPAN CLASS=a>s</SPAN>", "xyz s"),
        ('<a title="5 > 4 <b>" href=\'?a=">"\'>link</a>', "link"),
        ("<a href=https://example.org/?a=b&c>link</a>", "link"),
        ('<a href="x"" target=_blank>stray quote</a>', "stray quote"),
        ("<td nowrap>1</td><td>2</td><input disabled><input type=text>", "1 2"),
        ("<div\n  class='a'\n>lines</div\n>", "lines"),
        ("<style>p > a { color: red }</style><p>A stool</p><script>if (a<b) w('<p>')</script>!", "A stool !"),
        ("<SCRIPT type='x'>'</p>'</SCRIPT >y", "y"),
        ("a<style type='text/css'>p { cut off", "a"),
        ("a<script src='x' /> b", "a b"),
        ("a<!-- <b> > -->b<!-->c<!--->d", "a b c d"),
        ("<![CDATA[<p>A stool</p>]]>, <![CDATA[ two ]]>", "A stool , two"),
        ("<!DOCTYPE html><html lang=en><body>x</body></html>", "x"),
        ("<![if !supportLists]>1<![endif]><!--[if mso]>x<![endif]-->", "1"),
        ('<?xml version="1.0"?><?xml:namespace prefix = o />z', "z"),
        ('<svg viewBox="0 0 1 1"><title>Icon</title><path d="M0"/><style>.a{}</style></svg>z', "Icon z"),
        ("<math><mi>x</mi><mo>=</mo></math><customer>", "x=<customer>"),
        ('<b and c><a title="x > y">t</a><b x="<i>i</i>" <p>q', '<b and c>t<b x="i" q'),
        ("<center>a</center><font size=2>b</font><marquee>c</marquee>", "a bc"),
    ],
)
def test_what_html_knows_is_taken_out(text: str, left: str) -> None:
    assert sanitizers.clean(text) == left


class _Oracle(html.parser.HTMLParser):
    """The text of a document as Python's own parser sees it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.texts: list[str] = []
        self.raw = ""

    def handle_data(self, data: str) -> None:
        if not self.raw:
            self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.raw = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.raw = ""


WORD = st.sampled_from(["stool", "red", "5 > 4", "a = b", "'q'", '"q"', "-", "é"])
ATTRIBUTES = st.lists(
    st.sampled_from(['class="a b"', "id='x'", 'title="5 > 4"', "data-x=1", "href=/a?b=c", "hidden", 'alt="<i>"']),
    max_size=3,
).map(" ".join)
NAME = st.sampled_from(["p", "b", "div", "SPAN", "a", "li", "td", "em", "h1", "Table"])


def element(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda name, attributes, texts: f"<{name} {attributes}>{' '.join(texts)}</{name}>",
        NAME,
        ATTRIBUTES,
        st.lists(inside),
    )


DOCUMENT = st.lists(
    st.one_of(
        st.recursive(WORD, element, max_leaves=8),
        st.sampled_from(
            ["<br>", "<!-- a <b> -->", "<script>x('<p>')</script>", "<style type=a>p>a{}</style>", "<img src=x>"]
        ),
    )
).map(" ".join)


@given(document=DOCUMENT)
def test_a_sound_document_has_the_text_that_a_parser_finds(document: str) -> None:
    oracle = _Oracle()
    oracle.feed(document)
    oracle.close()
    assert "".join(markup.without(document).split()) == "".join("".join(oracle.texts).split())


@given(text=st.text(st.sampled_from("<>/!-[]abpP= \"'&é"), max_size=40))
def test_nothing_is_made_up_and_what_is_no_tag_stays(text: str) -> None:
    left = markup.without(text)
    kept = iter(text)
    assert all(character == " " or character in kept for character in left)
    if "<" not in text or ">" not in text:
        assert left == text


def test_any_hostile_text_costs_linear_time() -> None:
    rng = random.Random(5)
    pieces = [
        "<", ">", "</", "b", "p", " ", "=", '"', "'", "<b ", "a=", "<!--", "-->", "<![CDATA[", "]]>", "<script>",
        "</script>", "<style a=b>", "<svg>", "</svg>", "<math>", "x", "/", '<a href="', "<object>", "\n",
    ]  # fmt: skip
    units = ["".join(rng.choices(pieces, k=rng.randint(1, 7))) for _ in range(60)]
    for unit in [*units, "<b a=\"' c=''a=x\" y='", "<svg></svg ", "<b x='> "]:
        evil = unit * (300_000 // len(unit)) + rng.choice(pieces)
        began = time.process_time()
        markup.without(evil)
        assert time.process_time() - began < 5, unit
