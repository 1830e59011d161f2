"""The simulated monitor's thinking, and the inbox between the library's threads and the loop."""

from __future__ import annotations

import asyncio
from xml.etree.ElementTree import Element

import pytest

from scot.errors import DeviceError
from scot_devices.sdc.link import Inbox, Report
from scot_devices.simulators.monitor_logic import DELAY_S, LATCH_S, Cuff, Gauges, Watch
from scot_devices.simulators.monitor_mdib import LIMITS, Limit
from scot_devices.simulators.physiology import Patient

LOW = Limit("spo2", False, 90, "Me", "SpO2 low", "", latching=True)
HIGH = Limit("hr", True, 110, "Me", "HR high", "")


def gauges(start_s: float) -> Gauges:
    patient = Patient(7, start_s=start_s - 24.0)
    gauges = Gauges(patient)
    while patient.t_s < start_s:
        gauges.add(patient.advance(4))
    return gauges


def test_the_face_of_the_monitor_when_calm_and_in_shock() -> None:
    calm, shock = gauges(30.0).read(), gauges(82.0).read()
    assert [calm[n] for n in ("hr", "pr", "rr", "etco2")] == pytest.approx([72, 72, 14, 36], abs=3)
    assert [calm[n] for n in ("art_sys", "art_dia")] == pytest.approx([121, 74], abs=3)
    assert calm["spo2"] == 98
    assert [shock[n] for n in ("art_sys", "art_dia")] == pytest.approx([70, 42], abs=4)
    assert shock["hr"] == pytest.approx(125, abs=4)
    assert all(value == round(value) for n, value in calm.items() if value and n != "temp_core")


def test_no_wave_gives_no_number() -> None:
    numbers = Gauges(Patient(7)).read()
    assert numbers["hr"] is numbers["art_sys"] is numbers["etco2"] is None


def test_the_cuff_measures_once_a_cycle() -> None:
    gauge = gauges(30.0)
    numbers = gauge.read()
    found = [gauge.cuffed(float(t), numbers) for t in range(30, 150)]
    assert [30 + k for k, value in enumerate(found) if value] == [30, 78, 138]
    first = found[0]
    assert first is not None
    assert first["nibp_sys"] == pytest.approx(118, abs=4)
    assert gauge.cuffed(400.0, dict.fromkeys(numbers)) is None


def test_the_cuff_measures_when_told_to_and_not_twice_at_once() -> None:
    cuff = Cuff(every_s=60.0, takes_s=18.0)
    assert cuff.due(10.0), "the last one before we look"
    cuff.stop()
    assert cuff.start(20.0)
    assert not cuff.start(25.0), "it is inflated"
    assert not cuff.due(37.9)
    assert cuff.due(38.0)
    cuff.stop()
    assert cuff.start(50.0)
    assert not cuff.due(61.0), "its own turn has come meanwhile; that one counts"
    assert cuff.due(68.0)
    assert cuff.stop()
    assert not cuff.stop(), "there is no air in it"
    assert not cuff.due(119.0)


def test_an_alarm_waits_holds_and_latches() -> None:
    watch = Watch(LOW)
    seen = []
    for t, value in enumerate([95, 89, 89, 89, 95, 95, 95, 95]):
        watch.update(float(t), value)
        seen.append((watch.present, watch.signal))
    off, on, latch = (False, "Off"), (True, "On"), (False, "Latch")
    assert seen == [off, off, off, on, on, on, latch, latch]
    watch.update(6.0 + LATCH_S, 95)
    assert watch.signal == "Off"


def test_a_short_excursion_raises_no_alarm() -> None:
    watch = Watch(HIGH)
    for t in range(20):
        assert not watch.update(t * DELAY_S / 2, 120.0 if t % 3 else 100.0)


def test_a_missing_reading_neither_raises_nor_clears() -> None:
    watch = Watch(HIGH)
    assert not watch.update(0.0, None)
    watch.update(1.0, 130.0)
    assert watch.update(3.0, 130.0)
    assert not watch.update(60.0, None)
    assert watch.present


def test_a_limit_that_does_not_latch_goes_off_at_once() -> None:
    watch = Watch(HIGH)
    watch.update(0.0, 130.0)
    watch.update(2.0, 130.0)
    watch.update(3.0, 90.0)
    watch.update(5.0, 90.0)
    assert (watch.present, watch.signal) == (False, "Off")


def test_every_limit_lies_within_what_its_metric_can_show() -> None:
    assert len({limit.handle for limit in LIMITS}) == len(LIMITS)
    by_source: dict[str, list[float]] = {}
    for limit in sorted(LIMITS, key=lambda one: one.upper):
        by_source.setdefault(limit.source, []).append(limit.at)
    assert all(pair == sorted(pair) for pair in by_source.values())


def arrival(name: str, at: int) -> Report:
    return Report(at, name, Element("r"))


async def test_a_full_inbox_drops_the_oldest_waveform_and_keeps_alarms() -> None:
    inbox = Inbox(asyncio.get_running_loop(), limit=4)
    inbox.put(arrival("EpisodicAlertReport", 0))
    for at in range(1, 7):
        inbox.put(arrival("WaveformStream", at))
    got = [await inbox.get(0.1) for _ in range(4)]
    assert [report.arrived_ns for report in got] == [0, 4, 5, 6]
    assert inbox.dropped == 3


async def test_without_waveforms_the_oldest_report_goes() -> None:
    inbox = Inbox(asyncio.get_running_loop(), limit=2)
    for at in range(3):
        inbox.put(arrival("EpisodicMetricReport", at))
    assert [(await inbox.get(0.1)).arrived_ns for _ in range(2)] == [1, 2]
    assert inbox.dropped == 1


async def test_what_came_before_the_loss_is_still_given() -> None:
    inbox = Inbox(asyncio.get_running_loop())
    inbox.put(arrival("EpisodicMetricReport", 1))
    inbox.lose("the device ended the subscription")
    assert (await inbox.get(0.1)).arrived_ns == 1
    with pytest.raises(DeviceError, match="ended the subscription"):
        await inbox.get(0.1)


async def test_reports_from_threads_wake_the_loop() -> None:
    inbox = Inbox(asyncio.get_running_loop())
    waiting = asyncio.create_task(inbox.get(5.0))
    await asyncio.to_thread(inbox.put, arrival("WaveformStream", 9))
    assert (await waiting).arrived_ns == 9


async def test_silence_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        await Inbox(asyncio.get_running_loop()).get(0.05)
