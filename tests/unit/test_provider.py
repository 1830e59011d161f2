"""What a provider yields is numbered, stamped, flagged, and only what it offered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from scot.channel import Argument, Command, Lifecycle, Numeric, Risk, Waveform
from scot.errors import CodecError, LocalProtocolError
from scot.provider import DeviceContext, NoOptions, Provider, ProviderInfo
from scot.sample import Flags, NumericValue, Sample
from scot.testing import ManualClock
from scot.timestamp import ClockState

HR = Numeric("hr", unit="/min")
ART = Waveform("art", unit="mm[Hg]", rate_hz=125.0)


class Plain(Provider[NoOptions]):
    """One numeric and one waveform."""

    info = ProviderInfo(id="test.plain", label={"en": "Plain"})
    hr = HR
    art = ART

    async def run(self, device: DeviceContext[Any]) -> AsyncIterator[Sample]:
        """Yield one number."""
        yield device.sample(self.hr, NumericValue(1.0))


class More(Plain):
    """Adds one channel and changes another."""

    hr = Numeric("hr", unit="/min", upper=120.0)
    spo2 = Numeric("spo2", unit="%")


def context(simulated: bool = False) -> tuple[DeviceContext[NoOptions], ManualClock]:
    clock = ManualClock(5_000)
    device = DeviceContext("or1", "monitor", NoOptions(), clock, simulated)
    device.offer(HR, ART)
    return device, clock


def test_channels_on_the_class_are_declared_in_order_and_inherited() -> None:
    assert Plain.declared() == [HR, ART]
    assert [channel.name for channel in More.declared()] == ["hr", "art", "spo2"]
    assert More.declared()[0].upper == 120.0


def test_samples_are_numbered_by_channel_from_zero_in_one_epoch() -> None:
    device, _ = context()
    got = [device.sample(c, NumericValue(1.0)) for c in (HR, HR, ART, HR)]
    assert [(s.address, s.seq) for s in got] == [
        ("or1/monitor/hr", 0),
        ("or1/monitor/hr", 1),
        ("or1/monitor/art", 0),
        ("or1/monitor/hr", 2),
    ]
    assert {s.epoch for s in got} == {device.epoch}
    assert device.epoch == 5_000


def test_a_device_without_time_is_stamped_on_arrival_and_flagged() -> None:
    device, clock = context()
    arrived_ns = device.arrived()
    clock.advance(300)
    at_arrival = device.sample(HR, NumericValue(1.0), arrived_ns=arrived_ns)
    assert (at_arrival.time.bus_ns, at_arrival.time.source_ns) == (5_000, None)
    assert at_arrival.flags == Flags.ARRIVAL
    assert device.sample(HR, NumericValue(1.0)).time.bus_ns == 5_300


def test_a_device_with_its_own_clock_is_placed_one_way() -> None:
    device, clock = context()
    clock.advance(1_000_000)
    first = device.sample(HR, NumericValue(1.0), source_ns=77, flags=Flags.DOUBTFUL)
    assert (first.time.source_ns, first.time.bus_ns) == (77, 1_005_000)
    assert (first.time.state, first.time.bound_ns) == (ClockState.ONE_WAY, None)
    assert first.flags == Flags.DOUBTFUL
    clock.advance(500)
    quicker = device.sample(HR, NumericValue(1.0), source_ns=777)
    assert quicker.time.bus_ns == 1_005_500
    slower = device.sample(HR, NumericValue(1.0), source_ns=800, arrived_ns=clock.read() + 9_000)
    assert slower.time.bus_ns == 1_005_523


def test_what_this_host_captured_is_stamped_by_its_own_clock() -> None:
    device, clock = context()
    captured_ns = device.arrived()
    clock.advance(80_000_000)
    frame = device.sample(HR, NumericValue(1.0), source_ns=captured_ns, base="host")
    assert (frame.time.source_ns, frame.time.bus_ns) == (5_000, 5_000)
    assert frame.time.state is ClockState.LOCKED
    assert not frame.flags & Flags.ARRIVAL


def test_a_simulated_device_marks_every_sample() -> None:
    device, _ = context(simulated=True)
    assert device.sample(HR, NumericValue(1.0), source_ns=5).flags == Flags.SIMULATED
    assert device.sample(HR, NumericValue(1.0)).flags == Flags.SIMULATED | Flags.ARRIVAL


def test_a_channel_that_was_not_offered_cannot_be_published() -> None:
    device, _ = context()
    with pytest.raises(LocalProtocolError, match=r"or1/monitor/rr was never offered; call device"):
        device.sample(Numeric("rr"), NumericValue(1.0))


def test_only_changes_are_announced() -> None:
    device, _ = context()
    assert device.version == 2
    device.offer(HR, ART)
    device.move(Lifecycle.CREATED)
    assert device.version == 2
    device.offer(Numeric("hr", unit="/min", upper=100.0))
    device.move(Lifecycle.RUNNING)
    device.move(Lifecycle.RUNNING)
    device.move(Lifecycle.DEGRADED, "no pleth")
    assert device.version == 5


def test_the_catalogue_entry_says_where_the_device_stands() -> None:
    device, _ = context()
    device.move(Lifecycle.DEGRADED, "no pleth")
    entry = device.device("sdc", {"en": "Monitor"})
    assert (entry.name, entry.provider, entry.label) == ("monitor", "sdc", {"en": "Monitor"})
    assert (entry.state, entry.reason, entry.epoch) == (Lifecycle.DEGRADED, "no pleth", 5_000)
    assert entry.channels == {"hr": HR, "art": ART}
    device.offer(Numeric("rr"))
    assert "rr" not in entry.channels


def test_commands_are_offered_like_channels_and_can_be_withdrawn() -> None:
    class Pump(Plain):
        """Can be told something."""

        pulse = Command("pulse", Risk.LOW)

    device, _ = context()
    assert Plain.declared_commands() == []
    assert Pump.declared_commands() == [Command("pulse", Risk.LOW)]
    before = device.version
    device.offer(*Pump.declared_commands(), *Pump.declared_commands())
    assert device.version == before + 1
    assert device.device("test", {}).commands == {"pulse": Command("pulse", Risk.LOW)}
    device.offer(Command("pulse", Risk.HIGH))
    device.withdraw("pulse", "pulse", "nothing")
    assert device.version == before + 3
    assert device.commands == {}


async def test_a_provider_that_cannot_execute_says_so() -> None:
    device, _ = context()
    with pytest.raises(LocalProtocolError, match=r"test\.plain offers pulse and cannot execute it"):
        await Plain().execute(device, Command("pulse"), {})


def test_a_command_says_nothing_dangerous_by_saying_nothing() -> None:
    assert Command("pulse").risk is Risk.HIGH
    assert Command("pulse").roles == ("or_staff",)
    for name in ("", "Pulse", "a/b", "a" * 64):
        with pytest.raises(CodecError):
            Command(name)
        with pytest.raises(CodecError):
            Argument(name)


def test_counts_of_health_add_up() -> None:
    device, _ = context()
    device.count("bad_crc")
    device.count("bad_crc", 4)
    assert device.health == {"bad_crc": 5}


def test_a_provider_without_options_takes_none() -> None:
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Plain.Options.model_validate({"port": 1})
