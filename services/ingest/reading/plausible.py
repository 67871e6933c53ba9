"""How plausible a text is as one that people write: what speaks against the code page by which it was decoded."""

import collections
import re
import unicodedata

# The letters beyond a to z (in Cyrillic and Greek all) of languages that are written in pages of one byte.
ALPHABETS = tuple(
    map(
        frozenset,
        (
            "àâæçéèêëîïôœùûüÿ", "áéíñóúü", "áâàçéèêëíïñóöü", "àáâãçéêíóôõúü", "àèéìíîòóùú", "äöüßéàè", "åäöéüà",
            "æøåéüöäóôòêè", "ëéïóöüèêáâçîû", "äöåšž", "áéíóúýþæöð", "àçèéíïòóúü", "äöõüšž", "ëç",
            "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "čšžćđ", "áéíóöőúüű", "ăâîşţșț",
            "çğıi̇öşüâîû", "ąčęėįšųūž", "āčēģīķļņšūžŗō",
            "àáâãèéêìíòóôõùúýăđĩũơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ\u0300\u0301\u0303\u0309\u0323",
            "абвгдежзийклмнопрстуфхцчшщъыьэюяё", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
            "абвгдеёжзійклмнопрстуўфхцчшыьэюя", "абвгдежзийклмнопрстуфхцчшщъьюяѝ",
            "абвгдђежзијклљмнњопрстћуфхцчџш", "абвгдѓежзѕијклљмнњопрстќуфхцчџш",
            "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",
        ),
    )
)  # fmt: skip
# Hebrew, Arabic, Thai, and all that is written from there on.
_SCRIPTS = ((0x0590, 0x05FF), (0x0600, 0x06FF), (0x0E00, 0x0E7F), (0x2E80, 0x2FFFF))
# Signs that stand in ordinary text; all others are rare, and box drawings and currency signs of nowhere hardly occur.
_SIGNS = frozenset("’‘“”„‚–—…•€£¥™®©°§²³½¼¾×«»‹›·¡¿ªº№′″µ†‰¢‐‑׳״฿´\xa0\xad\u200b\u200c\u200d\u200e\u200f،؛؟٪ـ")
_BEYOND = re.compile(r"[^\x00-\x7f]")
# Marks on letters (tones, vowels, points) and the punctuation of East Asia, which has no blanks beside it.
_OF_WORDS = (
    "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    "\u3000-\u303f\u309b\u309c\uff00-\uffef"
)
_SIGN_IN_WORD = re.compile(rf"(?<=[^\W\d_])[^\w\s!-~’‘·–—“”«»…‐‑׳״´\xad\u200b-\u200f{_OF_WORDS}](?=[^\W\d_])")
_LETTER_PAIR = re.compile(r"(?=([^\W\d_])([^\W\d_]))")
# Letters of Latin beyond a to z.
_LATIN = "\xc0-\xd6\xd8-\xf6\xf8-\u024f"
_ACCENTS_ONLY = re.compile(f"[{_LATIN}]{{4,}}")
# A small raised digit or a fraction with a letter behind it, as in no unit; one that ends a word of more than a unit's.
_RAISED = re.compile(r"[¹²³¼½¾ªº](?=[^\W\d_ªº])|(?<=[^\W\d_]{3})[¹²³¼½¾]|(?<=[^\W\d_]{2})[ªº]")
# Letters of Greek, Cyrillic, Hebrew, Arabic, Thai and their like.
_ABROAD = re.compile("[\u0370-\u1cff]+")
# A letter beyond a to z that stands alone, and is neither one of the few words of one letter nor somebody's initial.
_LONE_LETTER = re.compile(
    rf"(?<![^\W_])(?![àáâãèéêìíòóôõöøåäæÀÁÈÉÍÓÒÖÅÆăđơưýőŐ])[{_LATIN}](?![^\W_]|[.\u0300-\u036f])"
    rf"|(?<=[0-9])(?![èé])[{_LATIN}](?![^\W\d_])|(?<![^\W_])[{_LATIN}](?=[0-9])"
)
# A letter within a word of small ones, which should be small itself.
_WITHIN = re.compile(rf"(?<=[^\W\d_])[{_LATIN}](?=[a-z])")
# A capital that stands alone in the middle of a sentence.
_LONE_CAPITAL = re.compile(r"(?<=[a-z] )([^\x00-\x7f])(?= [a-z])")
# Signs that stand between blanks or at numbers, glued to a word's end; a hard blank where a word should begin.
_GLUED = re.compile(
    r"(?<=[^\W\d_])[—•†‡€£¥¢±¼½¾×÷](?=[ ,;.\t\r\n])|(?<=[ ,;\t\"\n])[\xa0†‡](?=[^\W\d_])|(?<=[a-z])[\xa0–](?=[a-z])"
)


def oddities(text: str) -> tuple[float, int]:
    """Return how much in a text is not as people write it, and how many characters beyond ASCII it has."""
    beyond = _BEYOND.findall(text)
    odd = sum(map(_oddness, beyond)) + len(_SIGN_IN_WORD.findall(text)) + _odd_pairs(text)
    odd += sum(len(word) - 2 for word in _ACCENTS_ONLY.findall(text))
    odd += sum(map(str.isupper, _LONE_CAPITAL.findall(text) + _WITHIN.findall(text)))
    odd += len(_RAISED.findall(text)) + len(_LONE_LETTER.findall(text)) + sum(map(_lone_abroad, text.splitlines()))
    odd += 0.5 * (len(_GLUED.findall(text)) + sum(map(_odd_quotes, text.splitlines())))
    return odd + _of_no_alphabet(beyond), len(beyond)


def letters(text: str) -> str:
    """Return the letters of a text and the marks on them: two pages that agree on these garble nothing."""
    return "".join(each for each in text if each.isalpha() or unicodedata.category(each)[0] == "M")


def _oddness(character: str) -> float:
    if character.isalpha() or character in _SIGNS:
        return 0.0
    kind = unicodedata.category(character)
    if kind in ("Cc", "Co", "Cn"):
        return 2.0
    if kind[0] in "MN" or "\u3000" <= character <= "\u30ff" or "\uff00" <= character <= "\uffef":
        return 0.0
    return 0.5


def _odd_pairs(text: str) -> int:
    """Count capitals right after small letters, and letters of two alphabets side by side; ASCII among itself may."""
    count = 0
    for first, second in _LETTER_PAIR.findall(text):
        if first.isascii() and second.isascii():
            continue
        count += first.islower() and second.isupper() and first != "ß"
        count += _latin(first) != _latin(second) and max(first, second) < "\u0700"
    return count


def _latin(letter: str) -> bool:
    return letter < "\u0250"


def _of_no_alphabet(beyond: list[str]) -> int:
    """Return how many letters the best fitting language does not have."""
    small = "".join(beyond).lower()
    counts = collections.Counter(each for each in small if (each.isalpha() and each not in "ªºµ") or _is_mark(each))
    known = [sum(counts[letter] for letter in alphabet) for alphabet in ALPHABETS]
    known += [sum(n for letter, n in counts.items() if low <= ord(letter) <= high) for low, high in _SCRIPTS]
    return sum(counts.values()) - max(known)


def _lone_abroad(line: str) -> int:
    """Count single letters of another script, in a line that has no two of them side by side."""
    runs = _ABROAD.findall(line)
    return len(runs) if max(map(len, runs), default=0) == 1 else 0


def _odd_quotes(line: str) -> int:
    """Count kinds of quotation marks that open and do not close in a line, or the other way round."""
    count = line.count
    return (
        (count("«") != count("»")) + (count("“") + count("”") + count("„")) % 2 + (count("‚") > count("‘") + count("’"))
    )


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) == "Mn"
