"""What the writer of a journal says of itself, as plain values."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from scot_replay.losses import Loss


class Facts(msgspec.Struct, frozen=True):
    """How the writer stands.

    Attributes:
        bytes, samples: written since it began.
        segment: number of the open journal.
        waiting_bytes: handed over and not yet written.
        lost: of samples given up because the disk did not take them, by address.
        spared: of video given up so that signals last, by address.
        sparing: video is given up now.
        trouble: why the last write or sync failed, empty when it did not.
        disk_left_bytes: free for us on the file system; -1 when it cannot say.
        bytes_per_s: written lately.
        offered_per_s: bytes a second that came lately, with video that was given up.
    """

    bytes: int
    samples: int
    segment: int
    waiting_bytes: int
    lost: dict[str, Loss]
    trouble: str
    disk_left_bytes: int
    bytes_per_s: float
    offered_per_s: float = 0.0
    spared: dict[str, Loss] = {}
    sparing: bool = False


class Safe(NamedTuple):
    """How far the open journal is on the disk for sure: its number and its bytes."""

    number: int
    end: int
