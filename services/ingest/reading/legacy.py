"""Which encoding other than UTF-8 a text is in, by two witnesses: chardet's language models, and plausibility.

A guess is taken where both together clearly prefer one text; where another text is as likely, nothing is guessed.
"""

import codecs
import dataclasses
import functools
from collections.abc import Sequence

import chardet

from services.ingest import failures
from services.ingest.reading import plausible

# What is written where nothing speaks for anything else.
USUAL = "cp1252"
# chardet's name of each candidate, and how much less common than cp1252 it is, or how easily something else looks
# like it: ties go to what Windows writes. A detector that may answer anything answers EBCDIC.
CANDIDATES = {
    "cp1252": 1.0, "cp1251": 1.0, "cp1253": 1.0, "cp932": 1.0, "gb18030": 1.0, "big5hkscs": 1.0, "cp949": 1.0,
    "mac-cyrillic": 0.995, "iso8859-7": 0.995, "iso8859-15": 0.99, "iso8859-5": 0.99, "koi8-r": 0.99, "cp866": 0.99,
    "euc_jis_2004": 0.99, "koi8-u": 0.985, "cp1255": 0.98, "cp1256": 0.98, "cp874": 0.98, "cp1258": 0.97,
    "cp850": 0.96, "cp858": 0.95, "cp1254": 0.95, "cp437": 0.95, "mac-roman": 0.95, "cp1250": 0.91, "cp1257": 0.94,
    "iso8859-2": 0.905, "cp852": 0.9, "cp857": 0.93, "cp737": 0.93, "cp862": 0.93, "cp775": 0.93,
    "iso8859-6": 0.93, "cp720": 0.9, "mac-greek": 0.93, "mac-turkish": 0.9, "mac-latin2": 0.88, "johab": 0.9,
    "cp860": 0.9, "cp861": 0.9, "cp863": 0.9, "cp865": 0.9,
}  # fmt: skip
# Pages that hardly anybody writes any more: a handful of characters is no evidence for one of them.
RARE = frozenset(
    ("iso8859-6", "cp720", "mac-greek", "mac-turkish", "mac-latin2", "johab", "cp860", "cp861", "cp863", "cp865")
)
# The runner-up's likelihood, as a share of the best one's, at which they are as good as equal.
AS_LIKELY = 0.975
# Where only so few characters speak, a page that is rarer than cp1252 must win by more, and by more still over signs.
FEW = 4
AS_LIKELY_OF_FEW = 0.9
AS_LIKELY_AS_SIGNS = 0.8
# What each oddity costs a page, however long the text: a long text must not bury what only the wrong page has.
ODDITY = 0.97
MOST_ODDITIES = 6
# Below this share of plausible characters nothing was recognised.
LEAST_PLAUSIBLE = 0.78
SHOWN = 3
_SHOWN_CHARACTERS = 60
# chardet looks so far into a sample at most.
_MOST_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Guess:
    """One way to read a sample."""

    # Python's name of the codec.
    codec: str
    # How likely, by a scale of its own.
    likelihood: float
    plausible: float
    # Characters beyond ASCII.
    beyond: int
    text: str

    @property
    def line(self) -> str:
        """A short line of the text that shows what the page makes of it."""
        lines = [line.strip() for line in self.text.splitlines()]
        return max(lines, key=lambda line: min(sum(c > "\x7f" for c in line), 20), default="")[:_SHOWN_CHARACTERS]


def likeliest(sample: bytes) -> str:
    """Return the likeliest codec, sure or not.

    Args:
        sample: Lines that are no UTF-8.
    """
    found = guesses(sample)
    return found[0].codec if found else USUAL


def sure(sample: bytes) -> Guess:
    """Return the guess that no other contends with.

    Args:
        sample: Lines that are no UTF-8.

    Raises:
        failures.FileFailure: ENCODING_UNCERTAIN, with the likeliest three and what each would make of a line.
    """
    found = guesses(sample)
    chosen = _chosen(found) if found else None
    if chosen is None:
        raise failures.FileFailure("ENCODING_UNCERTAIN", _uncertain(found))
    return chosen


def _chosen(found: Sequence[Guess]) -> Guess | None:
    """Choose, the likeliest being the first.

    Signs are of no language (a price in an English table): where what Windows writes has nothing else, each where it
    should be, it is taken unless something is clearly likelier. (One kind of sign all over a file may still be one
    letter.) Where few characters speak, none of them may be odd, since the model of a language has little to go by; and
    what Windows writes need not be ahead.
    """
    best = found[0]
    few = best.beyond <= FEW
    usual = next((guess for guess in found if guess.codec == USUAL and guess.plausible == 1), None)
    if usual is not None:
        kinds = {character for character in usual.text if not character.isascii()}
        limit = AS_LIKELY_AS_SIGNS if few or len(kinds) > 1 else AS_LIKELY
        signs = not any(character.isalpha() for character in kinds)
        if (few and usual is best) or (signs and usual.likelihood > limit * best.likelihood):
            return usual
    if best.plausible < (1 if few else LEAST_PLAUSIBLE):
        return None
    return best if _ahead(found, AS_LIKELY_OF_FEW if few else AS_LIKELY) else None


def _ahead(found: Sequence[Guess], limit: float) -> bool:
    return len(found) == 1 or found[1].likelihood <= limit * found[0].likelihood


@functools.lru_cache(maxsize=4)
def guesses(sample: bytes) -> tuple[Guess, ...]:
    """Return what a sample can be, the likeliest first; pages that read the same letters are one guess."""
    best: dict[str, Guess] = {}
    for match in chardet.detect_all(
        sample, ignore_threshold=True, max_bytes=_MOST_BYTES, compat_names=False, include_encodings=list(CANDIDATES)
    ):
        name = match["encoding"]
        text = _read(sample, name) if name in CANDIDATES else None
        if name is None or text is None:
            continue
        odd, beyond = plausible.oddities(text)
        if name in RARE and beyond <= FEW:
            continue
        fit = max(0.0, 1 - odd / max(1, beyond))
        likelihood = match["confidence"] * CANDIDATES[name] * fit**2 * ODDITY ** min(odd, MOST_ODDITIES)
        guess = Guess(codecs.lookup(name).name, likelihood, fit, beyond, text)
        same = best.get(letters := plausible.letters(text))
        best[letters] = guess if same is None else _one_of(same, guess)
    return tuple(sorted(best.values(), key=lambda guess: -guess.likelihood))


def _one_of(first: Guess, second: Guess) -> Guess:
    """Return one guess for two that read the same letters: the likelier, but with the signs of what Windows writes."""
    likelier, other = (first, second) if first.likelihood >= second.likelihood else (second, first)
    if other.codec == USUAL and other.plausible == 1:
        return dataclasses.replace(other, likelihood=likelier.likelihood)
    return likelier


def _read(sample: bytes, codec: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return None


def _uncertain(found: Sequence[Guess]) -> str:
    shown = "; ".join(f"{guess.codec}: {guess.line!r}" for guess in found[:SHOWN])
    return (
        "The file is not UTF-8, and it does not show for sure which encoding it is in; declare it with encoding=. "
        f"It could be {shown or 'none that is known here'}."
    )
