"""Samples of all channels in bus-time order; live and recorded answer the same two questions."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from scot.alignment import Aligned, align
from scot.sample import Flags, NumericValue, Sample

KEEP_NS = 600_000_000_000
LATENESS_NS = 500_000_000


@dataclass(frozen=True)
class Moment:
    """What one channel showed at an instant.

    Attributes:
        sample: the last at or before the instant.
        age_ns: how long before it.
        bound_ns, err_ns: guaranteed and likely error of the sample's time; None unknown.
    """

    sample: Sample
    age_ns: int
    bound_ns: int | None
    err_ns: int | None


class Timeline:
    """Holds samples in bus-time order, whatever order they come in.

    Args:
        keep_ns: samples older than the newest by more than this go.
        lateness_ns: how far the watermark stays behind the newest sample of all.

    Attributes:
        late: number of samples that came after the watermark had passed them; they are kept.
    """

    def __init__(self, keep_ns: int = KEEP_NS, lateness_ns: int = LATENESS_NS) -> None:
        self.keep_ns = keep_ns
        self.lateness_ns = lateness_ns
        self.late = 0
        self._newest_ns: int | None = None
        self._times: dict[str, list[int]] = {}
        self._samples: dict[str, list[Sample]] = {}

    @property
    def watermark_ns(self) -> int | None:
        """Bus time before which no more samples are expected; None while empty."""
        return None if self._newest_ns is None else self._newest_ns - self.lateness_ns

    @property
    def addresses(self) -> list[str]:
        """Channels that have samples, sorted."""
        return sorted(self._samples)

    def add(self, sample: Sample) -> Sample:
        """Take one sample; return it, flagged LATE when the watermark had passed it."""
        bus_ns = sample.time.bus_ns
        watermark_ns = self.watermark_ns
        if watermark_ns is not None and bus_ns < watermark_ns:
            sample = msgspec.structs.replace(sample, flags=sample.flags | Flags.LATE)
            self.late += 1
        times = self._times.setdefault(sample.address, [])
        samples = self._samples.setdefault(sample.address, [])
        if not times or bus_ns >= times[-1]:
            times.append(bus_ns)
            samples.append(sample)
        else:
            place = bisect_right(times, bus_ns)
            insort(times, bus_ns)
            samples.insert(place, sample)
        if self._newest_ns is None or bus_ns > self._newest_ns:
            self._newest_ns = bus_ns
        self._forget(times, samples, self._newest_ns)
        return sample

    def at(self, bus_ns: int, addresses: Iterable[str] | None = None) -> dict[str, Moment]:
        """Return, for each channel that had one, the last sample at or before `bus_ns`."""
        found: dict[str, Moment] = {}
        for address in self.addresses if addresses is None else addresses:
            place = bisect_right(self._times.get(address, []), bus_ns)
            if place:
                sample = self._samples[address][place - 1]
                time = sample.time
                found[address] = Moment(sample, bus_ns - time.bus_ns, time.bound_ns, time.err_ns)
        return found

    def between(
        self,
        from_ns: int,
        to_ns: int,
        addresses: Iterable[str] | None = None,
        max_points: int | None = None,
    ) -> dict[str, list[Sample]]:
        """Return the samples of [from_ns, to_ns) by channel, in bus-time order.

        Args:
            from_ns: bus time, inclusive.
            to_ns: bus time, exclusive.
            addresses: channels; all when None.
            max_points: at most so many samples a channel. Numerics keep the least and the
                greatest of each stretch, so that no peak is hidden; others are taken evenly.
        """
        found: dict[str, list[Sample]] = {}
        for address in self.addresses if addresses is None else addresses:
            times = self._times.get(address, [])
            first, last = bisect_right(times, from_ns - 1), bisect_right(times, to_ns - 1)
            samples = self._samples[address][first:last] if last > first else []
            if max_points is not None and len(samples) > max_points:
                samples = thin(samples, max_points)
            found[address] = samples
        return found

    def align(
        self, addresses: Iterable[str], times_ns: Sequence[int], tolerance_ns: int
    ) -> dict[str, Aligned]:
        """Return channels at the same instants, each value with its age and errors.

        Args:
            addresses: channels; one without samples is known nowhere.
            times_ns: the instants, bus ns.
            tolerance_ns: age up to which a value counts.

        Raises:
            ValueError: the tolerance is negative.
        """
        return {a: align(self._samples.get(a, []), times_ns, tolerance_ns) for a in addresses}

    def _forget(self, times: list[int], samples: list[Sample], newest_ns: int) -> None:
        old = bisect_right(times, newest_ns - self.keep_ns) - 1  # one more holds at the edge
        if old > 64 or 0 < old == len(times) - 1:
            del times[:old], samples[:old]


def thin(samples: list[Sample], max_points: int) -> list[Sample]:
    """Return at most `max_points` of the samples, extremes of numerics among them.

    Raises:
        ValueError: `max_points` is below 2.
    """
    if not isinstance(samples[0].value, NumericValue):
        return [samples[i] for i in picks(len(samples), None, max_points).tolist()]
    values: NDArray[np.float64] = np.array(
        [
            s.value.value
            if isinstance(s.value, NumericValue) and s.value.value is not None
            else np.nan
            for s in samples
        ]
    )
    return [samples[i] for i in picks(len(samples), values, max_points).tolist()]


def picks(count: int, values: NDArray[np.float64] | None, max_points: int) -> NDArray[np.int64]:
    """Return the places of at most `max_points` of `count` samples, ascending.

    Args:
        count: how many there are.
        values: of numerics, NaN where there is none: the least and the greatest of each stretch
            are among them. None for others, which are taken evenly.
        max_points: how many may be taken.

    Raises:
        ValueError: `max_points` is below 2.
    """
    if max_points < 2:
        raise ValueError(f"max_points is {max_points}; at least 2 can show a stretch")
    if values is None:
        return np.linspace(0, count - 1, max_points).round().astype(np.int64)
    chosen: list[int] = []
    for part in np.array_split(np.arange(count), max(1, max_points // 2)):
        inside = values[part]
        if np.isnan(inside).all():
            chosen.append(int(part[0]))
            continue
        chosen += sorted({int(part[np.nanargmin(inside)]), int(part[np.nanargmax(inside)])})
    return np.array(chosen, dtype=np.int64)
