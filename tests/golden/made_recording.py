"""A made-up case with everything an export must carry: gaps, drift, sources, texts, identity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scot import channel as declare
from scot.channel import Catalogue, Device, Sensitivity
from scot.codec import Frame, encode
from scot.sample import (
    AlarmValue,
    AnnotationValue,
    Flags,
    NumericValue,
    PoseValue,
    Sample,
    Validity,
    Value,
)
from scot.timestamp import ClockState, Timestamp
from scot_replay.layout import Manifest, iso_utc
from scot_replay.new_recording import NewRecording

S = 1_000_000_000
START_NS = 1_795_000_037 * S + 123_456_789
EPOCH = START_NS - 5 * S
BLOCK, RATE = 25, 125
NAME = "Hoshino"
CHANNELS = {
    "monitor": [
        declare.Numeric("hr", unit="/min", code="MDC_ECG_HEART_RATE", rate_hz=1.0),
        declare.Waveform("art", unit="mm[Hg]", code="MDC_PRESS_BLD_ART_ABP", rate_hz=125.0),
        declare.Alarm("alarms"),
        declare.Text("patient", sensitivity=Sensitivity.IDENTITY),
        declare.Numeric("secret", sensitivity=Sensitivity.UNCLASSIFIED),
    ],
    "tracker": [declare.Pose("probe", frame="mni152", rate_hz=10.0)],
    "room": [declare.Annotation("notes"), declare.Event("health")],
}


def catalogue() -> Catalogue:
    """Monitor, tracker and room; the monitor's label names the patient, as some do."""
    known = Catalogue(workspace="or1", title={"en": "OR 1"}, case="case-4711")
    for name, channels in CHANNELS.items():
        label = {"en": f"Monitor of {NAME}"} if name == "monitor" else {"en": name}
        known = known.with_device(
            Device(
                name=name,
                provider="test",
                label=label,
                epoch=EPOCH,
                channels={channel.name: channel for channel in channels},
            )
        )
    return known


def pressure(seq: int) -> NDArray[np.float32]:
    """25 values of an arterial pressure, quarter steps, the same on every machine."""
    at = np.arange(seq * BLOCK, (seq + 1) * BLOCK) / RATE
    return (np.round(4 * (90 + 30 * np.sin(2 * np.pi * 1.2 * at))) / 4).astype(np.float32)


def sample(
    address: str, seq: int, at_ns: int, value: Value, flags: int = 0, source_ns: int | None = None
) -> Frame:
    """One frame at `at_ns` after the start."""
    channel = catalogue().channel(address)
    assert channel is not None
    time = Timestamp(source_ns, START_NS + at_ns, 40_000, 9_000, ClockState.LOCKED)
    return encode(Sample(address, EPOCH, seq, time, Flags(flags), value), channel.kind)


def frames(seconds: int = 10) -> list[Frame]:
    """The case: hr misses seqs 4 and 5, art misses blocks 20 to 24, and hr 7 has no value."""
    made = [*_signals(seconds), *_words(seconds)]
    return [frame for _, frame in sorted(made, key=lambda one: (one[0], one[1].topic))]


def _signals(seconds: int) -> Iterator[tuple[int, Frame]]:
    for n in range(seconds):
        if n not in {4, 5}:
            at_ns = n * S + 3_000_017 * (n % 3)
            reading = NumericValue(60.1 + n)
            if n == 7:
                reading = NumericValue(None, Validity.NOT_AVAILABLE)
            yield at_ns, sample("or1/monitor/hr", n, at_ns, reading, source_ns=5 * S + at_ns)
            yield at_ns, sample("or1/monitor/secret", n, at_ns, NumericValue(float(n)))
    for n in range(seconds * 5):
        if not 20 <= n < 25:
            at_ns = n * S // 5
            yield at_ns, sample("or1/monitor/art", n, at_ns, pressure(n), source_ns=5 * S + at_ns)
    for n in range(seconds * 10):
        at_ns = n * S // 10 + 7
        pose = PoseValue((n / 3, 2.0, -3.5), (0.0, 0.6, 0.0, 0.8), 0.9, n % 10 != 9, 0.25)
        yield at_ns, sample("or1/tracker/probe", n, at_ns, pose)


def _words(seconds: int) -> Iterator[tuple[int, Frame]]:
    yield 0, sample("or1/monitor/patient", 0, 0, f"{NAME} Aiko 1970-02-03")
    for n, at_s in enumerate((2, 6)):
        high = n == 0
        alarm = AlarmValue(id="hr_high", kind="Phy", priority="Me", present=high, channel="hr",
                           text={"en": "HR high"}, value=131.0, limit=120.0)  # fmt: skip
        yield at_s * S, sample("or1/monitor/alarms", n, at_s * S, alarm)
    for n, (at_s, text) in enumerate(((1, "incision"), (5, f"call the family of {NAME}"))):
        note = AnnotationValue(id=f"n{n}", channel="", at_ns=START_NS + at_s * S, text=text,
                               author="OR staff", tool="chapter")  # fmt: skip
        yield at_s * S, sample("or1/room/notes", n, at_s * S, note)
    yield 3 * S, sample("or1/room/health", 0, 3 * S, {"host": "or1-pc", "free": 5})


def make(path: Path, seconds: int = 10) -> Path:
    """Write the case as a recording."""
    manifest = Manifest(
        workspace="or1", case="case-4711", started_ns=START_NS, started=iso_utc(START_NS)
    )
    with NewRecording(path, manifest, catalogue()) as made:
        made.put(frames(seconds))
        made.finish(START_NS + seconds * S)
    return path
