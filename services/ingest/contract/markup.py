"""Takes HTML out of a text, and nothing else: only what HTML knows is a tag (https://html.spec.whatwg.org).

``List<String>``, ``<https://example.org>`` and ``<customer>`` stay as they are written, and so does what never ends. A
tag is an element's name with nothing, or with attributes, behind it. A bare tag that is never closed is none where it
stands right behind a word (``List<Object>``) or is one itself (``Dear <title>``). The contents of style and script are
no text; in svg and math every tag is one.

It is a tokenizer and no parser of a document. html.parser, lxml and selectolax all take ``<customer>`` for an element
and drop how it was written; for a text of 30 tags they took 90, 38 and 28 µs, this takes 31.
"""

import re

# https://html.spec.whatwg.org/multipage/indices.html#elements-3
_CURRENT = """
    a abbr address area article aside audio b base bdi bdo blockquote body br button canvas caption cite code col
    colgroup data datalist dd del details dfn dialog div dl dt em embed fieldset figcaption figure footer form h1 h2 h3
    h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label legend li link main map mark math menu meta
    meter nav noscript object ol optgroup option output p param picture pre progress q rp rt ruby s samp script search
    section select selectedcontent slot small source span strong style sub summary sup svg table tbody td template
    textarea tfoot th thead time title tr track u ul var video wbr
    """
# https://html.spec.whatwg.org/multipage/obsolete.html#non-conforming-features
_OBSOLETE = """
    acronym applet basefont bgsound big blink center dir font frame frameset isindex keygen listing marquee menuitem
    multicol nextid nobr noembed noframes plaintext rb rtc spacer strike tt xmp
    """
_ELEMENTS = frozenset((_CURRENT + _OBSOLETE).split())
# Elements that end a word for the eye: those that a browser sets as blocks, cells or lines.
_BREAKING = frozenset(
    """
    address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li listing main menu nav noframes ol
    optgroup option p plaintext pre search section summary table tbody td tfoot th thead title tr ul xmp
    """.split()  # noqa: SIM905 (a list of quoted words reads worse)
)
# Elements whose names people write in angle brackets for something to be filled in.
_WORDS = frozenset(
    """
    address area audio base button caption code data details dialog embed input label legend link map mark menu meta
    meter object option output param picture progress search select slot source summary template time title track video
    """.split()  # noqa: SIM905 (a list of quoted words reads worse)
)
# Elements that need no end tag, and mean something without attributes.
_ALONE = frozenset(
    """
    br hr wbr p li dt dd rb rt rtc rp option optgroup colgroup thead tbody tfoot tr td th
    """.split()  # noqa: SIM905 (a list of quoted words reads worse)
)
# Attributes that stand without a value (https://html.spec.whatwg.org/multipage/indices.html#attributes-3).
_BARE_ATTRIBUTES = frozenset(
    """
    allowfullscreen alpha async autofocus autoplay border checked compact contenteditable controls crossorigin declare
    default defer disabled download draggable formnovalidate hidden inert ismap itemscope loop multiple muted nohref
    nomodule noresize noshade novalidate nowrap open playsinline popover readonly required reversed selected
    """.split()  # noqa: SIM905 (a list of quoted words reads worse)
)
_BARE_PREFIXES = ("data-", "aria-", "v-", "ng-")
_RAW = frozenset({"script", "style"})
_FOREIGN = frozenset({"svg", "math"})


def _markup(attributes: str) -> re.Pattern[str]:
    return re.compile(
        rf"""
        <(?:
            (?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9]*+)(?P<attributes>[\s/]{attributes})?+(?P<close>>)?+
          | (?P<comment>!--)
          | !(?:\[(?:(?P<cdata>CDATA\[)|(?:if\s[^<>\]]*+|endif)\]>)|doctype\b[^<>]*+>)
          | \?xml[\s:][^<>]*+>
        )
        """,
        re.VERBOSE | re.IGNORECASE,
    )


# As HTML has it: an attribute's value may hold "<" and ">" in quotes. Every repetition is possessive.
_MARKUP = _markup(r"""(?:[\s/]++|[^\s"'<>/=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'<>=][^\s<>]*+)?+)?+)*+""")
# As people write it when they forget a quote: all up to the next bracket.
_LOOSE_MARKUP = _markup(r"[^<>]*+")
_FIRST_ATTRIBUTE = re.compile(r"""[\s/]*+([^\s"'<>/=]++)(\s*+=)?+""")
# What stands for the plainest tags, half of all: they are spared the rules.
_PLAIN = {f"</{name}>": " " if name in _BREAKING else "" for name in _ELEMENTS} | {"<p>": " ", "<li>": " ", "<br>": " "}
# The same of other tags without attributes; not where they stand behind a word.
_BARE = {
    f"<{name}>": " " if name in _BREAKING else ""
    for name in _ELEMENTS - _WORDS - _RAW - _FOREIGN
    if f"<{name}>" not in _PLAIN
}
# Of tags with attributes, as written: in a table they are the same over and over.
_KNOWN: dict[str, str] = {}
_KNOWN_TAGS, _KNOWN_CHARACTERS = 4_096, 200
_END_TAG = re.compile(r"</([A-Za-z][A-Za-z0-9]*+)(?:[\s/][^<>]*+)?+>")
_RAW_ENDS = {name: re.compile(rf"</{name}(?:[\s/][^<>]*+)?+>", re.IGNORECASE) for name in _RAW | _FOREIGN}

# What stands for the markup, and where the text goes on.
Taken = tuple[str, int]


def without(text: str) -> str:
    """Return the text without markup; a blank stands for a comment, and for a tag that ends a word."""
    return _Stripping(text).result()


class _Stripping:
    """One text, from left to right, in linear time whatever it holds.

    Args:
        text: The text.
        foreign: It is the inside of svg or math, whose elements HTML does not list.
    """

    def __init__(self, text: str, *, foreign: bool = False) -> None:
        self._text = text
        self._foreign = foreign
        # Where each element is closed for the last time; found when first asked for.
        self._closed: dict[str, int] | None = None
        # Ends that are nowhere in the rest of the text: they are not looked for again.
        self._missing: set[str] = set()

    def result(self) -> str:
        """Return the text without its markup."""
        text = self._text
        parts: list[str] = []
        kept = position = tried = 0
        while match := self._next(position, tried):
            start, position = match.span()
            tag = text[start:position]
            said = _PLAIN.get(tag)
            if said is None:
                said = _KNOWN.get(tag)
            if said is None and not _is_behind_a_word(text, start):
                said = _BARE.get(tag)
            if said is None:
                taken = self._taken(match)
                if taken is None and match["name"] is not None and match.re is _MARKUP:
                    # What was read in vain is not read so again, or a text of quotes would take quadratic time.
                    tried = position
                    match = _LOOSE_MARKUP.match(text, start)
                    taken = self._taken(match) if match else None
                if taken is None:
                    position = start + 1
                    continue
                said, position = taken
            parts += text[kept:start], said
            kept = position
        return "".join((*parts, text[kept:])) if kept else text

    def _next(self, position: int, tried: int) -> re.Match[str] | None:
        """Find the next that may be markup; what was read up to ``tried`` is read loosely."""
        if position < tried:
            match = _LOOSE_MARKUP.search(self._text, position)
            if match is None or match.start() < tried:
                return match
            position = match.start()
        return _MARKUP.search(self._text, position)

    def _taken(self, match: re.Match[str]) -> Taken | None:
        """Say what becomes of a match; None: it is text."""
        if match["name"] is not None:
            return self._tag(match, match["name"].lower())
        if match["comment"]:
            end = self._find("-->", match.start() + 2)
            return (" ", end + 3) if end >= 0 else None
        if match["cdata"]:
            end = self._find("]]>", match.end())
            return (without(self._text[match.end() : end]), end + 3) if end >= 0 else None
        return " ", match.end()

    def _tag(self, match: re.Match[str], name: str) -> Taken | None:
        if not match["close"] or (name not in _ELEMENTS and not self._foreign):
            return None
        attributes = match["attributes"]
        first = _FIRST_ATTRIBUTE.match(attributes) if attributes else None
        if first is not None and not first[2] and not _stands_alone(first[1].lower()):
            return None
        if match["end"]:
            return _shown(name), match.end()
        if first is None and not self._foreign and self._is_word(match, name):
            return None
        if name in _RAW_ENDS and not (attributes and attributes.endswith((" /", '"/', "'/"))):
            return self._element(match, name, bare=first is None)
        if first is not None and name in _ELEMENTS and len(match[0]) <= _KNOWN_CHARACTERS:
            if len(_KNOWN) >= _KNOWN_TAGS:
                _KNOWN.clear()
            _KNOWN[match[0]] = _shown(name)
        return _shown(name), match.end()

    def _element(self, match: re.Match[str], name: str, *, bare: bool) -> Taken | None:
        """Take a whole element whose inside is no HTML."""
        end = _RAW_ENDS[name].search(self._text, match.end()) if self._is_closed(name, match.end()) else None
        if name in _FOREIGN:
            if end is None:
                return "", match.end()
            return _Stripping(self._text[match.end() : end.start()], foreign=True).result(), end.end()
        if end is None:  # with attributes it is one that was cut off, without it may be spoken of
            return None if bare else ("", len(self._text))
        return "", end.end()

    def _is_word(self, match: re.Match[str], name: str) -> bool:
        """Tell whether a tag without attributes is a word of the text: a type's parameter, or something to fill in."""
        start, written = match.start(), match["name"]
        titled = len(written) > 1 and not written.islower() and not written.isupper()
        if name in _WORDS or (_is_behind_a_word(self._text, start) and (titled or name not in _ALONE)):
            return not self._is_closed(name, start)
        return False

    def _is_closed(self, name: str, position: int) -> bool:
        if self._closed is None:
            self._closed = {found[1].lower(): found.start() for found in _END_TAG.finditer(self._text)}
        return self._closed.get(name, -1) >= position

    def _find(self, end: str, position: int) -> int:
        if end in self._missing:
            return -1
        found = self._text.find(end, position)
        if found < 0:
            self._missing.add(end)
        return found


def _is_behind_a_word(text: str, place: int) -> bool:
    return place > 0 and (text[place - 1].isalnum() or text[place - 1] == "_")


def _stands_alone(attribute: str) -> bool:
    return attribute in _BARE_ATTRIBUTES or attribute.startswith(_BARE_PREFIXES)


def _shown(name: str) -> str:
    return " " if name in _BREAKING else ""
