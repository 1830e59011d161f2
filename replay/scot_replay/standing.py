"""What stood at an instant of a recording, of every channel: what a seek shows first.

Of most channels that is the last sample; of alarms and annotations the last word of each condition
and note, however long ago it was said; of video the group of pictures that the instant lies in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from scot.channel import Kind
from scot_replay.found import Found

if TYPE_CHECKING:
    from scot_replay.cast import Played

SPOKEN = frozenset({Kind.ALARM, Kind.ANNOTATION})
"""Kinds whose samples are words about many things, each with an id of its own."""


class _Named(msgspec.Struct):
    id: str = ""


_named = msgspec.msgpack.Decoder(_Named)


class Standing:
    """Answers for a recording, at any instant; the words of its alarms are read once.

    Args:
        recording: that is played.
        addresses: channels that count.
    """

    def __init__(self, recording: Played, addresses: Iterable[str]) -> None:
        self.recording = recording
        self._plain: list[str] = []
        self._spoken: list[str] = []
        for address in addresses:
            spoken = recording.channel(address).kind in SPOKEN
            (self._spoken if spoken else self._plain).append(address)
        self._words: list[tuple[str, Found]] | None = None

    def at(self, bus_ns: int, *, pictures: bool = True) -> list[Found]:
        """Return what stood at `bus_ns`, in bus-time order.

        Args:
            bus_ns: recorded instant.
            pictures: of video all from the last keyframe on; only that keyframe otherwise.
        """
        if self._words is None:
            self._words = self._read()
        newest: dict[tuple[str, str], Found] = {}
        for name, one in self._words:
            if one.bus_ns > bus_ns:
                break
            newest[one.address, name] = one
        found = [*newest.values(), *self.recording.found_all(self._plain, bus_ns)]
        if not pictures:
            found = [
                one
                for one in found
                if self.recording.channel(one.address).kind is not Kind.VIDEO
                or one.header.flags & 1
            ]
        return sorted(found, key=lambda one: one[:4])

    def _read(self) -> list[tuple[str, Found]]:
        """Return every word with its id, in bus-time order."""
        span = (0, self.recording.last_ns + 1)
        words: list[tuple[str, Found]] = []
        words += [(_id(one), one) for one in self.recording.stream(self._spoken, span)]
        known = {one[:4] for _, one in words}  # others were said before it began
        before = self.recording.found_all(self._spoken, self.recording.first_ns - 1)
        words += [(_id(one), one) for one in before if one[:4] not in known]
        return sorted(words, key=lambda word: word[1][:4])


def _id(one: Found) -> str:
    """Return what a word is about; words that cannot be read are one of their own."""
    try:
        return _named.decode(one.frame.payload).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
