"""Words that name the patient, learnt from identity channels, and taken out of everything else.

This is the second line. The first is the class of a channel, which keeps whole channels inside; but
an alarm's text, a note or a label may repeat a name that some device or person wrote into it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec

from scot.codec import check_bounds, check_plain

WITHHELD = "–"
MAX_WORDS = 512
MIN_ASCII = 3
# Words of forms and demonstrations: withholding every text that holds one would hide alarms.
COMMON = frozenset(
    {"and", "demo", "female", "from", "identifier", "male", "name", "none", "null", "patient"}
    | {"test", "the", "unknown", "with"}
)
_WORD = re.compile(r"\w+", re.UNICODE)


class Names:
    """Learns words and finds them in other text.

    Attributes:
        version: grows when a new word was learnt.
        full: a word was not learnt, for there were too many. From then on every text may hold it,
            so none is let out.
    """

    def __init__(self) -> None:
        self.version = 0
        self.full = False
        self._words: set[str] = set()
        self._finder: re.Pattern[str] | None = None

    def learn(self, value: Any) -> None:
        """Take every word of a value from an identity channel: text, or plain values inside."""
        for text in _texts(value):
            for word in _WORD.findall(_fold(text)):
                wanted = word not in COMMON and (not word.isascii() or len(word) >= MIN_ASCII)
                if wanted and word not in self._words:
                    if len(self._words) >= MAX_WORDS:
                        self.version += not self.full
                        self.full = True
                        return
                    self._words.add(word)
                    self._finder = None
                    self.version += 1

    def inside(self, text: str) -> bool:
        """Say whether a text names the patient, or might."""
        if self.full:
            return bool(text)
        if not self._words:
            return False
        if self._finder is None:
            # Scripts without blanks between words are searched inside longer runs as well.
            parts = [
                rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word)
                for word in sorted(self._words)
            ]
            self._finder = re.compile("|".join(parts))
        return self._finder.search(_fold(text)) is not None

    def clean(self, text: str) -> str:
        """Return the text, or a dash when it names the patient."""
        return WITHHELD if self.inside(text) else text

    def clean_plain(self, value: Any) -> Any:
        """Return plain values with every text, keys too, cleaned."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {self.clean_plain(key): self.clean_plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_plain(item) for item in value]
        return value

    def clean_packed(self, payload: bytes) -> bytes:
        """Return a MessagePack payload with every text cleaned; the same object if none needed it.

        Raises:
            CodecError: it would grow beyond its bounds when decoded, or is not plain (a key that is
                no text, for one).
            msgspec.DecodeError: it is not MessagePack.
        """
        check_bounds(payload)
        plain = msgspec.msgpack.decode(payload)
        check_plain(plain)
        cleaned = self.clean_plain(plain)
        return payload if cleaned == plain else msgspec.msgpack.encode(cleaned)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return []
