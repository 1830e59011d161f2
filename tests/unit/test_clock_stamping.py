"""Whatever time a device gives, its samples get the best that can be said, and say how good."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from scot.channel import Numeric, Pose, Video, Waveform
from scot.provider import DeviceContext, NoOptions
from scot.sample import Flags, NumericValue, Sample
from scot.testing import ManualClock
from scot.timestamp import ClockState

MS = 1_000_000
S = 1_000 * MS
HR = Numeric("hr", unit="/min")
ECG = Waveform("ecg_ii", unit="mV", rate_hz=250.0)
PICTURE = Video("video", rate_hz=25.0)
PROBE = Pose("probe", rate_hz=60.0)
BLOCK = np.zeros(20, dtype=np.float32)


def context() -> tuple[DeviceContext[NoOptions], ManualClock]:
    clock = ManualClock(1_000 * S)
    device = DeviceContext("or1", "monitor", NoOptions(), clock)
    device.offer(HR, ECG, PICTURE, PROBE)
    return device, clock


def streamed(
    device: DeviceContext[NoOptions],
    clock: ManualClock,
    count: int,
    counter: int | None = None,
    source_ns: int | None = None,
) -> list[Sample]:
    """Blocks of 80 ms, each read up to 12 ms after its last value was taken."""
    samples = []
    for k in range(count):
        clock.advance(80 * MS)
        samples.append(
            device.sample(
                ECG,
                BLOCK,
                arrived_ns=clock.read() + (k * 7919 % 13) * MS,
                counter=None if counter is None else counter + 20 * k,
                source_ns=None if source_ns is None else source_ns + 80 * MS * k,
            )
        )
    return samples


def apart(samples: list[Sample]) -> list[float]:
    return [b.time.bus_ns - a.time.bus_ns for a, b in pairwise(samples)]


def test_a_counter_spaces_a_stream_evenly_and_is_not_inferred() -> None:
    device, clock = context()
    samples = streamed(device, clock, 300, counter=5)
    assert apart(samples[100:]) == pytest.approx([80 * MS] * 199, abs=0.1 * MS)
    last = samples[-1]
    assert last.time.bus_ns == pytest.approx(clock.read() - 76 * MS, abs=MS)
    assert (last.flags, last.time.state) == (Flags(0), ClockState.ONE_WAY)
    assert last.time.bound_ns is None
    assert last.time.err_ns is not None
    assert last.time.err_ns < 4 * MS


def test_a_waveform_without_time_and_counter_is_inferred_and_says_so() -> None:
    device, clock = context()
    samples = streamed(device, clock, 300)
    assert apart(samples[100:]) == pytest.approx([80 * MS] * 199, abs=0.1 * MS)
    assert {sample.flags for sample in samples} == {Flags.INFERRED}
    numeric = device.sample(HR, NumericValue(70.0))
    assert numeric.flags == Flags.ARRIVAL


def test_a_devices_time_of_a_block_is_of_its_first_value() -> None:
    device, clock = context()
    samples = streamed(device, clock, 300, source_ns=7)
    assert samples[-1].time.source_ns == 7 + 299 * 80 * MS
    assert samples[-1].time.bus_ns == pytest.approx(clock.read() - 76 * MS, abs=MS)


def test_frames_grabbed_late_are_placed_by_their_index_and_the_bound_still_holds() -> None:
    device, clock = context()
    for k in range(600):
        due_ns = clock.read()
        grabbed_ns = due_ns + (k * 7919 % 13) * MS // 4
        frame = device.sample(
            PICTURE, b"x", source_ns=grabbed_ns, base="host", arrived_ns=grabbed_ns, counter=k
        )
        clock.advance(40 * MS)
    assert frame.time.source_ns == grabbed_ns
    assert frame.time.bus_ns == pytest.approx(due_ns, abs=0.1 * MS)
    assert frame.time.state is not ClockState.ONE_WAY
    assert frame.time.bound_ns is not None
    assert frame.time.bound_ns >= grabbed_ns - frame.time.bus_ns


def test_poses_of_a_constant_rate_take_a_counter_too() -> None:
    device, _ = context()
    for k in range(1_200):
        true_ns = 1_000 * S + round(k * S / 60)
        arrived_ns = true_ns + 2 * MS + (k * 7919 % 11) * MS
        pose = device.sample(PROBE, NumericValue(1.0), arrived_ns=arrived_ns, counter=k)
    assert pose.time.bus_ns - true_ns == pytest.approx(2 * MS, abs=0.2 * MS)


def test_an_old_value_is_placed_by_what_was_heard_of_the_clock() -> None:
    """The first thing a monitor tells is a cuff reading of five minutes ago."""
    device, clock = context()
    device.heard(900 * S, clock.read())
    cuff = device.sample(HR, NumericValue(118.0), source_ns=600 * S)
    assert cuff.time.bus_ns == 700 * S
    for k in range(50):
        clock.advance(80 * MS)
        device.sample(HR, NumericValue(1.0), source_ns=900 * S + (k + 1) * 80 * MS)
    assert "clock_epochs" not in device.health


def test_a_declared_epoch_is_counted_once_and_followed_at_once() -> None:
    device, clock = context()
    device.new_epoch("MDIB sequence a", identity="a")
    device.sample(HR, NumericValue(1.0), source_ns=900 * S)
    device.new_epoch("the same", identity="a")
    assert "clock_epochs" not in device.health
    clock.advance(S)
    device.new_epoch("restarted", identity="b")
    again = device.sample(HR, NumericValue(1.0), source_ns=5)
    assert again.time.bus_ns == clock.read()
    assert device.health["clock_epochs"] == 1
    device.new_epoch("begun again")
    device.sample(HR, NumericValue(1.0), source_ns=5)
    assert device.health["clock_epochs"] == 2


def test_a_restarted_counter_is_shown_in_health() -> None:
    device, clock = context()
    streamed(device, clock, 50, counter=100_000)
    streamed(device, clock, 50, counter=0)
    assert device.health["stream_segments"] == 1
    device.new_epoch("restarted")
    device.sample(HR, NumericValue(1.0), source_ns=5)
    assert device.health["stream_segments"] == 1


def test_a_declared_accuracy_narrows_the_claim_only_when_the_clock_is_utc() -> None:
    device, clock = context()
    device.declare_accuracy(0.0001)
    utc_ns = -37 * S
    for _ in range(3_000):
        clock.advance(40 * MS)
        sample = device.sample(HR, NumericValue(1.0), source_ns=clock.read() + utc_ns)
    assert sample.time.err_ns is not None
    assert sample.time.err_ns < MS
    device.declare_accuracy(None)
    plain = device.sample(HR, NumericValue(1.0), source_ns=clock.read() + utc_ns)
    assert plain.time.err_ns is not None
    assert plain.time.err_ns >= 2 * MS
