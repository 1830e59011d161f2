"""Lines of ``room/clock``: one raw probe of one source each, and the map that came of it.

`ClockWatch` reads them in any order and says of every source how its clock stands and when it
stepped. No I/O, no clock; every time is ns.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from scot.clock.busmap import WANDER_PPB, BusMap
from scot.clock.probe import ZMQ
from scot.errors import UNREADABLE, CodecError
from scot.timestamp import ClockState

MAX_SOURCES = 1_000
MAX_EPOCHS = 200
SOUND_NS = 1_000_000_000
REPLAY_PPM = 1_000.0  # no crystal is that far off: the room's time flows at another speed
PUBLISHERS = {"alarms": "dashboard", "consult": "dashboard"}
_STATES = {state.label: state for state in ClockState}

_Ns = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Width = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class ClockRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line; the fields are those of `scot.clock.service`.

    Attributes:
        way: by which the exchange came, `zmq` or `udp`.
    """

    source: Annotated[str, Meta(min_length=1, max_length=200)]
    t1_ns: _Ns
    t2_ns: _Ns
    t3_ns: _Ns
    t4_ns: _Ns
    map_id: _Width
    epoch: _Width
    local_ns: _Ns
    bus_ns: _Ns
    rate: Annotated[float, Meta(gt=0, le=1_000)]
    bound_ns: _Width | None
    err_ns: _Width | None
    state: str
    drift_ppb: _Width = WANDER_PPB
    err_ppb: _Width = WANDER_PPB // 2
    session_local_ns: _Ns | None = None
    session_bus_ns: _Ns | None = None
    session_rate: Annotated[float, Meta(gt=0, le=1_000)] | None = None
    way: str = ZMQ

    @property
    def whole(self) -> bool:
        """Whether it has all that it takes to make its map again."""
        session = self.session_local_ns, self.session_bus_ns, self.session_rate
        return self.bound_ns is not None and None not in session

    @property
    def map(self) -> BusMap:
        """The map that the source used from then on."""
        return BusMap(
            id=self.map_id,
            epoch=self.epoch,
            local_ns=self.local_ns,
            bus_ns=self.bus_ns,
            rate=self.rate,
            bound_ns=self.bound_ns,
            err_ns=self.err_ns,
            state=_STATES.get(self.state, ClockState.UNSYNCED),
            drift_ppb=self.drift_ppb,
            err_ppb=self.err_ppb,
        )

    @property
    def publisher(self) -> str:
        """Name of the source's key; behind it stands its process's identity."""
        return self.source.rpartition("-")[0] or self.source


_decoder = msgspec.msgpack.Decoder(ClockRow)


def read_row(payload: bytes) -> ClockRow:
    """Return the line in a payload of ``room/clock``.

    Raises:
        CodecError: it is none.
    """
    try:
        return _decoder.decode(payload)
    except UNREADABLE as error:
        raise CodecError(f"no line of room/clock: {error}") from None


def publisher_of(device: str) -> str:
    """Return the name of the key with which a device of this name is published."""
    return PUBLISHERS.get(device, device)


class Step(NamedTuple):
    """A jump of one source's clock.

    Attributes:
        bus_ns: when the first map after it was made.
        name: of the source's key.
        epoch: the one it began.
        by_ns: by how much the clock jumped forward; None while no sound map followed.
    """

    bus_ns: int
    name: str
    epoch: int
    by_ns: int | None


@dataclass
class _Epoch:
    """What is kept of one epoch of one source: bus time and row of its ends."""

    first_ns: int
    last_ns: int
    last: ClockRow
    sound: tuple[int, ClockRow] | None = None

    def add(self, bus_ns: int, row: ClockRow) -> None:
        self.first_ns = min(self.first_ns, bus_ns)
        if bus_ns >= self.last_ns:
            self.last_ns, self.last = bus_ns, row
        if row.bound_ns is not None and row.bound_ns < SOUND_NS:
            self.sound = min(self.sound or (bus_ns, row), (bus_ns, row), key=lambda one: one[0])


@dataclass
class Source:
    """How one source's clock stands.

    Attributes:
        name: of its key.
        epochs_seen: ends of each epoch, by its number.
        drift_ppm: by how much its clock is fast; None until it is known.
    """

    name: str
    epochs_seen: OrderedDict[int, _Epoch] = field(default_factory=OrderedDict)
    drift_ppm: float | None = None

    @property
    def at_ns(self) -> int:
        """Bus time of its newest line."""
        return max(one.last_ns for one in self.epochs_seen.values())

    @property
    def row(self) -> ClockRow:
        """Its newest line."""
        return max(self.epochs_seen.values(), key=lambda one: one.last_ns).last

    @property
    def epochs(self) -> int:
        """How often it stepped, as far as was seen."""
        return max(self.epochs_seen) - min(self.epochs_seen)

    def add(self, bus_ns: int, row: ClockRow) -> None:
        """Take one line of it."""
        known = self.epochs_seen.get(row.epoch)
        if known is None:
            known = self.epochs_seen[row.epoch] = _Epoch(bus_ns, bus_ns, row)
            if len(self.epochs_seen) > MAX_EPOCHS:
                del self.epochs_seen[min(self.epochs_seen)]
        known.add(bus_ns, row)

    def steps(self) -> list[Step]:
        """Return its jumps; the first epoch that was seen began before."""
        ordered = sorted(self.epochs_seen.items())
        found = []
        for (_, before), (epoch, after) in pairwise(ordered):
            by_ns = None
            if after.sound is not None:
                row = after.sound[1]
                by_ns = round((before.last.map.at(row.local_ns) - row.bus_ns) / row.rate)
            found.append(Step(after.first_ns, self.name, epoch, by_ns))
        return found


class ClockWatch:
    """Every source's clock, from lines in any order.

    Attributes:
        bad: payloads that were no line.
    """

    def __init__(self) -> None:
        self.bad = 0
        self._sources: OrderedDict[str, Source] = OrderedDict()  # by process, longest silent first

    def take(self, bus_ns: int, payload: bytes) -> None:
        """Take a payload of ``room/clock`` stamped `bus_ns`; what is no line is counted."""
        try:
            self.add(bus_ns, read_row(payload))
        except CodecError:
            self.bad += 1

    def add(self, bus_ns: int, row: ClockRow) -> None:
        """Take one line."""
        source = self._sources.pop(row.source, None) or Source(row.publisher)
        source.add(bus_ns, row)
        self._sources[row.source] = source
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)

    def sources(self) -> dict[str, Source]:
        """Return the newest process of each name, with its drift."""
        found: dict[str, Source] = {}
        for source in self._sources.values():
            other = found.get(source.name)
            if other is None or source.at_ns > other.at_ns:
                found[source.name] = source
        speed = self._speed(found)
        for source in found.values():
            known = source.row.state == ClockState.LOCKED.label
            source.drift_ppm = (speed / source.row.rate - 1) * 1e6 if known else None
        return dict(sorted(found.items()))

    def steps(self, since_ns: int | None = None) -> list[Step]:
        """Return every jump, or those since `since_ns`, in bus-time order."""
        found = [step for source in self._sources.values() for step in source.steps()]
        return sorted(step for step in found if since_ns is None or step.bus_ns >= since_ns)

    @staticmethod
    def _speed(sources: dict[str, Source]) -> float:
        """Return bus seconds a second of the room: not 1 where a recording is played faster."""
        if not sources:
            return 1.0
        middle = median(source.row.rate for source in sources.values())
        return middle if abs(middle - 1) * 1e6 > REPLAY_PPM else 1.0


def step_text(step: Step) -> str:
    """Return a jump in words."""
    if step.by_ns is None:
        return f"clock of {step.name} stepped"
    return f"clock of {step.name} stepped by {step.by_ns / 1e6:+.3g} ms"
