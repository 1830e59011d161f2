"""Pacing marks: a device's annotations of its ECG samples, as events of the channel ``pacing``.

A pacer's spike lasts half a millisecond: at the rate of a monitor's ECG it is not in the samples,
so a device that detects it says so beside them. Sans-IO.

Source: ISO/IEEE 11073-10207 (ApplyAnnotation of a SampleArrayValue); the codes are those of
IEEE 11073-10102 as in DICOM PS3.16, CID 3335.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from scot.channel import Channel, Event, Sensitivity
from scot_devices.sdc.elements import Coded, MetricState
from scot_devices.sdc.nomenclature import is_mdc

NAME: Final = "pacing"
ATRIUM: Final = 659_712
VENTRICLE: Final = 660_480
_FIRST, _BEYOND, _STEP = 659_456, 662_528, 256  # antibradycardia and antitachycardia spikes
_CHAMBERS: Final = {
    659_712: "atrium", 659_968: "atrium", 660_224: "atrium", 661_760: "atrium",
    660_480: "ventricle", 660_736: "ventricle", 660_992: "ventricle", 662_016: "ventricle",
}  # fmt: skip


def channel() -> Channel:
    """Return the channel of a device that has an ECG; its events are drawn on the traces."""
    return Event(
        NAME,
        label={"en": "Pacing", "ja": "ペーシング"},
        sensitivity=Sensitivity.CLINICAL,
        attrs={"marks": True},
    )


def spikes(state: MetricState, name: str, period_s: float | None) -> Iterator[tuple[int, Any]]:
    """Yield device time, ns, and value of each pacing mark of a block.

    Args:
        state: of a waveform.
        name: of its channel.
        period_s: between two samples.
    """
    if state.time_ns is None or not period_s:
        return
    for mark in state.marks:
        code = _code(mark.type)
        if code is None or not _FIRST <= code < _BEYOND or code % _STEP:
            continue
        value = {"channel": name, "chamber": _CHAMBERS.get(code, ""), "mdc": code}
        yield state.time_ns + round(mark.index * period_s * 1e9), value


def _code(coded: Coded) -> int | None:
    if is_mdc(coded.system) and coded.code.isdecimal() and len(coded.code) < 10:
        return int(coded.code)
    return None
