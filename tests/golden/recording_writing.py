"""Writes recordings for tests, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from scot.channel import BULK, Kind
from scot.codec import Frame, read_header
from scot_replay.journal import (
    MAGIC,
    RecordKind,
    encode_catalogue,
    encode_frame,
    encode_record,
)
from scot_replay.layout import Manifest, iso_utc, journal_path, write_manifest
from scot_replay.seal import seal
from tests.golden.recording_frames import START_NS, S, catalogue


def manifest(finished: bool = True) -> Manifest:
    """The manifest of the made-up case."""
    ends_ns = START_NS + 60 * S
    return Manifest(
        workspace="or1",
        case="case-7",
        started_ns=START_NS,
        started=iso_utc(START_NS),
        finished_ns=ends_ns if finished else None,
        finished=iso_utc(ends_ns) if finished else None,
    )


def write_journal(
    path: Path,
    frames: Sequence[Frame],
    state: Sequence[Frame] = (),
    end: bool = True,
    time_zone: str = "",
) -> None:
    """Write one journal as the recorder does."""
    known = msgspec.structs.replace(catalogue(), time_zone=time_zone)
    records = [MAGIC, encode_record(RecordKind.MANIFEST, msgspec.json.encode(manifest(False)))]
    records.append(encode_catalogue(START_NS, known))
    records += [encode_frame(frame, RecordKind.STATE) for frame in state]
    records += [encode_frame(frame) for frame in frames]
    if end:
        records.append(encode_record(RecordKind.END, b""))
    path.write_bytes(b"".join(records))


def write_recording(
    path: Path,
    parts: Sequence[Sequence[Frame]],
    sealed: int = 0,
    finished: bool = True,
    time_zone: str = "",
) -> None:
    """Write a whole directory; the first `sealed` parts become segments."""
    path.mkdir(parents=True, exist_ok=True)
    write_manifest(path, manifest(finished))
    known = catalogue()
    state: dict[str, Frame] = {}
    for number, frames in enumerate(parts, 1):
        journal = journal_path(path, number)
        write_journal(journal, frames, list(state.values()), finished, time_zone)
        for frame in frames:
            channel = known.channel(frame.address)
            assert channel is not None
            if channel.kind not in BULK | {Kind.WAVEFORM}:
                before = state.get(frame.address)
                if before is None or read_header(before).bus_ns <= read_header(frame).bus_ns:
                    state[frame.address] = frame
        if number <= sealed:
            seal(path, number)
