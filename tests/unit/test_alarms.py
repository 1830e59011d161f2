"""What the gateway makes of a room's samples: who is silent, doubtful, and what is published."""

from __future__ import annotations

from typing import Any

import pytest

from scot.bus.subscriber import Delivery
from scot.channel import Lifecycle
from scot.codec import check_bounds, encode
from scot.condition import State
from scot.sample import Flags, NumericValue, Sample, Validity
from scot.timestamp import ClockState, Timestamp
from scot_dashboard import alarms
from scot_dashboard.alarms import Alarms
from tests.unit.gateway_room import SECOND_NS, START_NS, alarm, catalogue, delivery, ecg, hr

Told = list[tuple[str, dict[str, Any]]]


class Bed:
    """The alarms of the small room, and a clock that a test moves."""

    def __init__(self) -> None:
        self.alarms = Alarms()
        self.now_ns = START_NS
        self.alarms.follow(catalogue(), START_NS)

    def wait(self, seconds: float, *speaking: Any) -> None:
        """Let time pass, ten looks a second; each of `speaking` makes a sample at each."""
        for _ in range(round(seconds * 10)):
            self.now_ns += SECOND_NS // 10
            for make in speaking:
                self.take(make(self.second))
            self.alarms.tick(self.now_ns)

    @property
    def second(self) -> float:
        return (self.now_ns - START_NS) / SECOND_NS

    def take(self, one: Delivery) -> None:
        self.alarms.take(one, self.now_ns)

    def state(self, name: str) -> str:
        one = self.alarms.board.conditions.get(name)
        return one.state.value if one else "absent"

    def told(self) -> Told:
        self.now_ns += SECOND_NS
        return [(channel.name, value) for channel, value in self.alarms.due(self.now_ns)]


def beat(second: float) -> Delivery:
    return ecg(0, at_s=second)


def late(second: float) -> Delivery:
    """A block whose time is that of a clock which was never set."""
    one = beat(second)
    return one._replace(header=one.header.__class__(**{**_plain(one), "bus_ns": 37_000_000_000}))


def unsynced(second: float) -> Delivery:
    one = beat(second)
    return one._replace(header=one.header.__class__(**{**_plain(one), "state": 4}))


def _plain(one: Delivery) -> dict[str, Any]:
    return {name: getattr(one.header, name) for name in one.header.__struct_fields__}


@pytest.fixture
def bed() -> Bed:
    bed = Bed()
    bed.take(alarm(0))
    bed.take(alarm(0, "hr_high", present=False))
    bed.wait(1, beat)
    return bed


def test_a_source_that_is_silent_for_two_seconds_is_unknown_and_never_inactive(bed: Bed) -> None:
    bed.wait(1.9)
    assert (bed.state("monitor/spo2_low"), bed.state("monitor/hr_high")) == ("active", "inactive")
    bed.wait(0.3)
    assert bed.state("room/lost/monitor") == "active"
    assert {bed.state("monitor/spo2_low"), bed.state("monitor/hr_high")} == {"unknown"}
    bed.wait(0.2, beat)
    assert bed.state("room/lost/monitor") == "inactive"
    assert (bed.state("monitor/spo2_low"), bed.state("monitor/hr_high")) == ("active", "inactive")


def test_what_is_asked_back_late_is_no_sign_of_life_and_changes_nothing(bed: Bed) -> None:
    bed.take(alarm(20, present=False))
    bed.now_ns = START_NS + 30 * SECOND_NS
    bed.take(alarm(10, own=Flags.BACKFILLED))
    assert bed.state("monitor/spo2_low") == "latched"
    bed.take(ecg(29, own=Flags.BACKFILLED))
    bed.alarms.tick(bed.now_ns)
    assert bed.state("room/lost/monitor") == "active"


def test_an_alarm_whose_time_is_still_to_come_hides_none_after_it(bed: Bed) -> None:
    bed.take(alarm(5, "hr_high", present=False, at_s=3_600))
    bed.take(alarm(6, "hr_high", at_s=bed.second))
    assert bed.state("monitor/hr_high") == "active"


def test_a_device_that_says_it_is_gone_is_lost_at_once(bed: Bed) -> None:
    whole = catalogue()
    monitor = whole.devices["monitor"]
    gone = monitor.__class__(
        name="monitor",
        provider="test",
        state=Lifecycle.DISCONNECTED,
        channels=monitor.channels,
    )
    bed.alarms.follow(whole.with_device(gone), bed.now_ns)
    bed.wait(0.1, beat)
    assert bed.state("room/lost/monitor") == "active"


@pytest.mark.parametrize("make", [late, unsynced])
def test_a_bad_clock_makes_unknown_what_is_not_there_and_hides_nothing(bed: Bed, make: Any) -> None:
    bed.wait(1.5, make)
    assert bed.state("room/clock/monitor") == "absent"
    bed.wait(1, make)
    assert bed.state("room/clock/monitor") == "active"
    assert (bed.state("monitor/spo2_low"), bed.state("monitor/hr_high")) == ("active", "unknown")
    bed.wait(3, beat)
    assert bed.state("monitor/hr_high") == "inactive"


def invalid(second: float) -> Delivery:
    return hr(0, at_s=second, flags=Flags.INVALID)


def unusable(second: float) -> Delivery:
    value = NumericValue(72.0, Validity.INVALID)
    return delivery("or1/monitor/hr", value, at_s=second)


@pytest.mark.parametrize("make", [invalid, unusable])
def test_a_value_that_its_device_disowns_has_a_technical_alarm(bed: Bed, make: Any) -> None:
    bed.wait(2.5, beat, make)
    own = bed.alarms.board.conditions["room/invalid/monitor/hr"]
    assert (own.state, own.kind, own.channel) == (State.ACTIVE, "Tec", "hr")
    assert own.text["en"] == "Monitor HR: not valid"
    bed.wait(2.5, beat, lambda s: hr(0, at_s=s))
    assert bed.state("room/invalid/monitor/hr") == "inactive"


def test_a_new_publisher_must_tell_its_conditions_again(bed: Bed) -> None:
    time = Timestamp(None, bed.now_ns, 1_000, 500, ClockState.LOCKED)
    one = alarm(5, "hr_high")
    sample = Sample("or1/monitor/alarms", START_NS + 9, 0, time, Flags(0), one.sample().value)
    frame = encode(sample, one.channel.kind)
    from scot.codec import read_header

    bed.take(Delivery(frame, read_header(frame), Flags(0), one.channel))
    assert (bed.state("monitor/hr_high"), bed.state("monitor/spo2_low")) == ("active", "unknown")
    bed.wait(16, beat)
    assert bed.state("monitor/spo2_low") == "latched", "nobody has seen it; it is not forgotten"


def test_log_and_state_are_published_bounded_and_a_new_gateway_goes_on_from_them(
    bed: Bed,
) -> None:
    (spo2,) = [o for o in bed.alarms.board.conditions.values() if o.id == "monitor/spo2_low"]
    assert bed.alarms.act("ack", [(spo2.id, spo2.since_ns)], "OR staff", bed.now_ns)
    assert not bed.alarms.act("ack", [(spo2.id, spo2.since_ns)], "OR staff", bed.now_ns)
    told = bed.told()
    assert [name for name, _ in told][-1] == "state"
    acked = [value for name, value in told if name == "log" and value["by"]]
    assert [(one["was"], one["condition"]["state"], one["by"]) for one in acked] == [
        ("active", "acked", "OR staff")
    ]
    assert bed.told() == []
    import msgspec

    check_bounds(msgspec.msgpack.encode(told[-1][1]))
    after = Bed()
    after.alarms.restore(told[-1][1])
    after.take(alarm(30, at_s=0.5))
    assert after.state("monitor/spo2_low") == "acked"
    with pytest.raises(msgspec.ValidationError):
        after.alarms.restore({"conditions": 7})


@pytest.mark.parametrize(
    ("bad", "name"), [(unusable, "room/invalid/monitor/hr"), (late, "room/clock/monitor")]
)
def test_a_doubt_from_before_a_restart_ends_when_it_is_over(bed: Bed, bad: Any, name: str) -> None:
    bed.wait(2.5, beat if bad is unusable else bad, bad)
    assert bed.state(name) == "active"
    after = Bed.__new__(Bed)
    after.alarms, after.now_ns = Alarms(), bed.now_ns
    after.alarms.restore(bed.told()[-1][1])
    after.alarms.follow(catalogue(), after.now_ns)
    after.wait(1, beat, lambda s: hr(0, at_s=s))
    assert after.state(name) == "active"
    after.wait(3, beat, lambda s: hr(0, at_s=s))
    assert after.state(name) == "inactive"


def test_the_catalogue_entry_is_what_is_published() -> None:
    assert set(alarms.device(1).channels) == {"state", "log", "health"}
