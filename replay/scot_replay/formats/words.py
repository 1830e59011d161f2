"""A sample that is no figure, as one line of words: for formats that have a place for a note."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from scot.channel import Kind
from scot.sample import AlarmValue, AnnotationValue, Value
from scot_replay.formats import signals

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

WORDS = frozenset({Kind.ALARM, Kind.ANNOTATION, Kind.TEXT, Kind.EVENT})


def say(value: Value) -> str:
    """Return what a value says, on one line."""
    if isinstance(value, AlarmValue):
        text = value.text.get("en") or next(iter(value.text.values()), value.id)
        return f"{value.priority} {'on' if value.present else 'off'} {text}"
    if isinstance(value, AnnotationValue):
        return f"{value.tool} {value.text}".strip()
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def lines(
    recording: DirectoryRecording, address: str, span: tuple[int, int]
) -> Iterator[tuple[int, str]]:
    """Yield bus time and words of a channel's samples, with the channel's name in front."""
    name = address.split("/", 1)[-1]
    for sample in signals.samples(recording, address, span):
        yield sample.time.bus_ns, f"{name}: {say(sample.value)}"
