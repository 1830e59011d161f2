"""Samples that the open journal gave up: how many of each channel, from when to when, and why.

Sans-IO. What no record says yet is said once the disk takes bytes again; what was spared so that
signals last, every ten seconds while it goes on.
"""

from __future__ import annotations

import msgspec

from scot_replay.budget import VIDEO_FIRST
from scot_replay.journal import RecordKind, encode_record

SAY_NS = 10_000_000_000


class Loss(msgspec.Struct, omit_defaults=True):
    """Samples of one channel that were not written: how many, from when to when (bus ns).

    Attributes:
        why: empty: the disk did not take them.
    """

    count: int
    first_ns: int
    last_ns: int
    why: str = ""


Losses = dict[str, Loss]


class GivenUp:
    """What was given up since it began, and what of it no record says yet.

    Args:
        now_ns: monotonic, as everywhere here.
    """

    def __init__(self, now_ns: int) -> None:
        self._lost: Losses = {}
        self._spared: Losses = {}
        self._unsaid: Losses = {}
        self._spared_unsaid: Losses = {}
        self._say_ns = now_ns

    def lose(self, address: str, bus_ns: int) -> None:
        """Count a sample that the disk did not take."""
        for losses in (self._lost, self._unsaid):
            _add(losses, address, Loss(1, bus_ns, bus_ns))

    def spare(self, address: str, bus_ns: int) -> None:
        """Count a picture that was given up so that signals last."""
        for losses in (self._spared, self._spared_unsaid):
            _add(losses, address, Loss(1, bus_ns, bus_ns, VIDEO_FIRST))

    def since_it_began(self) -> tuple[Losses, Losses]:
        """Return copies of what was lost, and of what was spared."""
        lost, spared = (
            {address: msgspec.structs.replace(loss) for address, loss in losses.items()}
            for losses in (self._lost, self._spared)
        )
        return lost, spared

    def to_say(self, now_ns: int, *, all_: bool) -> list[Losses]:
        """Take what no record says yet; what is spared at most every ten seconds, unless `all_`."""
        saying, self._unsaid = [self._unsaid], {}
        if self._spared_unsaid and (now_ns >= self._say_ns or all_):
            saying.append(self._spared_unsaid)
            self._spared_unsaid = {}
            self._say_ns = now_ns + SAY_NS
        return [losses for losses in saying if losses]

    def say_again(self, saying: list[Losses]) -> None:
        """Take back losses whose record was not written."""
        for losses in saying:
            for address, loss in losses.items():
                unsaid = self._spared_unsaid if loss.why == VIDEO_FIRST else self._unsaid
                _add(unsaid, address, loss)


def record_of(losses: Losses) -> bytes:
    """Return the LOSS record of some losses."""
    return encode_record(RecordKind.LOSS, msgspec.json.encode(losses))


def _add(losses: Losses, address: str, more: Loss) -> None:
    loss = losses.setdefault(address, Loss(0, more.first_ns, more.last_ns, more.why))
    loss.count += more.count
    loss.first_ns = min(loss.first_ns, more.first_ns)
    loss.last_ns = max(loss.last_ns, more.last_ns)
