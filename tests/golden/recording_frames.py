"""Frames of every kind for the tests of recording: one short made-up case, and random samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from scot import channel as declare
from scot.channel import Catalogue, Channel, Device, Kind, Sensitivity
from scot.codec import Frame, encode
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

S = 1_000_000_000
START_NS = 1_795_000_000 * S
EPOCH = START_NS - 5 * S

CHANNELS: dict[Kind, Channel] = {
    Kind.NUMERIC: declare.Numeric("hr", unit="/min", code="MDC_ECG_HEART_RATE", rate_hz=1.0),
    Kind.WAVEFORM: declare.Waveform("art", unit="mm[Hg]", rate_hz=125.0),
    Kind.POSE: declare.Pose("probe", frame="mni152", rate_hz=20.0),
    Kind.VIDEO: declare.Video("video", rate_hz=25.0, width_px=640, height_px=360),
    Kind.IMAGE: Channel(name="image", kind=Kind.IMAGE, frame="mni152"),
    Kind.TEXT: declare.Text("status", sensitivity=Sensitivity.TECHNICAL),
    Kind.EVENT: declare.Event("health"),
    Kind.ALARM: declare.Alarm("alarms"),
    Kind.ANNOTATION: declare.Annotation("notes"),
}

MONITOR = Device(
    name="monitor",
    provider="sdc",
    epoch=EPOCH,
    channels={c.name: c for c in (CHANNELS[Kind.NUMERIC], CHANNELS[Kind.WAVEFORM],
                                  CHANNELS[Kind.ALARM])},
)  # fmt: skip
TRACKER = Device(
    name="tracker",
    provider="openigtlink",
    epoch=EPOCH,
    channels={c.name: c for c in (CHANNELS[Kind.POSE], CHANNELS[Kind.TEXT])},
)
SCOPE = Device(
    name="scope", provider="video", epoch=EPOCH, channels={"video": CHANNELS[Kind.VIDEO]}
)
ROOM = Device(
    name="room",
    provider="room",
    epoch=EPOCH,
    channels={"clock": declare.Event("clock"), "notes": CHANNELS[Kind.ANNOTATION]},
)


def catalogue() -> Catalogue:
    """A room with a monitor, a tracker, a scope and the room itself."""
    catalogue = Catalogue(workspace="or1", title={"en": "OR 1"}, case="case-7")
    for device in (ROOM, MONITOR, TRACKER, SCOPE):
        catalogue = catalogue.with_device(device)
    return catalogue


def frame(
    address: str,
    kind: Kind,
    seq: int,
    t_s: float,
    value: Value,
    *,
    flags: Flags = Flags(0),  # noqa: B008
    epoch: int = EPOCH,
    source_ns: int | None = None,
) -> Frame:
    """One frame at `t_s` seconds after the start."""
    time = Timestamp(source_ns, START_NS + round(t_s * S), 40_000, 9_000, ClockState.LOCKED)
    return encode(Sample(address, epoch, seq, time, flags, value), kind)


def case(seconds: float = 10.0, skip: frozenset[tuple[str, int]] = frozenset()) -> list[Frame]:
    """A short case in bus-time order; `skip` leaves out (address, seq), as a cut link does."""
    made: list[tuple[float, str, int, Frame]] = []
    for t_s, address, seq, sample in _stories(seconds):
        if (address, seq) not in skip:
            made.append((t_s, address, seq, sample))
    made.sort(key=lambda item: item[:3])
    return [item[3] for item in made]


def _stories(seconds: float) -> Iterator[tuple[float, str, int, Frame]]:
    unit = access_unit
    for seq in range(math.ceil(seconds)):
        t_s = float(seq)
        value = NumericValue(70.0 + seq)
        yield (
            t_s,
            "or1/monitor/hr",
            seq,
            frame("or1/monitor/hr", Kind.NUMERIC, seq, t_s, value, source_ns=seq * S),
        )
        yield (
            t_s,
            "or1/room/clock",
            seq,
            frame(
                "or1/room/clock",
                Kind.EVENT,
                seq,
                t_s,
                {"source": "monitor", "map_id": seq},
            ),
        )
    for seq in range(math.floor(seconds * 5)):
        t_s = seq / 5
        block = pressure(seq)
        yield t_s, "or1/monitor/art", seq, frame("or1/monitor/art", Kind.WAVEFORM, seq, t_s, block)
    for seq in range(math.floor(seconds * 20)):
        t_s = seq / 20
        pose = PoseValue((t_s, 2.0, -3.5), (0.0, 0.0, 0.0, 1.0), 0.9, err_mm=0.3)
        yield (
            t_s,
            "or1/tracker/probe",
            seq,
            frame("or1/tracker/probe", Kind.POSE, seq, t_s, pose, source_ns=round(t_s * S)),
        )
    for seq in range(math.floor(seconds * 25)):
        t_s = seq / 25
        key = seq % 25 == 0
        yield t_s, "or1/scope/video", seq, frame(
            "or1/scope/video", Kind.VIDEO, seq, t_s, unit(seq),
            flags=Flags.KEYFRAME if key else Flags(0),
        )  # fmt: skip
    yield (
        0.01,
        "or1/tracker/status",
        0,
        frame("or1/tracker/status", Kind.TEXT, 0, 0.01, "追跡中 tracking"),
    )
    if seconds > 2.5:
        alarm = AlarmValue(id="hr-high", kind="Phy", priority="Me", present=True, channel="hr",
                           text={"en": "HR high"}, value=131.0, limit=120.0)  # fmt: skip
        yield 2.5, "or1/monitor/alarms", 0, frame("or1/monitor/alarms", Kind.ALARM, 0, 2.5, alarm)


def pressure(seq: int) -> NDArray[np.float32]:
    """25 values of a saw-tooth, the same bits on every machine."""
    return ((np.arange(25) * 7 + seq * 13) % 40 / 8 - 2.5).astype(np.float32)


def access_unit(seq: int) -> bytes:
    """Bytes that look like an access unit: a start code and a body that does not compress."""
    body = np.random.default_rng(seq).integers(0, 256, 900 + seq % 7, dtype=np.uint8)
    return b"\x00\x00\x00\x01\x65" + body.tobytes()


_int64 = st.integers(-(2**63), 2**63 - 1)
_count = st.integers(0, 2**63 - 1)
_times = st.builds(
    Timestamp,
    st.none() | _int64,
    st.integers(0, 2**62),
    st.none() | _count,
    st.none() | _count,
    st.sampled_from(ClockState),
)
_number = st.floats(allow_nan=True, allow_infinity=True)
_words = st.text('aé追=\0"\\{', max_size=12)
_labels = st.dictionaries(st.sampled_from(["en", "ja"]), _words, max_size=2)
_maybe = st.none() | _number
_plain = st.recursive(
    st.none() | st.booleans() | _int64 | _number | _words | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=6,
)
_three, _four = st.tuples(*[_number] * 3), st.tuples(*[_number] * 4)

VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.NUMERIC: st.builds(NumericValue, _maybe, st.sampled_from(Validity)),
    Kind.WAVEFORM: st.lists(st.integers(0, 2**32 - 1), max_size=40).map(
        lambda bits: np.array(bits, dtype="<u4").view("<f4")
    ),
    Kind.POSE: st.builds(PoseValue, _three, _four, _maybe, st.booleans(), _maybe),
    Kind.VIDEO: st.binary(max_size=200),
    Kind.IMAGE: st.builds(
        ImageValue,
        media_type=st.sampled_from(["image/png", "image/jpeg", "application/dicom"]),
        data=st.binary(max_size=50),
        width_px=st.integers(0, 2**33),
        height_px=st.integers(0, 5000),
        attrs=st.dictionaries(_words, _plain, max_size=2),
    ),
    Kind.TEXT: _words,
    Kind.EVENT: st.dictionaries(_words, _plain, max_size=4),
    Kind.ALARM: st.builds(
        AlarmValue,
        id=_words, kind=st.sampled_from(["Phy", "Tec"]), priority=st.sampled_from(["Lo", "Hi"]),
        present=st.booleans(), channel=_words, text=_labels, value=_maybe, limit=_maybe,
    ),
    Kind.ANNOTATION: st.builds(
        AnnotationValue,
        id=_words, channel=_words, at_ns=_int64, author=_words, tool=_words,
        points=st.lists(st.tuples(_number, _number), max_size=3), text=_words, ttl_s=_number,
    ),
}  # fmt: skip


@st.composite
def frames(draw: st.DrawFn, kind: Kind) -> Frame:
    """Any frame of a kind that SCOT's own codec writes."""
    channel = CHANNELS[kind]
    sample = Sample(
        f"or1/device/{channel.name}",
        draw(_count),
        draw(_count),
        draw(_times),
        Flags(draw(st.integers(0, 63))),
        draw(VALUES[kind]),
    )
    return encode(sample, kind)
