"""Clocks and links that misbehave as real ones do, with the truth known.

True time is the service's clock, in ns from 0. A `CrystalClock` says what a device's clock reads at
a true time; a `Link` says how long a probe takes each way. All are seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from scot.clock.probe import Probe, every_ns

Draw = Callable[[np.random.Generator, float], float]


@dataclass
class CrystalClock:
    """A crystal oscillator.

    Attributes:
        offset_ns: reading − truth at truth 0.
        skew_ppm: constant frequency error.
        thermal_ppm, thermal_s: amplitude and period of a sinusoidal frequency error.
        walk_ppm: standard deviation of a random walk of the frequency, after one hour.
        steps: (true s, ns) by which the reading jumps.
    """

    offset_ns: int = 0
    skew_ppm: float = 0.0
    thermal_ppm: float = 0.0
    thermal_s: float = 600.0
    walk_ppm: float = 0.0
    steps: list[tuple[float, int]] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        """Draw the random walk, a knot each ten seconds for four hours."""
        rng = np.random.default_rng(self.seed)
        each = self.walk_ppm * 1e-6 * np.sqrt(10 / 3600)
        rate = np.cumsum(rng.normal(0, each, 1440)) if each else np.zeros(1440)
        self._knots_s = np.arange(1441) * 10.0
        self._walk_s = np.concatenate([[0.0], np.cumsum(rate * 10.0)])

    def read(self, true_ns: float) -> int:
        """Return the reading at a true time."""
        t_s = true_ns / 1e9
        omega = 2 * np.pi / self.thermal_s
        off_s = self.skew_ppm * 1e-6 * t_s
        off_s += self.thermal_ppm * 1e-6 / omega * (1 - np.cos(omega * t_s))
        off_s += float(np.interp(t_s, self._knots_s, self._walk_s))
        jumps = sum(ns for at_s, ns in self.steps if t_s >= at_s)
        return int(true_ns + off_s * 1e9) + self.offset_ns + jumps


@dataclass(frozen=True)
class Link:
    """One way of joining a device to the room.

    Attributes:
        there, back: draw one delay in ms, at a true time in s.
        loss: share of exchanges that do not complete.
    """

    name: str
    there: Draw
    back: Draw
    loss: float = 0.0


def _uniform(low: float, high: float) -> Draw:
    return lambda rng, _: rng.uniform(low, high)


def _lan(rng: np.random.Generator, _: float) -> float:
    return float(0.08 + rng.exponential(0.03))


def _wifi(rng: np.random.Generator, t_s: float) -> float:
    burst = (t_s % 7.0) < 1.5
    return float(1.2 + rng.exponential(0.8) + (rng.exponential(25.0) if burst else 0.0))


def _queue(rng: np.random.Generator, t_s: float) -> float:
    filled = max(0.0, np.sin(2 * np.pi * t_s / 40.0))
    return float(2.0 + rng.exponential(0.3) + 30.0 * filled * rng.uniform(0.2, 1.0))


def _bloat(rng: np.random.Generator, t_s: float) -> float:
    filled = 0.5 + 0.5 * np.sin(2 * np.pi * t_s / 25.0)
    return float(15.0 + rng.exponential(0.5) + 180.0 * filled**2 * rng.uniform(0.1, 1.0))


def _quiet(rng: np.random.Generator, _: float) -> float:
    return float(2.0 + rng.exponential(0.3))


LINKS = {
    link.name: link
    for link in (
        Link("5±2 ms, 2 % loss", _uniform(3, 7), _uniform(3, 7), 0.02),
        Link("LAN", _lan, _lan),
        Link("Wi-Fi bursts", _wifi, _wifi, 0.01),
        Link("one-sided upload queue", _queue, _quiet),
        Link("WAN bufferbloat", _bloat, _bloat, 0.01),
        Link("asymmetric 3:1", _uniform(9, 11), _uniform(3, 4)),
        Link("400 ms", _uniform(190, 210), _uniform(190, 210), 0.02),
    )
}


def exchange(
    clock: CrystalClock, link: Link, true_ns: float, rng: np.random.Generator
) -> tuple[Probe, float] | None:
    """Return the probe sent at a true time and when the device got its answer; None if lost."""
    t_s = true_ns / 1e9
    there_ns = link.there(rng, t_s) * 1e6
    work_ns = rng.uniform(10e3, 60e3)
    back_ns = link.back(rng, t_s) * 1e6
    if rng.uniform() < link.loss:
        return None
    t2 = true_ns + there_ns
    t3 = t2 + work_ns
    t4 = t3 + back_ns
    return Probe(clock.read(true_ns), round(t2), round(t3), clock.read(t4)), t4


def exchanges(
    clock: CrystalClock, link: Link, seconds: float, seed: int = 0
) -> Iterator[tuple[Probe, float]]:
    """Yield each completed probe with the true time (ns) at which the device got its answer.

    The device sends as often as a client does.
    """
    rng = np.random.default_rng(seed)
    true_ns = 0.0
    sent = 0
    while true_ns < seconds * 1e9:
        true_ns += every_ns(sent) * rng.uniform(0.8, 1.2)
        sent += 1
        done = exchange(clock, link, true_ns, rng)
        if done is not None:
            yield done
