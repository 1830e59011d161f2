"""A small room for the gateway's tests: its catalogue, and samples as the bus delivers them."""

from __future__ import annotations

from typing import Any

import numpy as np

from scot.bus.subscriber import Delivery
from scot.channel import (
    Alarm,
    Catalogue,
    Channel,
    Device,
    Kind,
    Lifecycle,
    Numeric,
    Pose,
    Sensitivity,
    Text,
    Video,
    Waveform,
)
from scot.codec import encode, read_header
from scot.sample import AlarmValue, AnnotationValue, Flags, NumericValue, PoseValue, Sample
from scot.timestamp import ClockState, Timestamp
from scot_dashboard import consult

PATIENT = "Tanaka Hanako"
START_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000
NONE = Flags(0)

HR = Numeric("hr", unit="/min", rate_hz=1.0, label={"en": "HR", "ja": "心拍数"})
ECG = Waveform("ecg_ii", unit="mV", rate_hz=250.0, numeric_of=["hr", "patient"])
ALARMS = Alarm("alarms")
NAME = Text("patient", sensitivity=Sensitivity.IDENTITY, label={"en": f"Patient {PATIENT}"})
REMARK = Text("remark")  # says nothing about itself
BED = Text("bed", sensitivity=Sensitivity.CLINICAL)
PROBE = Pose("probe", attrs={"target_mm": [1.0, 2.0, 3.0], "serial": "A-77", PATIENT: 1})
VIDEO = Video("video", width_px=640, height_px=360)
PHOTO = Channel(name="photo", kind=Kind.IMAGE, sensitivity=Sensitivity.CLINICAL)
HEALTH = Channel(name="health", kind=Kind.EVENT, sensitivity=Sensitivity.TECHNICAL)


def _device(name: str, *channels: Channel, reason: str = "") -> Device:
    return Device(
        name=name,
        provider="test",
        label={"en": name.title()},
        state=Lifecycle.RUNNING,
        reason=reason,
        epoch=START_NS,
        channels={channel.name: channel for channel in channels},
    )


def catalogue(*, replay: bool = False, case: str = "K-17 Tanaka", version: int = 5) -> Catalogue:
    """The room: a monitor that also tells the patient's name, a tracker, a scope, two others."""
    devices = [
        _device(
            "monitor", HR, ECG, ALARMS, NAME, REMARK, BED, HEALTH, reason=f"bed of {PATIENT} lost"
        ),
        _device("tracker", PROBE),
        _device("scope", VIDEO, PHOTO),
        _device("ward", NAME, REMARK),
        consult.device(START_NS),
    ]
    return Catalogue(
        workspace="or1",
        version=version,
        replay=replay,
        title={"en": f"OR 1 {PATIENT}", "ja": "手術室1"},
        case=case,
        devices={device.name: device for device in devices},
        volumes={"mni152": "brain", "tanaka": "head"},
    )


CHANNELS = {
    f"or1/{device.name}/{channel.name}": channel
    for device in catalogue().devices.values()
    for channel in device.channels.values()
}


def delivery(
    address: str,
    value: Any,
    seq: int = 0,
    *,
    at_s: float | None = None,
    flags: Flags = NONE,
    own: Flags = NONE,
) -> Delivery:
    """One sample as the bus delivers it.

    Args:
        address: of a channel of `catalogue`.
        value: of its kind.
        seq: its number; also its second, unless `at_s` says otherwise.
        at_s: bus time since `START_NS`.
        flags: that travel.
        own: the receiver's.
    """
    bus_ns = START_NS + round((seq if at_s is None else at_s) * SECOND_NS)
    time = Timestamp(bus_ns - 5, bus_ns, 1_000, 500, ClockState.LOCKED)
    channel = CHANNELS[address]
    frame = encode(Sample(address, START_NS, seq, time, flags, value), channel.kind)
    return Delivery(frame, read_header(frame), flags | own, channel)


def hr(seq: int, value: float = 72.0, **more: Any) -> Delivery:
    """A heart rate."""
    return delivery("or1/monitor/hr", NumericValue(value), seq, **more)


def pose(seq: int, **more: Any) -> Delivery:
    """A pose of the probe."""
    return delivery("or1/tracker/probe", PoseValue((1, 2, 3), (0, 0, 0, 1)), seq, **more)


def ecg(seq: int, count: int = 25, **more: Any) -> Delivery:
    """A block of ECG."""
    return delivery("or1/monitor/ecg_ii", np.full(count, seq, np.float32), seq, **more)


def picture(seq: int, size: int = 1_000, group: int = 25, **more: Any) -> Delivery:
    """An access unit; every `group`-th is a keyframe."""
    own = more.pop("own", Flags(0))
    flags = Flags.KEYFRAME if seq % group == 0 else Flags(0)
    data = seq.to_bytes(4, "big") + bytes(size - 4)
    return delivery("or1/scope/video", data, seq, flags=flags, own=own, **more)


def alarm(
    seq: int,
    name: str = "spo2_low",
    *,
    present: bool = True,
    text: str = "SpO2 low",
    priority: str = "Hi",
    **more: Any,
) -> Delivery:
    """One word of an alarm condition."""
    value = AlarmValue(id=name, kind="Phy", priority=priority, present=present, text={"en": text})
    return delivery("or1/monitor/alarms", value, seq, **more)


def note(
    seq: int,
    name: str = "n1",
    *,
    author: str = "consultant 1",
    text: str = "",
    ttl_s: float = 8.0,
    tool: str = "pointer",
    **more: Any,
) -> Delivery:
    """An annotation on the video."""
    value = AnnotationValue(
        id=name,
        channel="or1/scope/video",
        at_ns=START_NS + seq * SECOND_NS,
        author=author,
        tool=tool,
        points=[(0.25, 0.5)],
        text=text,
        ttl_s=ttl_s,
    )
    return delivery("or1/consult/notes", value, seq, **more)
