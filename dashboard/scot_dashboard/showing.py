"""Which videos a page shows, and how large: the gateway sends it these and no others.

No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Size(StrEnum):
    """How large a page shows a video.

    `FULL` is every picture; `KEYS` is its key pictures only, which can be decoded each by itself.
    """

    FULL = "full"
    KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Showing:
    """What one page shows. Pages that show the same share the same bytes.

    Attributes:
        full: addresses of which every picture is sent.
        keys: addresses of which only the key pictures are.
    """

    full: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    @classmethod
    def of(cls, videos: Mapping[str, Size]) -> Showing:
        """Return what a page's words mean."""
        return cls(
            frozenset(address for address, size in videos.items() if size is Size.FULL),
            frozenset(address for address, size in videos.items() if size is Size.KEYS),
        )

    def passes(self, address: str, keyframe: bool) -> bool:
        """Say whether a picture is shown."""
        return address in self.full or (keyframe and address in self.keys)

    def begun(self, before: Showing) -> Showing:
        """Return what is shown now and was not before: those need a key picture to begin with."""
        return Showing(self.full - before.full, self.keys - before.keys - before.full)


NOTHING = Showing()
