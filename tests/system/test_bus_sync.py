"""The bus without an event loop: the same promises, from a plain script."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scot.access import Grant
from scot.bus.sync import Connection
from scot.channel import Device, Lifecycle, Numeric
from scot.errors import BusError, BusTimeoutError
from scot.history import HistoryRequest
from scot.sample import Flags, NumericValue, Sample
from tests.system.conftest import GRANTS, BusProcess

pytestmark = pytest.mark.system

HR = Numeric("hr", unit="/min")
EXAMPLES = Path(__file__).parents[2] / "examples"
MakeBus = Callable[[list[Grant]], BusProcess]


class Monitor:
    """Publishes numbers without an event loop."""

    def __init__(self, bus: BusProcess) -> None:
        self.connection = Connection.join(bus.link("monitor"), 15.0)
        self.epoch = self.connection.clock.now()
        self.seq = 0
        self.connection.announce(
            Device(
                name="monitor",
                provider="test",
                state=Lifecycle.RUNNING,
                epoch=self.epoch,
                channels={"hr": HR},
            )
        )

    def say(self, count: int) -> None:
        for _ in range(count):
            time = self.connection.clock.stamp()
            value = NumericValue(float(self.seq))
            sample = Sample("or1/monitor/hr", self.epoch, self.seq, time, Flags(0), value)
            self.connection.publish(sample, HR)
            self.seq += 1


@pytest.fixture
def monitor(bus: BusProcess) -> Iterator[Monitor]:
    made = Monitor(bus)
    yield made
    made.connection.close()


@pytest.fixture
def console(bus: BusProcess) -> Iterator[Connection]:
    with Connection.join(bus.link("console"), 15.0) as connection:
        yield connection


def take(samples: Iterator[Sample], count: int) -> list[int]:
    return [next(samples).seq for _ in range(count)]


def test_what_one_script_publishes_another_iterates_in_order(
    monitor: Monitor, console: Connection
) -> None:
    samples = console.samples("or1/monitor/hr", timeout_s=10.0, from_start=True)
    monitor.say(5_000)  # far more than fit under way at once: publishing waits for credit
    assert sorted(take(samples, 5_000)) == list(range(5_000))
    assert (console.lost, samples.dropped, samples.malformed) == ({}, 0, 0)
    assert console.catalogue.devices["monitor"].channels["hr"] == HR
    assert monitor.connection.drained(10.0)


def test_who_is_slower_than_a_device_gets_the_newest_sample_not_the_oldest(
    monitor: Monitor, console: Connection
) -> None:
    every = console.samples("or1/monitor/hr", timeout_s=10.0, from_start=True)
    newest = console.samples("or1/monitor/hr", timeout_s=10.0, newest=True)
    monitor.say(500)
    assert sorted(take(every, 500)) == list(range(500))  # all have come, whoever looks
    assert next(newest).seq == 499
    assert newest.dropped > 0
    monitor.say(1)
    assert take(newest, 1) == [500]


def test_an_iteration_ends_after_so_long_a_silence(monitor: Monitor, console: Connection) -> None:
    samples = console.samples("or1/monitor/hr", timeout_s=3.0, from_start=True)
    monitor.say(3)
    assert sorted(sample.seq for sample in samples) == [0, 1, 2]


def test_history_comes_by_the_same_question(monitor: Monitor, console: Connection) -> None:
    monitor.say(10)
    assert monitor.connection.drained(10.0)
    ask = HistoryRequest(addresses=["or1/monitor/hr"], seqs=(monitor.epoch, 3, 5))
    assert len(console.history(ask).frames) == 3  # by the monitor's keeper: it waits for nothing
    with pytest.raises(BusError, match="may not read"):
        monitor.connection.history(ask)


def test_who_computes_for_long_stays_connected_and_misses_nothing(
    monitor: Monitor, console: Connection
) -> None:
    samples = console.samples("or1/monitor/hr", timeout_s=10.0, from_start=True)
    monitor.say(1)
    assert take(samples, 1) == [0]
    others = threading.Thread(target=lambda: monitor.say(1_000))
    others.start()
    others.join()
    threading.Event().wait(2.5)  # both are away for longer than a silent host is shown as live
    assert console.catalogue.devices["monitor"].state is Lifecycle.RUNNING
    assert sorted(take(samples, 1_000)) == list(range(1, 1_001))
    assert not console.lost


def test_a_broker_that_comes_back_is_caught_up_with(bus: BusProcess, monitor: Monitor) -> None:
    with Connection.join(bus.link("console"), 15.0) as console:
        samples = console.samples("or1/monitor/hr", timeout_s=15.0, from_start=True)
        monitor.say(200)
        assert sorted(take(samples, 200)) == list(range(200))
        bus.kill()
        monitor.say(200)
        bus.start()
        monitor.say(200)
        assert sorted(take(samples, 400)) == list(range(200, 600))
        assert not console.lost


def test_a_room_that_does_not_answer_and_a_closed_connection_say_so(
    make_bus: MakeBus, bus: BusProcess
) -> None:
    with pytest.raises(BusTimeoutError, match="no answer to hello"):
        Connection.join(make_bus(GRANTS).link("console"), 0.3)
    connection = Connection.join(bus.link("console"), 15.0)
    samples = connection.samples()
    connection.close()
    connection.close()
    assert list(samples) == []
    with pytest.raises(BusError, match="closed"):
        connection.history(HistoryRequest(addresses=["or1/monitor/hr"], at=0), 1.0)


def test_the_example_prints_a_mean_of_what_it_saw(bus: BusProcess, monitor: Monitor) -> None:
    command = [sys.executable, str(EXAMPLES / "plain_script.py"), "--state", str(bus.state)]
    with subprocess.Popen(
        [*command, "or1/monitor/hr", "--count", "50"], stdout=subprocess.PIPE, text=True
    ) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "listening\n"
        while script.poll() is None:  # until it has heard enough
            monitor.say(1)
            threading.Event().wait(0.005)
        rows = script.stdout.read().splitlines()
        assert script.returncode == 0
    assert rows[-1].startswith("50 samples of or1/monitor/hr, mean ")
