"""The samples behind the golden frames of `frames.json`, and their writer.

``python -m tests.golden.wire.samples`` writes the file anew: only when the wire has a new version,
for every journal and every foreign client reads these very bytes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from scot.channel import Kind
from scot.codec import encode
from scot.sample import (
    AlarmValue,
    AnnotationValue,
    Flags,
    ImageValue,
    NumericValue,
    PoseValue,
    Sample,
    Validity,
    Value,
)
from scot.timestamp import ClockState, Timestamp

FILE = Path(__file__).with_name("frames.json")
EPOCH = 1_795_493_709_192_614_820
BUS_NS = EPOCH + 4_200_000_001
LEAST, MOST = -(2**63), 2**63 - 1

PLAIN = Timestamp(None, BUS_NS, 41_000, 9_000, ClockState.LOCKED)
SOURCED = Timestamp(7_250_000_000, BUS_NS, None, 2_009_000, ClockState.ONE_WAY)
ZERO = Timestamp(0, 0, 0, 0, ClockState.LOCKED)
EXTREME = Timestamp(LEAST, LEAST, MOST, MOST, ClockState.UNSYNCED)


def _sample(
    name: str, value: Value, *, seq: int = 0, time: Timestamp = PLAIN, flags: int = 0
) -> Sample:
    return Sample(f"or1/{name}", EPOCH, seq, time, Flags(flags), value)


SAMPLES: dict[str, tuple[Kind, Sample]] = {
    "numeric": (Kind.NUMERIC, _sample("monitor/hr", NumericValue(72.0), seq=41)),
    "numeric without a value": (
        Kind.NUMERIC,
        _sample("monitor/spo2", NumericValue(None, Validity.NOT_AVAILABLE), flags=16),
    ),
    "numeric not a number": (
        Kind.NUMERIC,
        _sample("monitor/rr", NumericValue(math.inf, Validity.OVERFLOW), seq=65_536),
    ),
    "waveform": (
        Kind.WAVEFORM,
        _sample("monitor/art", np.array([80.0, -0.5, 119.25, math.nan], "<f4"), flags=4),
    ),
    "waveform without values": (Kind.WAVEFORM, _sample("monitor/co2", np.array([], "<f4"))),
    "pose": (
        Kind.POSE,
        _sample(
            "tracker/probe",
            PoseValue((12.5, -33.25, 71.0), (0.0, 0.0, 0.6, 0.8), 0.97, True, 0.31),
            time=SOURCED,
            flags=8,
        ),
    ),
    "pose of a hidden tool": (
        Kind.POSE,
        _sample("tracker/reference", PoseValue((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), 0.0, False)),
    ),
    "video": (
        Kind.VIDEO,
        _sample("scope/video", bytes.fromhex("0000000165b8400a"), time=SOURCED, flags=1),
    ),
    "image": (
        Kind.IMAGE,
        _sample(
            "pacs/slice",
            ImageValue(
                media_type="image/png",
                data=b"\x89PNG",
                width_px=512,
                height_px=384,
                attrs={"spacing_mm": [0.5, 0.5], "series": 3},
            ),
        ),
    ),
    "text": (Kind.TEXT, _sample("tracker/status", "追跡中 OK\n")),
    "event": (
        Kind.EVENT,
        _sample(
            "monitor/health",
            {
                "state": "running",
                "held": 0,
                "heads": {"hr": [EPOCH, 42]},
                "raw": b"\x00",
                "x": None,
            },
            seq=255,
        ),
    ),
    "event of nothing": (Kind.EVENT, _sample("room/clock", {})),
    "alarm": (
        Kind.ALARM,
        _sample(
            "monitor/alarms",
            AlarmValue(
                id="AC_spo2_low",
                kind="Phy",
                priority="Hi",
                present=True,
                presence="Latch",
                channel="spo2",
                text={"en": "SpO₂ low", "ja": "SpO₂低下"},
                value=86.0,
                limit=90.0,
            ),
        ),
    ),
    "annotation": (
        Kind.ANNOTATION,
        _sample(
            "consult/notes",
            AnnotationValue(
                id="n-1",
                channel="or1/scope/video",
                at_ns=BUS_NS,
                author="consultant 1",
                tool="arrow",
                points=[(0.25, 0.5), (1.0, 0.0)],
            ),
        ),
    ),
    "every number at zero": (
        Kind.NUMERIC,
        Sample("a/b/c", 0, 0, ZERO, Flags(0), NumericValue(0.0)),
    ),
    "every number at its limit": (
        Kind.NUMERIC,
        Sample("a/b/c", MOST, MOST, EXTREME, Flags(0xFFFF), NumericValue(5e-324)),
    ),
}


def write() -> None:
    """Write `FILE` from `SAMPLES`."""
    rows = {}
    for name, (kind, sample) in SAMPLES.items():
        frame = encode(sample, kind)
        rows[name] = {"kind": kind.value, **{k: v.hex() for k, v in frame._asdict().items()}}
    FILE.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    write()
