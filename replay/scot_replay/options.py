"""What a start of the player is given, and the recordings that it opens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from scot_replay.alignment import START
from scot_replay.compare import Comparison, compare
from scot_replay.maps import Sync
from scot_replay.recording import DirectoryRecording, open_recording


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a start of the player is given.

    Attributes:
        recording: directory.
        beside: directories of others that are played on the same axis; see `scot_replay.compare`.
        align: how those are laid over the first.
        rate: recorded seconds a second; `scot.transport.FLAT_OUT` is as fast as can be.
        from_ns: recorded time to begin at; the recording's first sample when None.
        loop: begin again at the end.
        stretch: play only from the first to the second recorded time, again and again.
        playing: go on at once.
        sync: which clock maps it is played with, see `scot.open`.
    """

    recording: Annotated[str, Meta(min_length=1)]
    beside: list[str] = []
    align: str = START
    rate: float = 1.0
    from_ns: int | None = None
    loop: bool = False
    stretch: list[int] = []
    playing: bool = True
    sync: Sync = Sync.AS_RECORDED


def opened(options: Options, workspace: str) -> DirectoryRecording | Comparison:
    """Open what is to be played, several on the axis of the first.

    Raises:
        RecordingError: one cannot be opened, or they cannot be laid over one another.
    """
    first = Path(options.recording)
    if not options.beside:
        return open_recording(first, options.sync)
    others = [Path(one) for one in options.beside]
    return compare(first, *others, align=options.align, sync=options.sync, workspace=workspace)
