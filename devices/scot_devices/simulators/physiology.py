"""A patient who beats, breathes and bleeds: seeded waveforms, without I/O and without a clock.

Everything follows one hidden state, the share of blood volume lost, which lags `bleeding(t)` as a
body does: heart and pressure answer within seconds, oxygen saturation late. The numbers a nurse
reads are not part of it: a monitor measures them on these waveforms (`archive.beats`).

=========== ======= ======= ==================================================================
wave        Hz      unit    shape
=========== ======= ======= ==================================================================
ecg_ii, _v5 250     mV      P, Q, R, S, T as Gaussians about each beat; ST of V5 sinks in shock
art         125     mm[Hg]  two-element Windkessel, aortic notch, reflection, catheter resonance
pleth       125     %       systolic and reflected wave, delayed by the pulse's transit
co2         62.5    mm[Hg]  sidestream capnogram: dead space, upstroke, sloping plateau, washout
resp        62.5    Ohm     thoracic impedance of a ventilated chest
=========== ======= ======= ==================================================================

Sources of shape and size: McSharry et al. 2003 (ECG as a sum of Gaussians), Frank's Windkessel,
Gardner 1981 (catheter resonance), Michard 2005 (pulse pressure variation in hypovolaemia).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scot_devices.simulators.surgery import Surgery

Wave = NDArray[np.float64]

TICK_S: Final = 0.016
"""Everything advances by whole ticks; each wave has a whole number of samples in one."""

SAMPLES_A_TICK: Final = {"ecg_ii": 4, "ecg_v5": 4, "art": 2, "pleth": 2, "co2": 1, "resp": 1}
RATE_HZ: Final = {name: n / TICK_S for name, n in SAMPLES_A_TICK.items()}

BREATH_S: Final = 60.0 / 14.0
"""The ventilator's period; a third of it is inspiration."""

_INSPIRATION: Final = 1.0 / 3.0
_SAMPLING_DELAY_S: Final = 1.6
"""Time the gas takes through a sidestream line."""

_AHEAD_S: Final = 1.1
"""Beats are known this long before they happen: the P wave comes before the R, and the pressure
falls towards the foot of the beat to come."""

_MEMORY_S: Final = 7.0
"""Beats older than this no longer show in the arterial pressure."""

_ONSET_S: Final = 0.17
"""R wave to the foot of the radial pulse: pre-ejection period and transit."""

_PLETH_ONSET_S: Final = 0.25
"""R wave to the foot of the finger's pulse."""

# Of each lead: (mV, seconds from R, width before, width after); T and ST stretch with the beat.
_PQRS: Final = {
    "ecg_ii": ((0.13, -0.165, 0.021, 0.024), (-0.09, -0.027, 0.008, 0.008),
               (1.15, 0.0, 0.0105, 0.0105), (-0.22, 0.027, 0.009, 0.011)),
    "ecg_v5": ((0.09, -0.165, 0.021, 0.024), (-0.12, -0.026, 0.008, 0.008),
               (1.45, 0.0, 0.0105, 0.0105), (-0.34, 0.027, 0.010, 0.013)),
}  # fmt: skip
_T: Final = {"ecg_ii": (0.29, 0.290, 0.062, 0.040), "ecg_v5": (0.36, 0.290, 0.060, 0.040)}
_ST: Final = {"ecg_ii": -0.04, "ecg_v5": -0.16}
"""mV of ST depression when a third of the blood is lost."""


@dataclass(frozen=True)
class Beat:
    """One heartbeat: the time of its R wave, the interval since the last, and its pulse."""

    r_s: float
    rr_s: float
    gain: float
    floor_mmhg: float
    pleth: float
    loss: float


@dataclass(frozen=True)
class Block:
    """Waveforms of some ticks, from `t_s` on: the time of every wave's first sample."""

    t_s: float
    waves: dict[str, Wave]


def _gamma(u_s: Wave, peak_s: float, order: float) -> Wave:
    """A smooth pulse that starts at 0, reaches 1 at `peak_s` and dies away; (n,) to (n,)."""
    x = np.maximum(u_s, 0.0) / peak_s
    return x**order * np.exp(order * (1.0 - x))


@lru_cache(maxsize=32)
def _pressure_pulse(ejection_ms: int) -> Wave:
    """Radial pressure after one ejection, at 1 kHz, from its foot; the largest value is near 1.

    Args:
        ejection_ms: how long the aortic valve is open.
    """
    u_s = np.arange(0.0, _MEMORY_S, 0.001)
    ejection_s = ejection_ms / 1000.0
    share = np.clip(u_s / ejection_s, 0.0, 1.0)
    flow = np.sin(np.pi * share**0.58) ** 1.35
    closing = np.exp(-0.5 * ((u_s - ejection_s - 0.014) / 0.016) ** 2)
    flow -= 0.19 * closing
    stored = np.convolve(flow, np.exp(-u_s / 0.75))[: u_s.size] / 100.0
    forward = 0.72 * flow + 0.28 * stored
    smooth = np.ones(60) / 60.0
    back = np.convolve(np.concatenate([np.zeros(170), forward[:-170]]), smooth)[: u_s.size]
    pressure = forward + 0.26 * back
    ring = 2.0 * math.pi * 12.0
    damped = ring * math.sqrt(1.0 - 0.55**2)
    line_s = u_s[:300]
    line = ring**2 / damped * np.exp(-0.55 * ring * line_s) * np.sin(damped * line_s) / 1000.0
    pressure = np.convolve(pressure, line)[: u_s.size]
    pulse: Wave = pressure / pressure.max()
    return pulse


@lru_cache(maxsize=256)
def _steady(ejection_ms: int, rr_ms: int) -> tuple[float, float]:
    """Foot and peak of an endless train of such pulses, one every `rr_ms`."""
    pulse = _pressure_pulse(ejection_ms)
    whole = pulse.size // rr_ms * rr_ms
    train = pulse[:whole].reshape(-1, rr_ms).sum(axis=0)
    return float(train.min()), float(train.max())


def _ejection_ms(rr_s: float) -> int:
    """Left ventricular ejection time, which shortens with the beat, to 10 ms."""
    return round(30.0 * math.pow(rr_s, 0.4)) * 10


class Patient:
    """One anaesthetised, ventilated adult; two with the same arguments are the same patient.

    Args:
        seed: of everything that varies by chance.
        bleeding: share 0..1 of the worst bleeding at a second of the story.
        start_s: second of the story at which the first block begins.
    """

    def __init__(
        self,
        seed: int = 7,
        bleeding: Callable[[float], float] | None = None,
        start_s: float = 0.0,
    ) -> None:
        self._bleeding = Surgery(seed).bleeding if bleeding is None else bleeding
        streams = np.random.SeedSequence(seed).spawn(len(SAMPLES_A_TICK) + 1)
        self._beat_rng = np.random.default_rng(streams[0])
        self._noise = {
            name: np.random.default_rng(stream)
            for name, stream in zip(SAMPLES_A_TICK, streams[1:], strict=True)
        }
        self._phases = self._beat_rng.uniform(0.0, 2.0 * math.pi, 4)
        self._start_s = start_s
        self._ticks = -round(30.0 / TICK_S)
        self._fast = self._slow = 0.0
        self._beats: deque[Beat] = deque()
        self._next_r_s = self.t_s
        while self._ticks < 0:
            self._advance_state()

    @property
    def t_s(self) -> float:
        """Second of the story at which the next block begins."""
        return self._start_s + self._ticks * TICK_S

    @property
    def loss(self) -> float:
        """Share 0..1 of the worst volume loss that circulation feels now."""
        return self._fast

    @property
    def spo2_percent(self) -> float:
        """Arterial oxygen saturation: falls late and recovers slowly."""
        return 98.4 - 10.8 * math.pow(min(1.05, self._slow / 0.80), 1.3)

    @property
    def temp_cel(self) -> float:
        """Core temperature: drifts by tenths over half an hour, and sinks with the blood."""
        return 36.4 + 0.12 * math.sin(2.0 * math.pi * self.t_s / 1900.0) - 0.15 * self._slow

    def beats(self, from_s: float, to_s: float) -> list[float]:
        """Return the R waves from `from_s` up to `to_s`, at most a second ahead, s of the story."""
        return [beat.r_s for beat in self._beats if from_s <= beat.r_s < to_s]

    def advance(self, ticks: int) -> Block:
        """Return the next `ticks` ticks of all waves; how they are cut never changes a sample.

        Args:
            ticks: number of 16 ms steps, at least 1.

        Returns:
            A block whose wave `name` has ``ticks * SAMPLES_A_TICK[name]`` samples.
        """
        first, begin_s = self._ticks, self.t_s
        while self._beats[0].r_s < begin_s - _MEMORY_S - 1.0:
            self._beats.popleft()
        lost = np.empty(ticks)
        for k in range(ticks):
            self._advance_state()
            lost[k] = self._fast
        times: dict[int, Wave] = {  # of whole ticks: a breath begins at the same sample however cut
            n: self._start_s
            + np.arange(first * n, (first + ticks) * n, dtype=np.float64) * (TICK_S / n)
            for n in set(SAMPLES_A_TICK.values())
        }
        waves = {
            "ecg_ii": self._ecg("ecg_ii", times[4]),
            "ecg_v5": self._ecg("ecg_v5", times[4]),
            "art": self._art(times[2]),
            "pleth": self._pleth(times[2]),
            "co2": self._co2(times[1], lost),
            "resp": self._resp(times[1]),
        }
        return Block(begin_s, waves)

    def _advance_state(self) -> None:
        """One tick: the body's answer to the bleeding, and the beats that are due."""
        t_s = self.t_s
        bleeding = self._bleeding(t_s)
        self._fast += TICK_S * (bleeding - self._fast) / (4.0 if bleeding > self._fast else 9.0)
        self._slow += TICK_S * (bleeding - self._slow) / (13.0 if bleeding > self._slow else 12.0)
        while self._next_r_s < t_s + _AHEAD_S:
            self._add_beat(self._next_r_s)
        self._ticks += 1

    def _add_beat(self, r_s: float) -> None:
        """Put one beat at `r_s` and decide when the next one comes."""
        loss = self._fast
        breath = math.sin(2.0 * math.pi * r_s / BREATH_S + self._phases[0])
        mayer = math.sin(2.0 * math.pi * 0.095 * r_s + self._phases[1])
        vagal = 1.0 - 0.75 * loss
        chance = float(self._beat_rng.standard_normal())
        rr_s = 60.0 / (72.0 + 54.0 * loss)
        rr_s *= 1.0 + vagal * (0.022 * breath + 0.014 * mayer + 0.006 * chance)
        filling = 1.0 + (0.022 + 0.085 * loss) * math.sin(
            2.0 * math.pi * r_s / BREATH_S + self._phases[2]
        )
        sys_mmhg = 121.0 - 51.0 * loss + 1.2 * mayer
        dia_mmhg = 74.0 - 32.0 * loss + 0.8 * mayer
        low, high = _steady(_ejection_ms(rr_s), round(rr_s * 1000.0))
        gain = (sys_mmhg - dia_mmhg) / (high - low)
        floor = dia_mmhg - gain * low
        pleth = (1.0 - 0.66 * loss) * filling
        self._beats.append(Beat(r_s, rr_s, gain * filling, floor, pleth, loss))
        self._next_r_s = r_s + rr_s

    def _ecg(self, lead: str, t_s: Wave) -> Wave:
        """(n,) mV of one lead at the seconds `t_s`."""
        out = 0.006 * self._noise[lead].standard_normal(t_s.size)
        out += 0.035 * np.sin(2.0 * math.pi * t_s / BREATH_S + self._phases[3])
        out += 0.025 * np.sin(2.0 * math.pi * 0.043 * t_s + self._phases[1])
        for beat in self._beats:
            if beat.r_s < t_s[0] - 0.9:
                continue
            stretch = math.sqrt(beat.rr_s)
            mv, at_s, before_s, after_s = _T[lead]
            swing = 1.0 + 0.03 * math.sin(2.0 * math.pi * beat.r_s / BREATH_S)
            bumps = [(swing * a, c, w, v) for a, c, w, v in _PQRS[lead]]
            bumps.append((mv, at_s * stretch, before_s * stretch, after_s * stretch))
            bumps.append((_ST[lead] * beat.loss, 0.15 * stretch, 0.05 * stretch, 0.06 * stretch))
            u_s = t_s - beat.r_s
            for amplitude, centre_s, rise_s, fall_s in bumps:
                d_s = u_s - centre_s
                out += amplitude * np.exp(-0.5 * (d_s / np.where(d_s < 0.0, rise_s, fall_s)) ** 2)
        return out

    def _art(self, t_s: Wave) -> Wave:
        """(n,) mmHg at the radial artery."""
        onsets = [beat.r_s + _ONSET_S for beat in self._beats]
        out = np.interp(t_s, onsets, [beat.floor_mmhg for beat in self._beats])
        for beat, onset_s in zip(self._beats, onsets, strict=True):
            if onset_s > t_s[-1]:
                break
            pulse = _pressure_pulse(_ejection_ms(beat.rr_s))
            u_ms = (t_s - onset_s) * 1000.0
            out += beat.gain * np.interp(u_ms, np.arange(pulse.size), pulse, left=0.0, right=0.0)
        return out + 0.15 * self._noise["art"].standard_normal(t_s.size)

    def _pleth(self, t_s: Wave) -> Wave:
        """(n,) % of full scale of the finger's absorption."""
        swing = np.sin(2.0 * math.pi * t_s / BREATH_S + self._phases[2] + 0.6)
        out = 12.0 + 1.6 * swing
        for beat in self._beats:
            onset_s = beat.r_s + _PLETH_ONSET_S
            if onset_s > t_s[-1] or onset_s < t_s[0] - 2.5:
                continue
            u_s = t_s - onset_s
            shape = _gamma(u_s, 0.15, 2.3) + 0.34 * _gamma(u_s - 0.25, 0.15, 2.6)
            out += 58.0 * beat.pleth * shape
        out += 0.12 * self._noise["pleth"].standard_normal(t_s.size)
        return np.asarray(out, dtype=np.float64)

    def _co2(self, t_s: Wave, loss: Wave) -> Wave:
        """(n,) mmHg in the sidestream analyser: nothing in inspiration, a sloping plateau after."""
        u_s = np.mod(t_s - _SAMPLING_DELAY_S, BREATH_S)
        begin_s = BREATH_S * _INSPIRATION + 0.28
        rise = 1.0 / (1.0 + np.exp(-(u_s - begin_s - 0.18) / 0.032))
        plateau = 0.90 + 0.10 * np.clip((u_s - begin_s) / (BREATH_S - begin_s), 0.0, 1.0)
        washout = 1.0 / (1.0 + np.exp((u_s - 0.13) / 0.032))
        end_tidal = 36.0 - 10.0 * loss
        out = end_tidal * np.maximum(rise * plateau, washout)
        return np.maximum(out + 0.05 * self._noise["co2"].standard_normal(t_s.size), 0.0)

    def _resp(self, t_s: Wave) -> Wave:
        """(n,) Ohm of chest impedance, up when the lungs fill; the heart shows as a ripple."""
        u_s = np.mod(t_s, BREATH_S)
        filling_s = BREATH_S * _INSPIRATION
        fill = 0.5 - 0.5 * np.cos(math.pi * np.clip(u_s / filling_s, 0.0, 1.0))
        empty = np.exp(-(np.maximum(u_s - filling_s, 0.0) ** 1.25) / 0.62)
        out = 0.9 * fill * empty
        for beat in self._beats:
            if t_s[0] - 2.0 < beat.r_s < t_s[-1]:
                out += 0.018 * _gamma(t_s - beat.r_s - 0.08, 0.12, 2.0)
        return out + 0.004 * self._noise["resp"].standard_normal(t_s.size)
