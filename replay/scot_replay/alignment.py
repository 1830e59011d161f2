"""How recordings are laid over one another: the instant of each that counts as the same.

`start` is each one's first sample; `chapter:NAME` the moment that somebody named so; `utc` leaves
each at its own time of day; otherwise an instant of each, as ``1:20,0:45.5``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from scot.channel import Kind
from scot.errors import RecordingError
from scot.sample import AnnotationValue, Sample
from scot.timestamp import Timestamp

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

START, UTC, CHAPTER = "start", "utc", "chapter:"
HOW = "write start, chapter:NAME, utc, or an instant of each, as 1:20,0:45.5"
NAMES_SHOWN = 8


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """The instant of one recording that lies where those of the others lie.

    Attributes:
        at_ns: its own bus time.
        bound_ns, err_ns: how well that moment is known in its own recording; 0 where it is the
            moment by definition, None where nobody can say.
    """

    at_ns: int
    bound_ns: int | None = 0
    err_ns: int | None = 0


def anchors(recordings: Sequence[DirectoryRecording], how: str) -> list[Anchor]:
    """Return the anchor of each recording.

    Raises:
        RecordingError: `how` is none of the ways, or one recording has no such moment.
    """
    if how == START:
        return [Anchor(at_ns=one.first_ns) for one in recordings]
    if how == UTC:
        first_ns = recordings[0].first_ns  # no clock of one room knows that of the other
        return [Anchor(at_ns=first_ns, bound_ns=None, err_ns=None) for _ in recordings]
    if how.startswith(CHAPTER):
        return [_chapter(one, how.removeprefix(CHAPTER).strip()) for one in recordings]
    instants = [text.strip() for text in how.split(",")]
    if len(instants) != len(recordings):
        raise RecordingError(
            f"align={how!r} names {len(instants)} instants for {len(recordings)} recordings; {HOW}"
        )
    return [_instant(one, text) for one, text in zip(recordings, instants, strict=True)]


def _instant(recording: DirectoryRecording, text: str) -> Anchor:
    try:
        at_ns = recording.instant(text)
    except RecordingError:
        raise RecordingError(f"align: {text!r} is no time of {recording.path}; {HOW}") from None
    first_ns, last_ns = recording.span
    if not first_ns <= at_ns <= last_ns:
        length_s = (last_ns - first_ns) / 1e9
        raise RecordingError(
            f"align: {text} is outside {recording.path}, which lasts {length_s:.1f} s"
        )
    return Anchor(at_ns=at_ns)


def _chapter(recording: DirectoryRecording, name: str) -> Anchor:
    """Return the moment of the first chapter of that name: the picture its author saw.

    Raises:
        RecordingError: it has none; says which it has.
    """
    names: list[str] = []
    for sample, note in chapters(recording):
        if note.text.strip().casefold() == name.casefold():
            time = _time(recording, sample, note)
            return Anchor(at_ns=time.bus_ns, bound_ns=time.bound_ns, err_ns=time.err_ns)
        names.append(note.text)
    have = ", ".join(dict.fromkeys(names[:NAMES_SHOWN])) or "none"
    raise RecordingError(f"align: {recording.path} has no chapter {name!r}; it has {have}")


def chapters(recording: DirectoryRecording) -> list[tuple[Sample, AnnotationValue]]:
    """Return the chapters of a recording, in order of time."""
    found: list[tuple[Sample, AnnotationValue]] = []
    for address in recording.held():
        if recording.channel(address).kind is not Kind.ANNOTATION:
            continue
        for sample in recording.samples(address, (0, recording.last_ns + 1)):
            note = sample.value
            if isinstance(note, AnnotationValue) and note.tool == "chapter":
                found.append((sample, note))
    return sorted(found, key=lambda one: one[0].time.bus_ns)


def _time(recording: DirectoryRecording, sample: Sample, note: AnnotationValue) -> Timestamp:
    """Return when a note's author was: at the frame they saw, or when they said it."""
    if note.channel in recording.held() and note.at_ns:
        seen = recording.latest(note.at_ns, note.channel)
        if seen is not None and seen.time.bus_ns == note.at_ns:
            return seen.time
    return sample.time
