"""How a recording is played: what a player is wished to do, and how it stands.

Sans-IO. A replay plays *laps*. Lap 0 is the recording with the stamps it was recorded with; lap n
is all of it again, n periods later. Whatever is not plain playing on (a seek, a loop, a step, a
stride back) begins the next lap. So bus time never goes back, every sample of a lap is later than
every one of the lap before, and the instant of the surgery is bus time less whole periods.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from scot.errors import ConfigError

PLAYER = "player"
"""The device of a replay room that is its player; its channel `STATE` says how it stands."""
STATE = "state"
SLOWEST = 0.1
FASTEST = 16.0
FEW_LAPS = 36_000
"""Fewer laps left than an hour of going back takes: whoever moves the player is told."""
FLAT_OUT = 1000.0
"""The rate that stands for as fast as the readers take it, without a clock."""
LAST_NS = (1 << 63) - (1 << 60)
"""No lap reaches bus times that other programs could not hold: ns in 63 bits, 36 years spared."""

_Ns = Annotated[int, Meta(ge=0, le=LAST_NS)]


class Laps(msgspec.Struct, frozen=True, kw_only=True):
    """Where the laps of one recording lie in bus time.

    Attributes:
        origin_ns: bus time at which the first lap begins, at or before the first sample.
        period_ns: from one lap to the next; longer than the recording, and than from the first
            start of a publisher in it to the last, so that epochs grow too.
    """

    origin_ns: int
    period_ns: int

    def left(self, number: int) -> int:
        """Return how many laps may follow one: bus times have an end."""
        return max(0, (LAST_NS - self.origin_ns) // self.period_ns - number - 1)

    def number(self, bus_ns: int) -> int:
        """Return which lap a bus time is in."""
        return max(0, (bus_ns - self.origin_ns) // self.period_ns)

    def shift_ns(self, number: int) -> int:
        """Return how much later than recorded a lap plays."""
        return number * self.period_ns

    def recorded(self, bus_ns: int) -> int:
        """Return the recorded instant of a bus time."""
        return bus_ns - self.shift_ns(self.number(bus_ns))


class Wish(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the player shall do; what is not named stays as it is. Times are of the recording.

    Attributes:
        playing: go on, or stand still.
        rate: `SLOWEST` to `FASTEST`, or `FLAT_OUT`; negative plays backwards.
        to_ns: go there.
        step: go so many samples on, or back when negative, and stand still.
        of: whose samples `step` counts, an address; the pictures of the first video when empty.
        loop: play from the first to the second again and again; empty plays all of it.
        again: begin anew at the end, of the loop or of the recording.
    """

    playing: bool | None = None
    rate: Annotated[float, Meta(ge=-FASTEST, le=FLAT_OUT)] | None = None
    to_ns: _Ns | None = None
    step: Annotated[int, Meta(ge=-100_000, le=100_000)] = 0
    of: Annotated[str, Meta(max_length=200)] = ""
    loop: Annotated[list[_Ns], Meta(max_length=2)] | None = None
    again: bool | None = None

    def check(self) -> Wish:
        """Return itself.

        Raises:
            ConfigError: a rate or a loop that cannot be played.
        """
        rate = self.rate
        if rate is not None and rate != FLAT_OUT and not SLOWEST <= abs(rate) <= FASTEST:
            allowed = f"{SLOWEST} to {FASTEST:g}, negative to go back, or max"
            raise ConfigError("player", "rate", f"{rate:g} is not allowed", allowed)
        if (
            self.loop is not None
            and self.loop
            and not (len(self.loop) == 2 and self.loop[0] < self.loop[1])
        ):
            raise ConfigError("player", "loop", "its end is not after its start", "give [A, B]")
        return self


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """How the player stood at `bus_ns`; the value of its channel `STATE`, and its answer to a wish.

    Attributes:
        lap: which one.
        bus_ns: bus time at that moment.
        position_ns: recorded time at that moment.
        rate: of recorded time, negative backwards; it stands still unless `playing`.
        playing: whether it goes on.
        loop: [A, B] in recorded time, or empty.
        again: whether it begins anew at the end.
        ended: it stands still because nothing more follows.
        first_ns, last_ns: of the recording.
        laps: where they lie.
    """

    lap: int
    bus_ns: int
    position_ns: int
    rate: float
    playing: bool
    loop: list[int]
    again: bool
    ended: bool
    first_ns: int
    last_ns: int
    laps: Laps


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the player answers: how it stands now, or why the wish was not for it."""

    error: str = ""
    transport: Transport | None = None


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How bus time shall go on in a replay room.

    Attributes:
        bus_ns: from here, not before where it stands; None from where it stands.
        rate: bus ns a ns; 0 stands still.
    """

    bus_ns: Annotated[int, Meta(ge=0, le=LAST_NS)] | None = None
    rate: Annotated[float, Meta(ge=0, le=FASTEST)] = 1.0
