"""An archive as a device: plays a WFDB record in real time, as the monitor it once came from.

Waveforms come as recorded; the numbers beside them (heart rate, pressures, breaths) are measured on
them, for most archives hold none. Time is the record's own: its begin plus the sample counter.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scot.channel import Channel, Numeric, Waveform
from scot.clock import machine
from scot.provider import DeviceContext, Lifecycle, Provider, ProviderInfo
from scot.sample import Flags, NumericValue, Sample, Validity
from scot_devices.archive import beats
from scot_devices.archive.record import Record, Signal, open_record

Wave = NDArray[np.float64]

BLOCK_S: Final = 0.05
PIECE_S: Final = 10.0
"""Seconds read from disk at once."""

_NS: Final = 1_000_000_000

_UCUM: Final = {
    "mv": "mV", "uv": "uV", "v": "V", "mmhg": "mm[Hg]", "kpa": "kPa", "cmh2o": "cm[H2O]",
    "%": "%", "percent": "%", "bpm": "/min", "degc": "Cel", "ohm": "Ohm", "ohms": "Ohm",
    "nu": "1", "l/min": "L/min", "ml": "mL",
}  # fmt: skip


class Family(msgspec.Struct, frozen=True):
    """What a signal's name says it is, and what can be measured on it."""

    pattern: str
    name: str
    code: str
    ja: str
    window_s: float
    numerics: tuple[str, ...]


_FAMILIES: Final = (
    Family(r"ECG|MCL\d?|MLI{1,3}|MLV?\d|I{1,3}|AV[RLF]|V\d?", "ecg", "", "心電図", 8.0, ("hr",)),
    Family(
        r"ABP|ART|AP|P1", "art", "MDC_PRESS_BLD_ART", "動脈圧", 6.0,
        ("art_sys", "art_dia", "art_mean"),
    ),
    Family(r"PLETH|PPG|SPO2_?WAVE", "pleth", "MDC_PULS_OXIM_PLETH", "脈波", 6.0, ("pr",)),
    Family(r"CO2|CAPNO.*", "co2", "MDC_CONC_AWAY_CO2", "CO₂", 20.0, ("etco2",)),
    Family(r"RESP.*|IMP", "resp", "MDC_IMPED_TTHOR", "呼吸", 24.0, ("rr",)),
    Family(r"CVP", "cvp", "MDC_PRESS_BLD_VEN_CENT", "中心静脈圧", 0.0, ()),
    Family(r"PAP", "pap", "MDC_PRESS_BLD_ART_PULM", "肺動脈圧", 0.0, ()),
)  # fmt: skip

_NUMBERS: Final = {
    "hr": ("/min", "MDC_ECG_HEART_RATE", "HR", "心拍数", 0),
    "art_sys": ("mm[Hg]", "MDC_PRESS_BLD_ART_SYS", "ART sys", "動脈圧 収縮期", 0),
    "art_dia": ("mm[Hg]", "MDC_PRESS_BLD_ART_DIA", "ART dia", "動脈圧 拡張期", 0),
    "art_mean": ("mm[Hg]", "MDC_PRESS_BLD_ART_MEAN", "ART mean", "動脈圧 平均", 0),
    "pr": ("/min", "MDC_PULS_OXIM_PULS_RATE", "PR", "脈拍数", 0),
    "etco2": ("mm[Hg]", "MDC_CONC_AWAY_CO2_ET", "etCO₂", "呼気終末CO₂", 0),
    "rr": ("/min", "MDC_RESP_RATE", "RR", "呼吸数", 0),
}


class WfdbOptions(BaseModel):
    """``[device.options]`` of provider ``wfdb``: what to play."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: Annotated[Path, Field(description="path of the .hea file", examples=["100.hea"])]
    loop: Annotated[bool, Field(description="begin again at the end")] = True
    start_s: Annotated[float, Field(ge=0, description="second of the record to begin at")] = 0.0


class Track:
    """One signal of the record with its channel and the numbers measured on it.

    Attributes:
        channel: the waveform's.
        numerics: channels of the numbers, in reading order.
    """

    def __init__(self, signal: Signal, frame_hz: float, family: Family | None, name: str) -> None:
        self.signal = signal
        self.family = family
        self.rate_hz = frame_hz * signal.per_frame
        self.numerics: list[Channel] = []
        unit = _UCUM.get(signal.unit.lower(), "")
        if family is not None:
            for number in family.numerics:
                ucum, code, en, ja, _ = _NUMBERS[number]
                label = {"en": en, "ja": ja}
                ucum = unit if ucum == "mm[Hg]" else ucum
                self.numerics.append(
                    Numeric(number, unit=ucum, code=code, rate_hz=1.0, label=label)
                )
        self.channel = Waveform(
            name,
            unit=unit,
            code="" if family is None else family.code,
            rate_hz=self.rate_hz,
            label={"en": signal.name, "ja": signal.name if family is None else family.ja},
            numeric_of=[numeric.name for numeric in self.numerics],
            stale_after_s=2.0,
            attrs={"signal": signal.name, "unit": signal.unit},
        )
        window_s = 0.0 if family is None else family.window_s
        self._window: Wave = np.full(round(window_s * self.rate_hz), np.nan)
        self._held = 0

    def add(self, block: Wave) -> None:
        """Keep a block for measuring; the oldest samples make room."""
        n = min(block.size, self._window.size)
        if n:
            self._window[:-n] = self._window[n:]
            self._window[-n:] = block[-n:]
            self._held = min(self._held + n, self._window.size)

    def measure(self) -> list[float | None]:
        """Return the numbers of `numerics` now; None where the window does not show them."""
        if not self.numerics or self.family is None:
            return []
        wave = self._window[self._window.size - self._held :]
        found: list[float | None]
        match self.family.name:
            case "ecg":
                found = [beats.heart_rate(wave, self.rate_hz)]
            case "art":
                art = beats.pressure(wave, self.rate_hz)
                found = [None] * 3 if art is None else [art.sys, art.dia, art.mean]
            case "pleth":
                pulse = beats.pressure(wave, self.rate_hz)
                found = [None if pulse is None else pulse.rate_min]
            case "co2":
                found = [beats.end_tidal(wave, self.rate_hz)]
            case _:
                found = [beats.breath_rate(wave, self.rate_hz)]
        return [None if x is None else float(round(x)) for x in found]


def tracks(record: Record) -> list[Track]:
    """Return a track for each signal; of several of one family only the first is measured."""
    made: list[Track] = []
    taken: set[str] = set()
    for signal in record.signals:
        family = _family(signal.name)
        name = _channel_name(signal.name, family)
        if family is not None and family.name in taken:
            family = msgspec.structs.replace(family, numerics=())
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.update({unique} | ({family.name} if family is not None else set()))
        made.append(Track(signal, record.frame_hz, family, unique))
    return made


def _family(signal: str) -> Family | None:
    plain = signal.strip().upper()
    return next((f for f in _FAMILIES if re.fullmatch(f.pattern, plain)), None)


def _channel_name(signal: str, family: Family | None) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", signal.lower()).strip("_")[:40]
    if family is None:
        return f"signal_{plain}".rstrip("_")
    return f"ecg_{plain}" if family.name == "ecg" and plain != "ecg" else family.name


class WfdbProvider(Provider[WfdbOptions]):
    """Plays one record; the device is silent when it has ended and does not loop."""

    info = ProviderInfo(
        id="scot.wfdb",
        label={"en": "Archived record (WFDB)", "ja": "記録済みデータ (WFDB)"},
        source="WFDB header(5), signal(5)",
    )
    Options = WfdbOptions

    async def run(self, device: DeviceContext[WfdbOptions]) -> AsyncIterator[Sample]:
        """Open the record, then yield its blocks when they are due and its numbers each second.

        Raises:
            DeviceError: a file is missing, cut short or not WFDB.
        """
        record = await asyncio.to_thread(open_record, device.options.record)
        made = tracks(record)
        for track in made:
            device.offer(track.channel, *track.numerics)
        step = max(1, round(BLOCK_S * record.frame_hz))
        counter = begin = min(round(device.options.start_s * record.frame_hz), record.frames - 1)
        device.new_epoch("the record is played anew")
        zero_ns = machine.monotonic_ns() - round(begin * _NS / record.frame_hz)
        async for frames in self._blocks(record, begin, step, device.options.loop):
            at_ns = record.begin_ns + round(counter * _NS / record.frame_hz)
            before_s, first = int(counter / record.frame_hz), counter
            counter += len(frames[0]) // made[0].signal.per_frame
            await machine.until(zero_ns + round(counter * _NS / record.frame_hz))
            arrived_ns = device.arrived()
            for track, block in zip(made, frames, strict=True):
                track.add(block)
                yield _waveform(device, track, block, first, at_ns, arrived_ns)
            if int(counter / record.frame_hz) != before_s:
                end_ns = record.begin_ns + round(counter * _NS / record.frame_hz)
                for sample in _numbers(device, made, end_ns, arrived_ns):
                    yield sample
        device.move(Lifecycle.DISCONNECTED, f"the record {device.options.record.name} has ended")
        await asyncio.Event().wait()

    async def _blocks(
        self, record: Record, begin: int, step: int, loop: bool
    ) -> AsyncIterator[list[Wave]]:
        """Yield blocks of `step` frames of every signal, reading ahead by one piece."""
        piece = step * max(1, round(PIECE_S / BLOCK_S))
        while True:
            end = min(begin + piece, record.frames)
            waves = await asyncio.to_thread(record.read, begin, end)
            for at in range(0, end - begin, step):
                yield [
                    wave[at * signal.per_frame : (at + step) * signal.per_frame]
                    for wave, signal in zip(waves, record.signals, strict=True)
                ]
            if end < record.frames:
                begin = end
            elif loop:
                begin = 0
            else:
                return


def _waveform(
    device: DeviceContext[Any], track: Track, block: Wave, first: int, at_ns: int, arrived_ns: int
) -> Sample:
    """A block from frame `first` on; holes in the record are NaN, and the block then doubtful."""
    return device.sample(
        track.channel,
        block.astype(np.float32),
        source_ns=at_ns,
        arrived_ns=arrived_ns,
        counter=first * track.signal.per_frame,
        flags=Flags(0) if np.isfinite(block).all() else Flags.DOUBTFUL,
    )


def _numbers(
    device: DeviceContext[Any], made: list[Track], at_ns: int, arrived_ns: int
) -> list[Sample]:
    """The numbers of all tracks, measured up to `at_ns`."""
    samples = []
    for track in made:
        for channel, number in zip(track.numerics, track.measure(), strict=True):
            validity = Validity.NOT_AVAILABLE if number is None else Validity.VALID
            flags = Flags.INVALID if number is None else Flags(0)
            value = NumericValue(number, validity)
            samples.append(
                device.sample(channel, value, source_ns=at_ns, arrived_ns=arrived_ns, flags=flags)
            )
    return samples
