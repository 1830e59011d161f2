"""P12 with real processes: a command runs at most once, and what is told of it is true."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scot.access import Grant, write_private
from scot.bus.connection import Connection
from scot.bus.control import Control, call, look
from scot.bus.keys import FORM, KeyFile
from scot.channel import Lifecycle
from scot.cli import run
from scot.command import Answer, Confirm, Outcome, Request, Standing, State, Why
from scot.config import RoomFile
from scot.errors import BusError, CommandRefusedError
from tests.system.conftest import WORKSPACE, BusProcess, Collector, child

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PUMP = "or1/pump"
GRANTS = [
    Grant(name="pump", publish=["or1/pump/"], subscribe=["or1/room/"], devices=["pump"]),
    Grant(name="ann", subscribe=["or1/"], command=["or1/pump/"], role="or_staff"),
    Grant(name="ben", subscribe=["or1/"], command=["or1/pump/"], role="or_staff"),
    Grant(name="console", subscribe=["or1/"]),
]


class Room:
    """A broker, the pump's host, and what the pump has really done."""

    def __init__(self, folder: Path) -> None:
        self.done = folder / "done"
        self.go = folder / "go"
        self.broker = BusProcess(folder / WORKSPACE, GRANTS)
        options = {"done": str(self.done), "go": str(self.go)}
        file = RoomFile.model_validate({
            "room": {"workspace": WORKSPACE},
            "device": [
                {"name": "pump", "provider": "tests.system.pump:Pump", "options": options}
            ],
        })  # fmt: skip
        write_private(self.broker.state / "room.json", file.model_dump_json().encode())
        self.host: subprocess.Popen[bytes] | None = None
        self.closing = AsyncExitStack()

    def start_host(self) -> None:
        self.host = subprocess.Popen(
            [*child("scot.host", "sys.argv[1:]", signal.SIGTERM), "device", "pump", "--state",
             str(self.broker.state), "--options", "{}"],
            cwd=ROOT, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def kill_host(self) -> None:
        assert self.host is not None
        self.host.kill()
        self.host.wait()

    async def join(self, name: str) -> Connection:
        connection = await Connection.join(self.broker.link(name))
        self.closing.push_async_callback(connection.close)
        return connection

    async def ready(self, connection: Connection) -> None:
        """Wait until the pump takes commands."""
        async with asyncio.timeout(20):
            while True:
                device = connection.catalogue.devices.get("pump")
                if device is not None and device.state is Lifecycle.RUNNING:
                    try:
                        if (await look(connection, PUMP)).why is Why.NONE:
                            return
                    except BusError:
                        pass  # asked while it was away
                await asyncio.sleep(0.05)

    async def has_done(self, count: int) -> None:
        """Wait until the pump has begun so many things."""
        for _ in range(500):
            if len(self.deeds()) >= count:
                return
            await asyncio.sleep(0.02)
        pytest.fail(f"the pump has done {self.deeds()}")

    def deeds(self) -> list[str]:
        return self.done.read_text().splitlines() if self.done.exists() else []


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(tmp_path)
    room.broker.start()
    room.start_host()
    try:
        yield room
    finally:
        await room.closing.aclose()
        room.kill_host()
        room.broker.kill()


async def last(control: Control, name: str, arguments: dict[str, Any] | None = None) -> Outcome:
    async with asyncio.timeout(20):
        outcomes = [one async for one in control.command(name, arguments or {})]
    return outcomes[-1]


async def test_done_failed_and_unknown_are_told_apart_and_recorded(room: Room) -> None:
    ann = await room.join("ann")
    await room.ready(ann)
    record = Collector()
    steps_of = [f"{PUMP}/commands", "or1/room/commands"]
    # from the start: the first step may pass before the broker has heard of the subscription
    (await room.join("console")).subscribe(steps_of, record, from_start=True)
    async with Control(ann, PUMP) as control:
        done = await last(control, "pulse")
        assert (done.state, done.value, done.caller) == (State.DONE, {"rate": 5.0}, "ann")
        jammed = await last(control, "jam")
        assert (jammed.state, jammed.text) == (State.FAILED, "the wheel is stuck")
        async for outcome in control.command("vanish", {}):
            if outcome.state is State.UNKNOWN:
                break
        assert outcome.why is Why.BROKEN
        assert "the cable is out" in outcome.text
        refused = await last(control, "set_rate", {"to": [500, "mL/h"]})
        assert (refused.state, refused.why) == (State.REFUSED, Why.ARGUMENTS)
    assert room.deeds() == ["pulse {}", "jam {}", "vanish {}"]
    await record.until(lambda: len(record.seqs(f"{PUMP}/commands")) == 12)
    in_order = sorted(record.deliveries, key=lambda d: d.header.seq)
    steps: list[Any] = [d.sample().value for d in in_order]
    assert [step.get("state") or step["what"] for step in steps] == [
        "taken", "accepted", "running", "done", "accepted", "running", "failed",
        "accepted", "running", "unknown", "refused", "released",
    ]  # fmt: skip


async def test_nobody_without_a_grant_and_no_second_controller(room: Room) -> None:
    ann, console = await room.join("ann"), await room.join("console")
    ben = await room.join("ben")
    await room.ready(ann)
    for address in (PUMP, "or1/other", "or2/pump"):
        with pytest.raises(CommandRefusedError, match="may not command"):
            async with Control(console, address):
                pass
    async with Control(ann, PUMP):
        with pytest.raises(CommandRefusedError, match="ann controls or1/pump"):
            async with Control(ben, PUMP):
                pass
    async with Control(ben, PUMP) as control:
        assert (await last(control, "pulse")).state is State.DONE


async def test_a_risky_command_needs_two_people(room: Room) -> None:
    ann, ben = await room.join("ann"), await room.join("ben")
    await room.ready(ann)
    arguments = {"to": [42, "mL/h"]}
    states: list[State] = []
    async with asyncio.timeout(20), Control(ann, PUMP) as control:
        async for outcome in control.command("set_rate", arguments):
            states.append(outcome.state)
            if outcome.state is State.WAITING:
                assert room.deeds() == []
                confirm = Confirm(address=f"{PUMP}/set_rate", key=outcome.key, arguments=arguments)
                for who, why in ((ann, Why.SAME_PERSON), (ben, Why.NONE)):
                    answer = await call(who, confirm)
                    assert answer.why is why
    assert states[0] is State.WAITING
    assert states[-1] is State.DONE
    assert room.deeds() == ["set_rate {'to': 42}"]


async def test_the_same_request_a_hundred_times_runs_once(room: Room) -> None:
    ann = await room.join("ann")
    await room.ready(ann)
    async with Control(ann, PUMP) as control:
        assert control.lease is not None
        now_ns = ann.clock.now()
        request = Request(
            address=f"{PUMP}/pulse", key="one", arguments={}, term=control.lease.term,
            issued_ns=now_ns, expires_ns=now_ns + 20_000_000_000,
        )  # fmt: skip
        answers = await asyncio.gather(
            *(call(ann, request) for _ in range(50)), *(call(ann, request) for _ in range(10))
        )
        again = await call(ann, request)
    assert all(isinstance(answer, Outcome) for answer in answers)
    assert isinstance(again, Outcome)
    assert room.deeds() == ["pulse {}"]


async def test_a_host_that_dies_leaves_the_outcome_unknown_and_runs_nothing_again(
    room: Room,
) -> None:
    ann = await room.join("ann")
    await room.ready(ann)
    told: list[Outcome] = []
    async with asyncio.timeout(30), Control(ann, PUMP) as control:
        async for outcome in control.command("rinse", {}):
            told.append(outcome)
            if outcome.state is State.RUNNING:
                await room.has_done(1)
                room.kill_host()
                room.start_host()
            if outcome.why is Why.RESTARTED:
                break
        await room.ready(ann)
        first = told[0]
        request = Request(
            address=first.address, key=first.key, arguments={}, term=first.term,
            issued_ns=first.issued_ns, expires_ns=ann.clock.now() + 20_000_000_000,
        )  # fmt: skip
        again = await call(ann, request)
    assert told[-1].state is State.UNKNOWN
    assert isinstance(again, Outcome)
    assert (again.state, again.why) == (State.UNKNOWN, Why.RESTARTED)
    assert room.deeds() == ["rinse {}"]


async def test_a_host_that_is_stopped_says_that_nobody_knows(room: Room) -> None:
    ann = await room.join("ann")
    await room.ready(ann)
    async with asyncio.timeout(30), Control(ann, PUMP) as control:
        async for outcome in control.command("rinse", {}):
            if outcome.state is State.RUNNING:
                await room.has_done(1)
                assert room.host is not None
                room.host.terminate()
            if outcome.state is State.UNKNOWN and outcome.why is not Why.NO_ANSWER:
                break
    assert outcome.why is Why.BROKEN
    assert "was stopped while it ran" in outcome.text


async def test_what_a_frozen_host_takes_up_too_late_is_expired(room: Room) -> None:
    ann = await room.join("ann")
    await room.ready(ann)
    assert room.host is not None
    told: list[tuple[State, Why]] = []
    async with asyncio.timeout(30), Control(ann, PUMP) as control:
        room.host.send_signal(signal.SIGSTOP)
        async for outcome in control.command("pulse", {}, within_s=1.0):
            told.append((outcome.state, outcome.why))
            if outcome.why is Why.NO_ANSWER:  # two seconds later
                room.host.send_signal(signal.SIGCONT)
    assert told == [(State.UNKNOWN, Why.NO_ANSWER), (State.EXPIRED, Why.LATE)]
    assert room.deeds() == []


async def test_a_broker_that_dies_meanwhile_changes_nothing(room: Room) -> None:
    ann = await room.join("ann")
    await room.ready(ann)
    states: list[State] = []
    async with asyncio.timeout(30), Control(ann, PUMP) as control:
        async for outcome in control.command("rinse", {}):
            states.append(outcome.state)
            if outcome.state is State.RUNNING:
                await room.has_done(1)
                room.broker.kill()
                room.broker.start()
                room.go.touch()
    assert states[-1] is State.DONE
    assert State.REFUSED not in states
    assert room.deeds() == ["rinse {}"]


async def test_the_command_line_says_it_in_one_line(
    room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ann = await room.join("ann")
    await room.ready(ann)
    key = tmp_path / "ann.json"
    KeyFile(form=FORM, link=room.broker.link("ann")).save(key)

    async def scot(*words: str) -> tuple[int, str, list[str]]:
        code = await asyncio.to_thread(run, ["command", *words, "--as", str(key)])
        said = capsys.readouterr()
        return code, said.out, said.err.splitlines()

    code, out, _ = await scot("pump/pulse", "--json")
    assert code == 0
    assert msgspec.json.decode(out)["state"] == "done"
    code, out, err = await scot("or1/pump/jam")
    assert (code, out) == (1, "")
    assert err[-1] == "scot: or1/pump/jam: failed: the wheel is stuck"
    for words, said in (
        (("fly",), "fly: is no command; write DEVICE/COMMAND"),
        (("pump/fly",), "no such command; pump offers: pulse, rinse"),
        (("pump/set_rate",), "it needs to (number 0 to 100 mL/h)"),
        (("pump/set_rate", "--arg", "to"), "write NAME=VALUE"),
        (("pump/set_rate", "--arg", "to=fast"), "to (number 0 to 100 mL/h)"),
        (("confirm", "pump/set_rate", "--yes"), "nothing waits at or1/pump/set_rate"),
        (("release", "pump"), "nobody is in control"),
    ):
        code, out, err = await scot(*words)
        assert code == 1
        assert said in err[-1]
        assert err[-1].startswith("scot: ")
    code, out, _ = await scot("look", "pump")
    assert (code, out) == (0, "or1/pump: nobody is in control\n")
    assert room.deeds() == ["pulse {}", "jam {}"]


def test_answers_are_told_apart_on_the_wire() -> None:
    for answer in (Standing(address=PUMP), Outcome(address=PUMP, key="k", state=State.DONE)):
        data = msgspec.msgpack.encode(answer)
        assert msgspec.msgpack.decode(data, type=Answer) == answer
