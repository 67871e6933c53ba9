"""CESU-8, as a codec of Python: UTF-8 in which what lies beyond U+FFFF stands as two surrogates of three bytes each.

Oracle's "UTF8" and older exports of MySQL and Java write it (Unicode Technical Report 26). True UTF-8 is read as well,
since files of the kind hold both. Encoding is not offered: nothing here writes it.
"""

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

NAME = "cesu-8"
# A pair: a high surrogate (ED A0..AF xx), then a low one (ED B0..BF xx).
PAIR = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
_HIGH = bytes(range(0x80, 0x100))


def decode(data: "Buffer", errors: str = "strict") -> tuple[str, int]:
    """Decode whole text; half of a pair is an error, as it is in UTF-8."""
    return PAIR.sub(_joined, bytes(data)).decode("utf-8", errors), memoryview(data).nbytes


def register() -> None:
    """Make the codec known to Python; once is enough."""
    codecs.register(_search)


def _joined(pair: re.Match[bytes]) -> bytes:
    return pair[0].decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass").decode("utf-16-le").encode()


def _encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
    raise UnicodeEncodeError(NAME, text, 0, len(text), f"CESU-8 is only read, never written (errors={errors})")


class _Decoder(codecs.BufferedIncrementalDecoder):
    def _buffer_decode(self, data: "Buffer", errors: str, final: bool) -> tuple[str, int]:
        whole = bytes(data)
        end = len(whole)
        if not final:  # a character or a pair may go on; the last byte below 0x80 ends both
            end = len(whole.rstrip(_HIGH))
        return decode(whole[:end], errors)[0], end


def _search(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") not in (NAME, "cesu8"):
        return None
    return codecs.CodecInfo(_encode, decode, incrementaldecoder=_Decoder, name=NAME)


register()
