"""One surgery for the screen, the same samples on every machine: 22 s in the midst of a bleeding.

Patient, tools and picture are the simulators' own, taken at fixed times; there is no clock and no
socket. A replay of it that is held at `SHOWN_S` looks the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from scot import channel as declare
from scot.channel import Catalogue, Channel, Device, Sensitivity
from scot.codec import Frame, encode
from scot.sample import (
    AlarmValue,
    AnnotationValue,
    Flags,
    NumericValue,
    PoseValue,
    Sample,
    Value,
)
from scot.timestamp import ClockState, Timestamp
from scot_devices.openigtlink import rigid
from scot_devices.simulators.monitor_logic import Gauges
from scot_devices.simulators.physiology import RATE_HZ, TICK_S, Patient
from scot_devices.simulators.scene import Scene as Picture
from scot_devices.simulators.surgery import ENTRY_MM, TARGET_MM
from scot_devices.simulators.tracker_scene import Scene as Tools
from scot_devices.video.encoder import Encoder
from scot_replay.journal import MAGIC, RecordKind, encode_catalogue, encode_frame, encode_record
from scot_replay.layout import iso_utc, journal_path, write_manifest
from scot_replay.seal import seal
from tests.golden.recording_frames import EPOCH, START_NS, S
from tests.golden.recording_writing import manifest

SECONDS: Final = 22.0
SHOWN_S: Final = 16.0
"""Where the screen is held, s after the start; SHOWN_UNIX_MS is the same instant for `?t=`."""
SHOWN_UNIX_MS: Final = (START_NS - 37 * S) // 1_000_000 + round(SHOWN_S * 1000)

_STORY_S: Final = 62.0  # second of the simulators' story at the start: the patient bleeds
_TICKS: Final = 25  # of a waveform block: 0.4 s
_VIDEO_S: Final = (11.0, 20.0)
_FPS: Final = 5
_TOOLS: Final = {"probe": "Probe", "reference": "Reference", "scope": "Scope"}

# name: unit, MDC, label, label in Japanese, limits
_NUMERICS: Final[dict[str, tuple[str, str, str, str, float | None, float | None]]] = {
    "hr": ("/min", "MDC_ECG_HEART_RATE", "HR", "心拍数", 50, 110),
    "art_sys": ("mm[Hg]", "MDC_PRESS_BLD_ART_SYS", "ART sys", "動脈圧 収縮期", None, None),
    "art_dia": ("mm[Hg]", "MDC_PRESS_BLD_ART_DIA", "ART dia", "動脈圧 拡張期", None, None),
    "art_mean": ("mm[Hg]", "MDC_PRESS_BLD_ART_MEAN", "ART mean", "動脈圧 平均", 60, 110),
    "spo2": ("%", "MDC_PULS_OXIM_SAT_O2", "SpO₂", "SpO₂", 90, None),
    "pr": ("/min", "MDC_PULS_OXIM_PULS_RATE", "PR", "脈拍数", None, None),
    "etco2": ("mm[Hg]", "MDC_CONC_AWAY_CO2_ET", "etCO₂", "呼気終末CO₂", 30, 45),
    "rr": ("/min", "MDC_RESP_RATE", "RR", "呼吸数", 8, 24),
    "temp_core": ("Cel", "MDC_TEMP_CORE", "Temp core", "深部体温", 35, 38.5),
}
# name: unit, MDC, label, label in Japanese, scale, numerics
_WAVES: Final[dict[str, tuple[str, str, str, str, tuple[float, float], list[str]]]] = {
    "ecg_ii": ("mV", "MDC_ECG_ELEC_POTL_II", "II", "II", (-1, 2), ["hr"]),
    "ecg_v5": ("mV", "MDC_ECG_ELEC_POTL_V5", "V5", "V5", (-1, 2), []),
    "art": ("mm[Hg]", "MDC_PRESS_BLD_ART", "ART", "動脈圧", (0, 160),
            ["art_sys", "art_dia", "art_mean"]),
    "pleth": ("%", "MDC_PULS_OXIM_PLETH", "Pleth", "脈波", (0, 100), ["spo2", "pr"]),
    "co2": ("mm[Hg]", "MDC_CONC_AWAY_CO2", "CO₂", "CO₂", (0, 50), ["etco2"]),
    "resp": ("Ohm", "MDC_IMPED_TTHOR", "Resp", "呼吸", (-0.2, 1.2), ["rr"]),
}  # fmt: skip
_CLINICAL: Final[dict[str, Any]] = {"sensitivity": Sensitivity.CLINICAL}


def catalogue() -> Catalogue:
    """Return what the room of this surgery holds."""
    room = Device(
        name="room", provider="scot.room", epoch=EPOCH,
        channels={"clock": declare.Event("clock", sensitivity=Sensitivity.TECHNICAL)},
    )  # fmt: skip
    case = Catalogue(
        workspace="or1",
        title={"en": "OR 1 · craniotomy (simulated)", "ja": "手術室1 · 開頭術(模擬)"},
        case="demo-7",
        volumes={"mni152": "brain"},
        time_zone="Asia/Tokyo",
    )
    for device in (room, _monitor(), _tracker(), _scope(), _consult()):
        case = case.with_device(device)
    return case


def frames() -> list[Frame]:
    """Return every sample in bus-time order."""
    said = [*_vitals(), *_poses(), *_pictures(), *_words()]
    said.sort(key=lambda one: (one[0], one[1]))
    channels = catalogue()
    seqs: dict[str, int] = {}
    made = []
    for t_s, address, value, flags in said:
        channel = channels.channel(address)
        assert channel is not None
        seq = seqs[address] = seqs.get(address, -1) + 1
        bus_ns = START_NS + round(t_s * S)
        time = Timestamp(bus_ns, bus_ns, 3_400_000, 90_000, ClockState.LOCKED)
        sample = Sample(address, EPOCH, seq, time, flags | Flags.SIMULATED, value)
        made.append(encode(sample, channel.kind))
    return made


def write(path: Path) -> None:
    """Write the surgery as a finished recording."""
    path.mkdir(parents=True)
    ends_ns = START_NS + round(SECONDS * S)
    finished = msgspec.structs.replace(
        manifest(), case="demo-7", finished_ns=ends_ns, finished=iso_utc(ends_ns)
    )
    write_manifest(path, finished)
    begun = msgspec.structs.replace(finished, finished_ns=None, finished=None)
    records = [MAGIC, encode_record(RecordKind.MANIFEST, msgspec.json.encode(begun))]
    records.append(encode_catalogue(START_NS, catalogue()))
    records += [encode_frame(frame) for frame in frames()]
    records.append(encode_record(RecordKind.END, b""))
    journal_path(path, 1).write_bytes(b"".join(records))
    seal(path, 1)


_Said = tuple[float, str, Value, Flags]


def _vitals() -> Iterator[_Said]:
    patient = Patient(7, start_s=_STORY_S - 12.0)
    gauges = Gauges(patient)
    shown_s = 0.0
    while patient.t_s < _STORY_S + SECONDS - _TICKS * TICK_S:
        block = patient.advance(_TICKS)
        gauges.add(block)
        t_s = block.t_s - _STORY_S
        if t_s < 0:
            continue
        for name, wave in block.waves.items():
            yield t_s, f"or1/monitor/{name}", wave.astype(np.float32), Flags(0)
        if t_s >= shown_s:
            shown_s += 1.0
            for name, value in gauges.read().items():
                yield t_s + 0.2, f"or1/monitor/{name}", NumericValue(value), Flags(0)
    for name, value in (("nibp_sys", 117.0), ("nibp_dia", 75.0), ("nibp_mean", 91.0)):
        yield 0.5, f"or1/monitor/{name}", NumericValue(value), Flags(0)


def _poses() -> Iterator[_Said]:
    tools = Tools(7, occlusion=False)
    for step in range(round(SECONDS * 10)):
        t_s = step / 10
        for name, tool in _TOOLS.items():
            found = rigid.pose(tools.pose(tool, _STORY_S + t_s))
            value = PoseValue(found.position_mm, found.orientation, 0.95, err_mm=0.8)
            yield t_s, f"or1/tracker/{name}", value, Flags(0)
    yield 0.1, "or1/tracker/status", "Tracker: tracking 3 of 3 tools", Flags(0)


def _pictures() -> Iterator[_Said]:
    picture, encoder = Picture(7), Encoder(1280, 720, _FPS, 4000)
    first, last = (round(t_s * _FPS) for t_s in _VIDEO_S)
    for step in range(first, last):
        t_s = step / _FPS
        unit = encoder.encode(picture.frame(_STORY_S + t_s), START_NS + round(t_s * S))
        yield t_s, "or1/scope/video", unit.data, Flags.KEYFRAME if unit.keyframe else Flags(0)


def _words() -> Iterator[_Said]:
    """What was wrong, and what people said of it."""
    alarms = [
        (4.0, "hr.high", "Me", "hr", "HR high", "心拍数 高い", 112.0, 110.0),
        (8.0, "art_mean.low", "Hi", "art_mean", "ART mean low", "平均動脈圧 低い", 57.0, 60.0),
    ]
    for t_s, name, priority, channel, en, ja, value, limit in alarms:
        alarm = AlarmValue(
            id=f"alert.{name}", kind="Phy", priority=priority, present=True, channel=channel,
            text={"en": en, "ja": ja}, value=value, limit=limit,
        )  # fmt: skip
        yield t_s, "or1/monitor/alarms", alarm, Flags(0)
    marks = [(3.0, "chapter", "Marker 1"), (9.0, "text", "Is this the feeding vessel?"),
             (13.0, "chapter", "Marker 2")]  # fmt: skip
    for number, (t_s, tool, text) in enumerate(marks):
        at_ns = START_NS + round(t_s * S)
        note = AnnotationValue(id=f"note-{number}", channel="", at_ns=at_ns, author="OR staff",
                               tool=tool, points=[], text=text, ttl_s=8.0)  # fmt: skip
        yield t_s, "or1/consult/notes", note, Flags(0)


def _monitor() -> Device:
    channels: list[Channel] = [
        declare.Waveform(
            name, unit=unit, code=code, rate_hz=RATE_HZ[name], label={"en": en, "ja": ja},
            numeric_of=numbers, scale_min=scale[0], scale_max=scale[1], stale_after_s=2.0,
            **_CLINICAL,
        )
        for name, (unit, code, en, ja, scale, numbers) in _WAVES.items()
    ]  # fmt: skip
    channels += [
        declare.Numeric(
            name, unit=unit, code=code, rate_hz=1.0, label={"en": en, "ja": ja}, lower=lower,
            upper=upper, **_CLINICAL,
        )
        for name, (unit, code, en, ja, lower, upper) in _NUMERICS.items()
    ]  # fmt: skip
    channels += [
        declare.Numeric(
            f"nibp_{part}", unit="mm[Hg]", code=f"MDC_PRESS_BLD_NONINV_{part.upper()}",
            label={"en": f"NIBP {part}", "ja": f"血圧 {word}"}, latched=True,
            stale_after_s=1800.0, **_CLINICAL,
        )
        for part, word in (("sys", "収縮期"), ("dia", "拡張期"), ("mean", "平均"))
    ]  # fmt: skip
    alarms = declare.Alarm("alarms", label={"en": "Alarms", "ja": "アラーム"}, **_CLINICAL)
    return _device("monitor", "sdc", "Patient monitor", "患者モニタ", [*channels, alarms])


def _tracker() -> Device:
    plan = {"axis": "+z", "target_mm": list(TARGET_MM), "entry_mm": list(ENTRY_MM)}
    labels = {"probe": "プローブ", "reference": "リファレンス", "scope": "スコープ"}
    channels: list[Channel] = [
        declare.Pose(
            name, unit="mm", frame="mni152", err_mm=0.8, stale_after_s=1.0,
            label={"en": _TOOLS[name], "ja": ja}, attrs=plan if name == "probe" else {},
            **_CLINICAL,
        )
        for name, ja in labels.items()
    ]  # fmt: skip
    status = declare.Text(
        "status", label={"en": "Tracker status", "ja": "トラッカの状態"}, latched=True
    )
    return _device("tracker", "openigtlink", "Navigation", "ナビゲーション", [*channels, status])


def _scope() -> Device:
    video = declare.Video(
        "video", rate_hz=float(_FPS), width_px=1280, height_px=720, stale_after_s=1.0,
        label={"en": "Endoscope", "ja": "内視鏡"}, **_CLINICAL,
    )  # fmt: skip
    return _device("scope", "video", "Endoscope", "内視鏡", [video])


def _consult() -> Device:
    notes = declare.Annotation(
        "notes", label={"en": "Notes", "ja": "注記"}, latched=True, **_CLINICAL
    )
    return _device("consult", "scot.dashboard", "Consultation", "遠隔支援", [notes])


def _device(name: str, provider: str, en: str, ja: str, channels: list[Channel]) -> Device:
    return Device(
        name=name, provider=provider, label={"en": en, "ja": ja}, epoch=EPOCH,
        channels={c.name: c for c in channels},
    )  # fmt: skip
