"""The completeness report: of each channel what was expected, came, was asked back, late, lost.

`account` is sans-IO: it reckons one channel from the seqs that are there, what the recorder said it
did not write, how far the publisher said it had come, and which samples were asked back or late.
`report` gathers that from the parts of a recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from scot.channel import Catalogue
from scot.errors import CodecError
from scot.health import fields
from scot_replay.came import Stretch, gather
from scot_replay.index import Pair, Span, join
from scot_replay.parts import ERASED, Part
from scot_replay.progress import follow

DISK = "disk"
NEVER_CAME = "never-came"
MAX_INTERVALS = 1_000
WHY = {
    NEVER_CAME: {"en": "never came", "ja": "未着"},
    DISK: {"en": "they could not be written", "ja": "ディスク書込み不可"},
    "video-first": {"en": "video left out, the disk was nearly full", "ja": "残量不足で映像省略"},
    ERASED: {"en": "erased, see scot verify", "ja": "消去済み"},
    "recovered": {"en": "could not be recovered", "ja": "復旧不能"},
}
_heads = msgspec.msgpack.Decoder()


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one channel, and the bus time they fall in.

    Attributes:
        from_ns: of the sample before them; None when there is none.
        to_ns: of the sample after them; None when none came any more.
        count: how many.
        why: ``never-came``, ``disk``, ``video-first``, ``recovered``; empty where it needs none.
    """

    from_ns: int | None
    to_ns: int | None
    count: int
    why: str = ""


class Account(msgspec.Struct, kw_only=True):
    """What became of one channel's samples: expected = received + lost.

    Attributes:
        expected: numbered by the publisher while it was recorded, as far as is known.
        received: in the recording.
        backfilled: of those, asked back from History after a gap.
        late: of those, older on arrival than the channel may be on a screen.
        lost: expected and not there.
        doubled: with the number of another sample, at another time.
        lost_in, backfilled_in, late_in: where, in order of time; at most `MAX_INTERVALS` each.
        steps: bus time before which time jumps, and by how much (ns).
    """

    expected: int = 0
    received: int = 0
    backfilled: int = 0
    late: int = 0
    lost: int = 0
    doubled: int = 0
    lost_in: list[Interval] = []
    backfilled_in: list[Interval] = []
    late_in: list[Interval] = []
    steps: list[Pair] = []


class Said(msgspec.Struct, frozen=True):
    """A loss as the recorder stated it: how many, from when to when (bus ns), and why."""

    count: int
    first_ns: int
    last_ns: int
    why: str = ""


def account(
    span: Span | None,
    said: Sequence[Said] = (),
    came: Mapping[str, Sequence[Stretch]] | None = None,
    heads: Mapping[int, int] | None = None,
    since_ns: int = 0,
) -> Account:
    """Reckon one channel.

    Args:
        span: which samples are there; None when none is.
        said: losses that were stated.
        came: stretches that were asked back (``backfilled``) or were ``late``.
        heads: by epoch, the seq that its publisher would have given next.
        since_ns: epochs from here on are expected from their first sample.
    """
    made = Account()
    if span is not None:
        made.received, made.doubled, made.steps = span.count, span.doubled, span.steps
    runs = Span(0, 0, 0, {}) if span is None else span
    lost = _explained(list(_gaps(runs, dict(heads or {}), since_ns)), said)
    made.lost = sum(one.count for one in lost)
    made.expected = made.received + made.lost
    made.lost_in = lost[:MAX_INTERVALS]
    for way, stretches in (came or {}).items():
        intervals = [
            Interval(from_ns=s.first_ns, to_ns=s.last_ns, count=s.count) for s in stretches
        ]
        setattr(made, way, sum(one.count for one in intervals))
        setattr(made, f"{way}_in", sorted(intervals, key=_when)[:MAX_INTERVALS])
    return made


def _gaps(span: Span, heads: dict[int, int], since_ns: int) -> Iterator[Interval]:
    """Yield where seqs are missing: before, between and after the runs of each epoch."""
    for epoch in sorted(map(int, span.runs)):
        before_ns: int | None = None
        due = 0 if epoch >= since_ns else span.runs[str(epoch)][0][0]
        for (first, last), (first_ns, last_ns) in span.timed(str(epoch)):
            if first > due:
                yield Interval(from_ns=before_ns, to_ns=first_ns, count=first - due, why=NEVER_CAME)
            due, before_ns = last + 1, last_ns
        if heads.get(epoch, 0) > due:
            missing = heads[epoch] - due
            yield Interval(from_ns=before_ns, to_ns=None, count=missing, why=NEVER_CAME)
    for epoch in sorted(set(heads) - set(map(int, span.runs))):
        if epoch >= since_ns and heads[epoch]:
            yield Interval(from_ns=epoch, to_ns=None, count=heads[epoch], why=NEVER_CAME)


def _explained(lost: list[Interval], said: Sequence[Said]) -> list[Interval]:
    """Give gaps the reason that was stated for them; what was stated beyond them is lost too."""
    explained: list[Interval] = []
    unseen = [one.count for one in said]
    for gap in lost:
        why, count = gap.why, gap.count
        for place, one in enumerate(said):
            if unseen[place] and _touches(gap, one):
                taken = min(unseen[place], count)
                unseen[place] -= taken
                count -= taken
                why = one.why or DISK
        explained.append(msgspec.structs.replace(gap, why=why))
    explained += [
        Interval(from_ns=one.first_ns, to_ns=one.last_ns, count=count, why=one.why or DISK)
        for count, one in zip(unseen, said, strict=True)
        if count
    ]
    return sorted(explained, key=_when)


def _touches(gap: Interval, said: Said) -> bool:
    after = gap.from_ns is None or said.last_ns >= gap.from_ns
    return after and (gap.to_ns is None or said.first_ns <= gap.to_ns)


def _when(interval: Interval) -> tuple[int, int]:
    return interval.from_ns or interval.to_ns or 0, interval.to_ns or 0


# -- over a recording


def report(
    parts: Sequence[Part],
    catalogue: Catalogue,
    since_ns: int | None = None,
    known: Mapping[str, Span] | None = None,
) -> dict[str, Account]:
    """Return the account of every channel that a recording knows, by address.

    Args:
        parts: of the recording, in order.
        catalogue: every device and channel that any part knew.
        since_ns: as in `account`; by default since the first part began.
        known: of broken parts, which samples they held when they were whole.
    """
    addresses = [*catalogue.addresses()]
    addresses += sorted({a for part in parts for a in part.addresses()} - set(addresses))
    spans: dict[str, list[Span]] = {}
    for part in follow("reading", parts):
        for address in part.addresses():
            if (span := part.span(address)) is not None:
                spans.setdefault(address, []).append(span)
    came = gather(note for part in parts for note in part.came)
    heads = _heads_of(parts, [a for a in addresses if a.endswith("/health")])
    for address, whole in (known or {}).items():
        mine = heads.setdefault(address, {})
        for epoch, runs in whole.runs.items():
            mine[int(epoch)] = max(mine.get(int(epoch), 0), runs[-1][1] + 1)
    said = _said(parts)
    if since_ns is None:
        since_ns = min((part.catalogues[0][0] for part in parts if part.catalogues), default=0)
    return {
        address: account(
            join(spans.get(address, ())),
            said.get(address, []),
            came.get(address),
            heads.get(address),
            since_ns,
        )
        for address in addresses
    }


def _said(parts: Iterable[Part]) -> dict[str, list[Said]]:
    said: dict[str, list[Said]] = {}
    for part in parts:
        for losses in part.losses:
            for address, loss in losses.items():
                one = msgspec.convert(loss, Said)
                before = said.setdefault(address, [])
                if before and before[-1].why == one.why and one.why:  # said every ten seconds
                    last = before.pop()
                    one = Said(
                        last.count + one.count,
                        min(last.first_ns, one.first_ns),
                        max(last.last_ns, one.last_ns),
                        one.why,
                    )
                before.append(one)
    return said


def _heads_of(parts: Sequence[Part], healths: Iterable[str]) -> dict[str, dict[int, int]]:
    """Return how far publishers said they had come, by address and epoch."""
    heads: dict[str, dict[int, int]] = {}
    for address in healths:
        device = address.removesuffix("/health")
        for part in parts:
            total = len(part.times(address))
            for frame in part.read(address, max(0, total - 1), total):
                for name, (epoch, next_seq) in _heads_in(frame.payload).items():
                    mine = heads.setdefault(f"{device}/{name}", {})
                    mine[epoch] = max(mine.get(epoch, 0), next_seq)
    return heads


def _heads_in(payload: bytes) -> dict[str, tuple[int, int]]:
    try:
        fields.read(payload)
        said: Any = _heads.decode(payload)
        return msgspec.convert(said.get("heads", {}), dict[str, tuple[int, int]])
    except (CodecError, msgspec.ValidationError):
        return {}
