"""An archive as a device: in real time, on the record's own clock, with numbers measured on it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scot.channel import Kind, Lifecycle
from scot.clock.clock import Clock
from scot.errors import DeviceError
from scot.provider import DeviceContext
from scot.sample import Flags, NumericValue, Sample
from scot_devices.archive.provider import WfdbOptions, WfdbProvider
from scot_devices.simulators.physiology import Patient

FRAME_HZ = 125
BEGIN_NS = 776_971_665_000_000_000


def write(folder: Path, seconds: float) -> dict[str, NDArray[np.int16]]:
    """Six channels' worth of a patient, as three signals of a 16-bit record."""
    waves = Patient(5, start_s=0.0).advance(round(seconds / 0.016)).waves
    frames = waves["art"].size
    digital = {
        "II": np.round(waves["ecg_ii"] * 1000).astype("<i2").reshape(frames, 2),
        "ABP": np.round(waves["art"] * 10).astype("<i2").reshape(frames, 1),
        "RESP": np.round(np.repeat(waves["resp"], 2) * 1000).astype("<i2").reshape(frames, 1),
    }
    digital["RESP"][10, 0] = -32768
    (folder / "p.dat").write_bytes(np.hstack(list(digital.values())).tobytes())
    (folder / "p.hea").write_text(
        f"p 3 {FRAME_HZ} {frames} 17:27:45 15/08/1994\n"
        "p.dat 16x2 1000/mV 16 0 0 0 0 II\n"
        "p.dat 16 10/mmHg 16 0 0 0 0 ABP\n"
        "p.dat 16 1000/Ohm 16 0 0 0 0 RESP\n"
    )
    return {name: signal.reshape(-1) for name, signal in digital.items()}


def device_for(record: Path, **more: Any) -> DeviceContext[WfdbOptions]:
    options = WfdbOptions(record=record, **more)
    return DeviceContext("or1", "monitor", options, Clock.session())


async def take(device: DeviceContext[WfdbOptions], count: int) -> list[Sample]:
    found: list[Sample] = []
    stream = WfdbProvider().run(device)
    async for sample in stream:
        found.append(sample)
        if len(found) == count:
            break
    await stream.aclose()  # type: ignore[attr-defined]
    return found


async def test_the_record_comes_out_as_it_is_with_numbers_measured_on_it(tmp_path: Path) -> None:
    written = write(tmp_path, 4.992)
    device = device_for(tmp_path / "p.hea")
    samples = await take(device, 3 * 104 + 4 * 5)
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.channel, []).append(sample)

    blocks = [s.value for s in by_name["ecg_ii"]]
    ecg = np.concatenate([b for b in blocks if isinstance(b, np.ndarray)])
    np.testing.assert_allclose(ecg, written["II"][: ecg.size] / 1000.0, atol=1e-4)
    heart = [s.value for s in by_name["hr"] if isinstance(s.value, NumericValue)]
    assert heart[-1].value == pytest.approx(72.0, abs=3.0)
    pressures = [by_name[n][-1].value for n in ("art_sys", "art_dia", "art_mean")]
    values = [p.value for p in pressures if isinstance(p, NumericValue)]
    assert values == pytest.approx([121.0, 74.0, 91.0], abs=3.0)

    channels = device.channels
    assert (channels["art"].unit, channels["art"].rate_hz) == ("mm[Hg]", 125.0)
    assert (channels["ecg_ii"].unit, channels["ecg_ii"].rate_hz) == ("mV", 250.0)
    assert channels["art"].numeric_of == ["art_sys", "art_dia", "art_mean"]
    assert channels["resp"].kind is Kind.WAVEFORM


async def test_time_is_the_sample_counter_and_goes_on_over_the_loop(tmp_path: Path) -> None:
    write(tmp_path, 0.8)
    samples = await take(device_for(tmp_path / "p.hea"), 3 * 36)
    ecg = [s for s in samples if s.channel == "ecg_ii"]
    expected_ns = BEGIN_NS
    for sample in ecg:
        assert isinstance(sample.value, np.ndarray)
        assert sample.time.source_ns == pytest.approx(expected_ns, abs=1)
        expected_ns += sample.value.size * 4_000_000
    assert expected_ns - BEGIN_NS > 1_600_000_000
    took_ns = ecg[-1].time.bus_ns - ecg[0].time.bus_ns
    assert took_ns == pytest.approx(expected_ns - BEGIN_NS, rel=0.1)


async def test_a_hole_in_the_record_is_nan_and_doubtful(tmp_path: Path) -> None:
    write(tmp_path, 0.8)
    samples = await take(device_for(tmp_path / "p.hea"), 9)
    resp = [s for s in samples if s.channel == "resp"]
    assert [bool(s.flags & Flags.DOUBTFUL) for s in resp] == [False, True, False]
    assert isinstance(resp[1].value, np.ndarray)
    assert np.isnan(resp[1].value).sum() == 1


async def test_it_begins_where_it_is_told(tmp_path: Path) -> None:
    written = write(tmp_path, 2.0)
    (first,) = await take(device_for(tmp_path / "p.hea", start_s=1.6), 1)
    assert isinstance(first.value, np.ndarray)
    np.testing.assert_allclose(first.value, written["II"][400:412] / 1000.0, atol=1e-4)
    assert first.time.source_ns == BEGIN_NS + 1_600_000_000


async def test_a_record_that_does_not_loop_ends_in_silence(tmp_path: Path) -> None:
    write(tmp_path, 0.4)
    device = device_for(tmp_path / "p.hea", loop=False)
    seen: asyncio.Queue[Sample] = asyncio.Queue()

    async def play() -> None:
        async for sample in WfdbProvider().run(device):
            seen.put_nowait(sample)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(play(), 1.5)
    assert seen.qsize() == 3 * 9
    assert device.state is Lifecycle.DISCONNECTED
    assert "p.hea has ended" in device.reason


async def test_an_absent_record_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"absent\.hea cannot be read"):
        await take(device_for(tmp_path / "absent.hea"), 1)
