"""The case report: what a person who was not there must know of a recording. Plain values.

`gather` reads a recording; `scot_replay.case_page` draws what it gives as HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import median
from typing import Any

import msgspec

from scot import __version__
from scot.channel import Catalogue, Channel, Device, Kind
from scot.clock import machine
from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.codec import Header, read_header
from scot.errors import CodecError
from scot.sample import AlarmValue, AnnotationValue, Flags, Sample
from scot_replay.completeness import Account, Interval, report
from scot_replay.keyframes import Thumbnail, thumbnails
from scot_replay.layout import iso_utc
from scot_replay.place import name_of
from scot_replay.progress import follow
from scot_replay.recording import DirectoryRecording
from scot_replay.snapshots import jpeg, snapshots

PICTURES = 6
LOSSES_SHOWN = 200
ROWS_SHOWN = 1_000
SNAPSHOTS_SHOWN = 60
_WORDS = {Kind.TEXT, Kind.EVENT}
_QUIET_TOOLS = {"ink", "pointer", "arrow"}  # their place is the picture, not a table


class ClockQuality(msgspec.Struct, kw_only=True):
    """How well the times of a channel are known, from samples over the whole recording.

    Attributes:
        states: share of samples by `scot.timestamp.ClockState` label.
        err_ns: likely error, the median; None when no sample says.
        bound_ns: guaranteed bound, the worst; None when some sample has none.
    """

    states: dict[str, float] = {}
    err_ns: float | None = None
    bound_ns: int | None = None


class ChannelLine(msgspec.Struct, kw_only=True):
    """One channel: what it is, what became of its samples, how well its times are known."""

    address: str
    channel: Channel
    account: Account
    rate_hz: float | None
    clock: ClockQuality


class AlarmLine(msgspec.Struct, kw_only=True):
    """One alarm from the time it came to the time it went; `ended_ns` None: it still stood."""

    address: str
    alarm: AlarmValue
    began_ns: int
    ended_ns: int | None


class Snapped(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot; `jpeg` is empty when the recording does not hold its frame."""

    address: str
    at_ns: int
    author: str
    jpeg: bytes


class CaseReport(msgspec.Struct, kw_only=True):
    """All of it.

    Attributes:
        name: of the recording's directory.
        made: UTC, and by which release.
        started_ns, ended_ns: bus time of the first and the last sample.
        lost: channel and interval of each loss, in order of time; at most `LOSSES_SHOWN`.
        simulated: some samples are of simulators, not of a patient.
    """

    name: str
    workspace: str
    title: dict[str, str]
    case: str
    made: str
    started_ns: int
    ended_ns: int
    finished: bool
    recovered: str
    devices: list[Device]
    restarts: dict[str, int]
    channels: list[ChannelLine]
    lost: list[tuple[str, Interval]]
    alarms: list[AlarmLine]
    annotations: list[tuple[str, int, AnnotationValue]]
    snapshots: list[Snapped]
    drawn: dict[str, int]
    pictures: list[Thumbnail]
    damage: list[str]
    simulated: bool


def gather(opened: DirectoryRecording, pictures: int = PICTURES) -> CaseReport:
    """Read a recording for its report.

    Args:
        opened: it.
        pictures: thumbnails of each video, at most.
    """
    accounts = report(opened.parts, opened.catalogue)
    clocks, simulated = _clocks(opened)
    lines = [
        ChannelLine(
            address=address,
            channel=known.channel,
            account=accounts[address],
            rate_hz=_rate(known.count, known.first_ns, known.last_ns),
            clock=clocks.get(address, ClockQuality()),
        )
        for address, known in opened.channels.items()
    ]
    lost = [(line.address, one) for line in lines for one in line.account.lost_in]
    lost.sort(key=lambda found: found[1].from_ns or found[1].to_ns or 0)
    notes = list(_annotations(opened))
    catalogue = opened.catalogue
    now = iso_utc(machine.utc_ns() + TAI_MINUS_UTC_NS)
    return CaseReport(
        name=name_of(opened.path),
        workspace=catalogue.workspace,
        title=catalogue.title,
        case=opened.manifest.case or catalogue.case,
        made=f"{now}, scot-bus {__version__}",
        started_ns=opened.first_ns,
        ended_ns=opened.last_ns,
        finished=opened.manifest.finished_ns is not None,
        recovered=opened.manifest.recovered,
        devices=_devices(opened),
        restarts=_restarts(opened.catalogues),
        channels=lines,
        lost=lost[:LOSSES_SHOWN],
        alarms=_alarms(opened)[:ROWS_SHOWN],
        annotations=[note for note in notes if note[2].tool not in _QUIET_TOOLS][:ROWS_SHOWN],
        snapshots=_snapped(opened) if pictures else [],
        drawn=dict(Counter(n.tool for _, _, n in notes if n.tool in _QUIET_TOOLS)),
        pictures=[
            one
            for line in lines
            if line.channel.kind is Kind.VIDEO and pictures
            for one in thumbnails(opened, line.address, pictures)
        ],
        damage=opened.damage,
        simulated=simulated,
    )


def _rate(count: int, first_ns: int | None, last_ns: int | None) -> float | None:
    if count < 2 or first_ns is None or last_ns is None or last_ns <= first_ns:
        return None
    return (count - 1) * 1e9 / (last_ns - first_ns)


def _devices(opened: DirectoryRecording) -> list[Device]:
    """Return each device as it stood at its last signal: a room that ends cuts them all off."""
    last_ns: dict[str, int] = {}
    for address, known in opened.channels.items():
        if known.last_ns is not None and known.channel.kind not in _WORDS:
            name = address.split("/")[1]
            last_ns[name] = max(last_ns.get(name, 0), known.last_ns)
    devices = dict(opened.catalogue.devices)
    stood: dict[str, Device] = {}
    for at_ns, catalogue in opened.catalogues:
        for name, device in catalogue.devices.items():
            if at_ns <= last_ns.get(name, 0) or name not in stood:
                stood[name] = device
    return [
        msgspec.structs.replace(device, state=stood[name].state, reason=stood[name].reason)
        if name in last_ns and name in stood
        else device
        for name, device in devices.items()
    ]


def _restarts(catalogues: Sequence[tuple[int, Catalogue]]) -> dict[str, int]:
    """Return how often each device began anew: another epoch."""
    epochs: dict[str, set[int]] = {}
    for _, catalogue in catalogues:
        for device in catalogue.devices.values():
            if device.epoch:
                epochs.setdefault(device.name, set()).add(device.epoch)
    return {name: len(found) - 1 for name, found in epochs.items() if len(found) > 1}


def _clocks(opened: DirectoryRecording) -> tuple[dict[str, ClockQuality], bool]:
    """Look at the first and the last sample of each channel in each part."""
    seen: dict[str, list[Header]] = {}
    for part in follow("looking at clocks", opened.parts):
        for address in part.addresses():
            total = len(part.times(address))
            ends = {0, total - 1} if total else set()
            for place in sorted(ends):
                for frame in part.read(address, place, place + 1):
                    try:
                        seen.setdefault(address, []).append(read_header(frame))
                    except CodecError:
                        continue
    simulated = any(h.flags & Flags.SIMULATED for found in seen.values() for h in found)
    return {address: _quality(found) for address, found in seen.items()}, simulated


def _quality(headers: Sequence[Header]) -> ClockQuality:
    states = Counter(header.state.label for header in headers)
    errors = [header.err_ns for header in headers if header.err_ns is not None]
    bounds = [header.bound_ns for header in headers if header.bound_ns is not None]
    return ClockQuality(
        states={state: count / len(headers) for state, count in states.most_common()},
        err_ns=median(errors) if errors else None,
        bound_ns=max(bounds) if len(bounds) == len(headers) else None,
    )


def _of(opened: DirectoryRecording, kind: Kind) -> Iterator[Sample]:
    addresses = [a for a, known in opened.channels.items() if known.channel.kind is kind]
    found = opened.between(opened.first_ns, opened.last_ns + 1, addresses)
    samples = [sample for of_one in found.values() for sample in of_one]
    yield from sorted(samples, key=lambda sample: sample.time.bus_ns)


def _alarms(opened: DirectoryRecording) -> list[AlarmLine]:
    """Return each alarm once, however often its device told of it."""
    standing: dict[tuple[str, str], AlarmLine] = {}
    lines: list[AlarmLine] = []
    for sample in _of(opened, Kind.ALARM):
        alarm, at_ns = sample.value, sample.time.bus_ns
        if not isinstance(alarm, AlarmValue):
            continue
        key = sample.address, alarm.id
        stands = alarm.present or alarm.presence in {"On", "Latch"}
        line = standing.get(key)
        if line is not None and (not stands or line.alarm.priority != alarm.priority):
            line.ended_ns = at_ns
            line = standing.pop(key, None) and None
        if stands and line is None:
            line = AlarmLine(address=sample.address, alarm=alarm, began_ns=at_ns, ended_ns=None)
            standing[key] = line
            lines.append(line)
    return lines


def _annotations(opened: DirectoryRecording) -> Iterator[tuple[str, int, AnnotationValue]]:
    for sample in _of(opened, Kind.ANNOTATION):
        if isinstance(sample.value, AnnotationValue) and sample.value.ttl_s > 0:
            yield sample.address, sample.time.bus_ns, sample.value


def _snapped(opened: DirectoryRecording) -> list[Snapped]:
    return [
        Snapped(
            address=one.channel,
            at_ns=one.at_ns,
            author=one.author,
            jpeg=b"" if one.image is None else jpeg(one.image),
        )
        for one in islice(snapshots(opened), SNAPSHOTS_SHOWN)
    ]


def plain(case: CaseReport) -> dict[str, Any]:
    """Return the report as plain values for ``--json``, without pictures."""
    bare = msgspec.structs.replace(case, pictures=[], snapshots=[])
    found: dict[str, Any] = msgspec.to_builtins(bare)
    found["snapshots"] = [
        {
            "address": one.address,
            "at": iso_utc(one.at_ns),
            "author": one.author,
            "bytes": len(one.jpeg),
        }
        for one in case.snapshots
    ]
    found["pictures"] = [
        {"address": one.address, "at": iso_utc(one.bus_ns), "bytes": len(one.jpeg)}
        for one in case.pictures
    ]
    return found
