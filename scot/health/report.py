"""What a process says in its ``health`` each second. Sans-IO; a fraction of a µs a sample."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from scot.channel import BULK, Channel, Kind
from scot.codec import Header
from scot.gap import GapDetector
from scot.timestamp import ClockState, Timestamp

AGING = frozenset({Kind.NUMERIC, Kind.WAVEFORM, Kind.POSE, Kind.VIDEO})
NAME = "health"
MAX_SILENT = 64
LOOKS = 3  # so that a channel of 1 Hz does not read 0 and 2 in turn
RECENT_NS = 5_000_000_000
REASONS = {
    ClockState.LOCKED: "",
    ClockState.CONVERGING: "too few probes so far; the error is still falling",
    ClockState.HOLDOVER: "no probe has come back for {age_s:.0f} s; the error grows",
    ClockState.ONE_WAY: "answers no probes",
    ClockState.UNSYNCED: "no probe has come back yet",
}


class Flow:
    """Samples and bytes of one class that went one way, and their rates over the last looks.

    Args:
        since_ns: a reading of the local monotonic clock from which rates count; the first look
            when None.

    Attributes:
        samples, bytes: since start.
    """

    __slots__ = ("_looks", "bytes", "samples")

    def __init__(self, since_ns: int | None = None) -> None:
        self.samples = 0
        self.bytes = 0
        self._looks: deque[tuple[int, int, int]] = deque(maxlen=LOOKS)
        if since_ns is not None:
            self._looks.append((since_ns, 0, 0))

    def add(self, size: int, samples: int = 1) -> None:
        """Count samples of `size` bytes together."""
        self.samples += samples
        self.bytes += size

    def reach(self, samples: int, size: int = 0) -> None:
        """Take counts that somebody else keeps, since start."""
        self.samples, self.bytes = samples, size

    def look(self, now_ns: int) -> dict[str, Any]:
        """Return counts, and rates over the last `LOOKS` looks; nothing while nothing came.

        Args:
            now_ns: a reading of the local monotonic clock.
        """
        looks = self._looks
        before_ns, samples, size = looks[0] if looks else (now_ns, self.samples, self.bytes)
        looks.append((now_ns, self.samples, self.bytes))
        if not self.samples:
            return {}
        span_s = (now_ns - before_ns) / 1e9
        rate_hz = (self.samples - samples) / span_s if span_s > 0 else 0.0
        bytes_hz = (self.bytes - size) / span_s if span_s > 0 else 0.0
        return {
            "samples": self.samples,
            "bytes": self.bytes,
            "samples_hz": round(rate_hz, 2),
            "bytes_hz": round(bytes_hz, 1),
        }


class Head:
    """How far one channel has come: its last sample, and how many and how large they were.

    Attributes:
        channel: as it was published last.
        header: of the last sample.
        samples, bytes: since start; bytes of whole frames.
    """

    __slots__ = ("bytes", "channel", "header", "samples")

    def __init__(self, channel: Channel, header: Header) -> None:
        self.channel = channel
        self.header = header
        self.samples = 0
        self.bytes = 0

    def published(self, channel: Channel, header: Header, size: int) -> None:
        """Note one sample; `size` is of its whole frame, B."""
        self.channel = channel
        self.header = header
        self.samples += 1
        self.bytes += size


class Report:
    """What one process has published of one device.

    Its own ``health`` is no sample of the device and does not count.

    Attributes:
        heads: of each channel, by name.
    """

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        self._flows = {"ctl": Flow(), "bulk": Flow()}

    def say(self, now_ns: int, bus_ns: int) -> dict[str, Any]:
        """Return the part of ``health`` that tells of the device's samples.

        Args:
            now_ns: the local monotonic clock.
            bus_ns: bus time now.
        """
        heads = [head for name, head in self.heads.items() if name != NAME]
        newest = [(head.channel, head.header) for head in heads]
        age_s = None
        if newest:
            age_s = round((bus_ns - max(header.bus_ns for _, header in newest)) / 1e9, 3)
        silent = {
            channel.name: round(old_s, 1)
            for channel, header in newest
            if channel.kind in AGING
            and not channel.latched
            and (old_s := (bus_ns - header.bus_ns) / 1e9) > channel.stale_after_s
        }
        said: dict[str, Any] = {"age_s": age_s, "sent": self._sent(heads, now_ns)}
        if silent:
            said["silent"] = dict(sorted(silent.items())[:MAX_SILENT])
        aging = [header for channel, header in newest if channel.kind in AGING]
        if aging:
            last_ns = max(header.bus_ns for header in aging)
            said["times"] = _worst(h.time for h in aging if h.bus_ns >= last_ns - RECENT_NS)
        return said

    def _sent(self, heads: list[Head], now_ns: int) -> dict[str, Any]:
        sent: dict[str, Any] = {}
        for name, flow in self._flows.items():
            mine = [head for head in heads if (head.channel.kind in BULK) == (name == "bulk")]
            flow.reach(sum(head.samples for head in mine), sum(head.bytes for head in mine))
            if look := flow.look(now_ns):
                sent[name] = look
        return sent


class Reports:
    """What one process says of itself and of every device it publishes.

    Attributes:
        heard: of what it listens to, by class (``ctl``, ``bulk``).
        rejoined: how often it met a new broker.
        restarts: how often the process was started again; None when nobody counts.
        accuracy_ns: by device: how far it says its own clock is from UTC; None: it does not say.
    """

    def __init__(self) -> None:
        self.heard = {"ctl": Flow(), "bulk": Flow()}
        self.rejoined = 0
        self.restarts: int | None = None
        self.accuracy_ns: dict[str, int | None] = {}
        self._devices: dict[str, Report] = {}

    def head(self, device: str, channel: Channel, header: Header) -> Head:
        """Return what is kept of a channel; whoever publishes often keeps hold of it."""
        heads = self._devices.setdefault(device, Report()).heads
        found = heads.get(channel.name)
        if found is None:
            found = heads[channel.name] = Head(channel, header)
        return found

    def published(self, device: str, channel: Channel, header: Header, size: int) -> None:
        """Note one sample of a device; `size` is of its whole frame, B."""
        self.head(device, channel, header).published(channel, header, size)

    def heads(self, device: str) -> dict[str, list[int]]:
        """Return epoch and next seq of each channel of a device: they tell of a lost tail."""
        report = self._devices.get(device)
        heads = {} if report is None else report.heads
        return {n: [head.header.epoch, head.header.seq + 1] for n, head in heads.items()}

    def say(
        self,
        device: str,
        now_ns: int,
        bus_ns: int,
        lanes: dict[str, dict[str, int]],
        missed: dict[str, int] | None,
    ) -> dict[str, Any]:
        """Return a device's part of ``health`` that does not come from its provider.

        Args:
            device: its name.
            now_ns: the local monotonic clock.
            bus_ns: bus time now.
            lanes: ``waiting`` and ``dropped`` of each class that is sent.
            missed: see `reception`; None when the process does not listen.
        """
        said = self._devices.setdefault(device, Report()).say(now_ns, bus_ns)
        for name, counts in lanes.items():
            if name in said["sent"] or any(counts.values()):
                said["sent"][name] = said["sent"].get(name, {}) | counts
        if "times" in said and said["times"]["state"] == ClockState.ONE_WAY.label:
            said["times"] |= one_way(self.accuracy_ns.get(device))
        if missed is not None:
            flows = {n: look for n, flow in self.heard.items() if (look := flow.look(now_ns))}
            said["received"] = {**flows, **missed}
        said["rejoined"] = self.rejoined
        if self.restarts is not None:
            said["restarts"] = self.restarts
        return said


def one_way(accuracy_ns: int | None) -> dict[str, Any]:
    """Return why a device's times are one-way, and what it declares of its clock."""
    if accuracy_ns is None:
        return {"reason": "answers no probes and declares no accuracy", "accuracy_ns": None}
    reason = f"answers no probes; declares ±{accuracy_ns / 1e6:g} ms of UTC"
    return {"reason": reason, "accuracy_ns": accuracy_ns}


def _worst(times: Iterable[Timestamp]) -> dict[str, Any]:
    """Return how well the least well known of some times is known."""
    worst = max(times, key=lambda time: (time.state, time.err_ns or 0))
    return {"state": worst.state.label, "bound_ns": worst.bound_ns, "err_ns": worst.err_ns}


def clock(time: Timestamp, epoch: int, map_age_s: float) -> dict[str, Any]:
    """Return how a process's own clock stands.

    Args:
        time: its stamp of now.
        epoch: of its map.
        map_age_s: since the point its map was made at.
    """
    return {
        "state": time.state.label,
        "reason": REASONS[time.state].format(age_s=map_age_s),
        "bound_ns": time.bound_ns,
        "err_ns": time.err_ns,
        "epoch": epoch,
        "map_age_s": round(map_age_s, 3),
    }


MOST = 2**63 - 1  # a publisher may claim any seq, and MessagePack must still hold the sum


def reception(
    subscriptions: Iterable[dict[str, GapDetector]], backfilled: int, malformed: int
) -> dict[str, int]:
    """Return what a process misses; of several subscriptions of one channel the worst.

    Args:
        subscriptions: gap detectors by address, of each subscription.
        backfilled: samples that came back from History.
        malformed: frames that could not be read.
    """
    missing: dict[str, int] = {}
    twice: dict[str, int] = {}
    for gaps in subscriptions:
        for address, detector in gaps.items():
            missing[address] = max(missing.get(address, 0), detector.lost)
            twice[address] = max(twice.get(address, 0), detector.duplicates)
    return {
        "missing": min(sum(missing.values()), MOST),
        "backfilled": backfilled,
        "duplicates": sum(twice.values()),
        "malformed": malformed,
    }
