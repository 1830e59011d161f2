"""The thinking part of the simulated monitor: numbers from waveforms, alarms from numbers.

No I/O and no clock: the caller says what second of the story it is.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scot_devices.archive import beats
from scot_devices.simulators.monitor_mdib import LIMITS, NUMERICS, Limit
from scot_devices.simulators.physiology import RATE_HZ, Block, Patient

WINDOW_S: Final = {"ecg_ii": 6.0, "art": 5.0, "pleth": 5.0, "resp": 24.0, "co2": 14.0}
"""Seconds of each wave that a number is averaged over."""

CUFF_TAKES_S: Final = 18.0
LATCH_S: Final = 10.0
DELAY_S: Final = 1.5

_DIGITS: Final = {metric.name: metric.digits for metric in NUMERICS}


class Cuff:
    """The cuff of the non-invasive blood pressure: inflates by itself each cycle, or when told to.

    Args:
        every_s: seconds of the story between two measurements by itself.
        takes_s: seconds of one measurement.

    Attributes:
        until_s: second of the story at which the measurement under way ends; None: it hangs loose.
    """

    def __init__(self, every_s: float = 60.0, takes_s: float = CUFF_TAKES_S) -> None:
        self.until_s: float | None = None
        self._every_s = every_s
        self._takes_s = takes_s
        self._cycle: int | None = None

    def start(self, t_s: float) -> bool:
        """Inflate now; False when it is inflated already."""
        if self.until_s is not None:
            return False
        self.until_s = t_s + self._takes_s
        return True

    def stop(self) -> bool:
        """Let the air out; False when there is none in it."""
        was, self.until_s = self.until_s, None
        return was is not None

    def due(self, t_s: float) -> bool:
        """Whether a measurement has just ended at second `t_s`; true until `stop`."""
        cycle = int(t_s // self._every_s)
        if self._cycle is None:
            self._cycle, self.until_s = cycle, t_s  # the last one before we look
        elif cycle != self._cycle:
            self._cycle = cycle
            self.start(t_s)  # when it is inflated already, that one counts
        return self.until_s is not None and t_s >= self.until_s


class Gauges:
    """Turns waveform blocks into the numbers on the monitor's face.

    Args:
        patient: for what no single wave shows: saturation and temperature.
        cuff: of the blood pressure that is taken now and then.
    """

    def __init__(self, patient: Patient, cuff: Cuff | None = None) -> None:
        self._patient = patient
        self.cuff = cuff or Cuff()
        self._blocks: dict[str, deque[NDArray[np.float64]]] = {n: deque() for n in WINDOW_S}
        self._held = dict.fromkeys(WINDOW_S, 0)

    def add(self, block: Block) -> None:
        """Take in the next block; what is older than its wave's window is forgotten."""
        for name, blocks in self._blocks.items():
            wave = block.waves[name]
            blocks.append(wave)
            self._held[name] += wave.size
            need = WINDOW_S[name] * RATE_HZ[name]
            while self._held[name] - blocks[0].size >= need:
                self._held[name] -= blocks.popleft().size

    def read(self) -> dict[str, float | None]:
        """Return every continuous number by name, rounded as shown; None when not measurable."""
        wave = {
            name: np.concatenate(blocks) if blocks else np.zeros(0)
            for name, blocks in self._blocks.items()
        }
        art = beats.pressure(wave["art"], RATE_HZ["art"])
        pleth = beats.pressure(wave["pleth"], RATE_HZ["pleth"])
        found: dict[str, float | None] = {
            "hr": beats.heart_rate(wave["ecg_ii"], RATE_HZ["ecg_ii"]),
            "rr": beats.breath_rate(wave["resp"], RATE_HZ["resp"]),
            "art_sys": None if art is None else art.sys,
            "art_dia": None if art is None else art.dia,
            "art_mean": None if art is None else art.mean,
            "spo2": self._patient.spo2_percent,
            "pr": None if pleth is None else pleth.rate_min,
            "etco2": beats.end_tidal(wave["co2"], RATE_HZ["co2"]),
            "temp_core": self._patient.temp_cel,
        }
        return {n: None if v is None else round(v, _DIGITS[n]) for n, v in found.items()}

    def cuffed(self, t_s: float, numbers: dict[str, float | None]) -> dict[str, float] | None:
        """Return a new cuff measurement when one has just ended at second `t_s`, else None.

        The cuff hears a little less than the artery shows: 3 mmHg below in systole, 1 above in
        diastole (Wax 2011).
        """
        sys, dia, mean = (numbers[name] for name in ("art_sys", "art_dia", "art_mean"))
        if not self.cuff.due(t_s) or sys is None or dia is None or mean is None:
            return None
        self.cuff.stop()
        return {"nibp_sys": sys - 3.0, "nibp_dia": dia + 1.0, "nibp_mean": mean - 1.0}


class Watch:
    """One limit: present after `DELAY_S` beyond it, and its signal latched when so described.

    Attributes:
        present: the condition holds.
        signal: ``On``, ``Latch`` or ``Off`` (ISO/IEEE 11073-10207, AlertSignalPresence).
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.present = False
        self.signal = "Off"
        self._other_since_s: float | None = None
        self._latched_s = 0.0

    def update(self, t_s: float, value: float | None) -> bool:
        """Judge a new reading; True when `present` or `signal` changed.

        A missing reading changes nothing: that is for a technical alarm to tell.
        """
        before = (self.present, self.signal)
        if value is not None:
            beyond = value > self.limit.at if self.limit.upper else value < self.limit.at
            if beyond == self.present:
                self._other_since_s = None
            elif self._other_since_s is None:
                self._other_since_s = t_s
            if self._other_since_s is not None and t_s - self._other_since_s >= DELAY_S:
                self.present, self._other_since_s = beyond, None
                self._latched_s = t_s
        if self.present:
            self.signal = "On"
        elif self.limit.latching and self.signal != "Off" and t_s - self._latched_s < LATCH_S:
            self.signal = "Latch"
        else:
            self.signal = "Off"
        return (self.present, self.signal) != before


def watches() -> list[Watch]:
    """One watch for each limit of the monitor."""
    return [Watch(limit) for limit in LIMITS]
