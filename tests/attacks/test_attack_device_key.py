"""A device's key in the wrong hands: it speaks for its own device, in bounds, and for no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import pytest

from scot.bus.keys import Link
from scot.bus.questions import MAX_TOLD
from scot.bus.socket import BULK_BYTES, DATA_BYTES
from scot.clock import machine
from scot.sample import AlarmValue
from tests.attacks.bombs import BOMBS
from tests.attacks.conftest import ASKED_HZ, Target
from tests.attacks.honest import ADDRESS, Honest, Memory, joins
from tests.attacks.zmtp import MORE, Attacker, framed, hung_up

pytestmark = pytest.mark.system

MB = 1 << 20
PROBERS = 400
FLOOD = 2_000
QUESTION = [(b"1", MORE), (b"ping", MORE), (b"\xc0", 0)]
pack = msgspec.msgpack.Encoder().encode
ALARM = pack(AlarmValue(id="x", kind="Phy", priority="Hi", present=True))
NOW = machine.utc_ns()


def header(seq: int = 0, epoch: int = NOW, bus_ns: int = NOW) -> bytes:
    """Return the header of a frame, whatever it claims."""
    return pack([1, epoch, seq, None, bus_ns, None, None, 0, 0])


def announcement(link: Link, **channels: str) -> bytes:
    """Return the device of a key with channels of these kinds."""
    offered = {name: {"name": name, "kind": kind} for name, kind in channels.items()}
    return pack({"name": link.name, "provider": "x", "state": "running", "channels": offered})


@contextmanager
def desk(link: Link) -> Iterator[Attacker]:
    with Attacker(link, "query") as attacker:
        yield attacker


def ask(
    attacker: Attacker, verb: bytes, body: object, request: bytes = b"1"
) -> tuple[bytes, object]:
    """Ask the desk; return status and body of its answer."""
    attacker.send(request, verb, body if isinstance(body, bytes) else pack(body))
    while True:
        got, status, answer, *_ = attacker.receive()
        if got == request:
            return status, msgspec.msgpack.decode(answer)


FORGED = [
    ADDRESS,
    "or1/monitor/alarms",
    "or1/room/clock",
    "or1/room/catalogue",
    "or1/recorder/alarms",
]
FORGED += ["or1/consult/notes", "or2/monitor/tool", "or1/", "or1//", "or1/intruder", "../or1/x/y"]


@pytest.mark.parametrize("lane", ["ctl_in", "bulk_in"])
def test_it_cannot_publish_what_another_does(thief: Link, honest: Honest, lane: str) -> None:
    """Neither another's address, nor an alarm of another, nor what the room itself says."""
    before = dict(honest.others)
    with Attacker(thief, lane) as attacker, desk(thief) as asking:
        status, _ = ask(asking, b"announce", announcement(thief, hr="numeric"))
        assert status == b"ok"
        for address in FORGED:
            attacker.say(address.encode() + b"\0", header(), ALARM)
        attacker.say(f"or1/{thief.name}/hr".encode() + b"\0", header(), pack([1.0, "Vld"]))
        honest.seen(f"or1/{thief.name}/hr")  # so all before it was judged
    honest.unharmed()
    rooms = {"or1/room/clock", "or1/room/catalogue"}  # grow by themselves
    for address in set(FORGED) - rooms - {ADDRESS}:
        assert honest.others.get(address) == before.get(address), address


def test_a_flood_of_forgeries_costs_neither_memory_nor_disk(
    target: Target, thief: Link, honest: Honest, memory: Memory
) -> None:
    written = target.log.stat().st_size
    with Attacker(thief, "ctl_in") as attacker, desk(thief) as asking:
        ask(asking, b"announce", announcement(thief, hr="numeric"))
        for number in range(3_000):
            attacker.say(b"or1/monitor/n%d\0" % number, b"", b"")
        for number in range(60):
            attacker.say(b"or1/monitor/%d" % number + bytes(1_000_000), b"", b"")
        mine = f"or1/{thief.name}/hr".encode() + b"\0"
        for more in ([], [b"x"], [header(), pack([1.0, "Vld"])], [b"x"] * 7):
            attacker.send(mine, *more)
        for torn in (mine[:-1], mine, mine + b"\x20" + header()[:9], bytes(300), b"\xff" * 300):
            attacker.send(torn)
        attacker.say(f"or1/{thief.name}/hr".encode() + b"\0", header(), pack([1.0, "Vld"]))
        honest.seen(f"or1/{thief.name}/hr")
        honest.unharmed()
    assert memory.grown_bytes < 24 * MB
    assert target.log.stat().st_size - written < 32 << 10, "a line in the log for each frame"


def test_it_is_who_its_key_says_whatever_it_claims(thief: Link, honest: Honest) -> None:
    claims = {b"User-Id": b"monitor", b"user-id": b"monitor", b"UserId": b"monitor"}
    with desk(thief) as asking:
        ask(asking, b"announce", announcement(thief, hr="numeric"))
    with Attacker(thief, "ctl_in", b"DEALER", b"monitor", claims) as attacker:
        attacker.say(ADDRESS.encode() + b"\0", header(2**40), b"")
        attacker.say(f"or1/{thief.name}/hr".encode() + b"\0", header(), pack([1.0, "Vld"]))
        honest.seen(f"or1/{thief.name}/hr")
    honest.unharmed()


def test_taking_over_a_routing_id_gives_no_right(
    keys: Iterator[Link], thief: Link, honest: Honest
) -> None:
    """Who knows another's routing id can end its connection, and still speaks only for itself."""
    victim = next(keys)
    identity = b"\1" + os.urandom(16)
    with Attacker(victim, "ctl_in", identity=identity) as first, desk(victim) as asking:
        ask(asking, b"announce", announcement(victim, hr="numeric"))
        first.send(b"")
        assert first.receive()
        with Attacker(thief, "ctl_in", identity=identity) as second, desk(thief) as other:
            ask(other, b"announce", announcement(thief, hr="numeric"))
            second.say(f"or1/{victim.name}/hr".encode() + b"\0", header(), pack([6.0, "Vld"]))
            second.say(f"or1/{thief.name}/hr".encode() + b"\0", header(), pack([1.0, "Vld"]))
            honest.seen(f"or1/{thief.name}/hr")
    assert f"or1/{victim.name}/hr" not in honest.others


@pytest.mark.parametrize("lane", ["ctl_in", "bulk_in", "query", "probe", "ctl_out"])
def test_a_frame_larger_than_its_class_ends_the_connection(
    thief: Link, honest: Honest, memory: Memory, lane: str
) -> None:
    kind = b"SUB" if lane == "ctl_out" else b"DEALER"
    for size in (400 * MB, 2**31, 2**63 - 1, 2**64 - 1):
        with Attacker(thief, lane, kind) as attacker:
            try:
                attacker.raw.sendall(framed(bytes(8 * MB), size=size))
            except OSError:
                pass
            assert hung_up(attacker.raw, 2.0), f"it waits for {size} B"
    honest.unharmed()
    assert memory.grown_bytes < 16 * MB


@pytest.mark.parametrize(("lane", "most"), [("ctl_in", DATA_BYTES), ("bulk_in", BULK_BYTES)])
def test_a_whole_frame_just_too_large_ends_the_connection(
    thief: Link, honest: Honest, lane: str, most: int
) -> None:
    topic = f"or1/{thief.name}/hr".encode() + b"\0"
    with Attacker(thief, lane) as attacker:
        try:
            attacker.say(topic, header(), bytes(most))  # its box makes it larger
        except OSError:
            pass
        assert hung_up(attacker.raw, 2.0)
    assert topic[:-1].decode() not in honest.others


def test_300_000_subscriptions_are_cut_off(
    target: Target, thief: Link, honest: Honest, memory: Memory
) -> None:
    """Refusing them is not enough: libzmq keeps what is refused as well."""
    written = target.log.stat().st_size
    sent = 0
    with Attacker(thief, "ctl_out", b"SUB") as attacker:
        try:
            for sent in range(300_000):
                attacker.send(b"\1or1/room/%d" % sent)
        except OSError:
            pass
        assert hung_up(attacker.raw, 2.0), f"{sent} subscriptions, and it listens still"
    honest.unharmed()
    assert memory.grown_bytes < 32 * MB
    assert target.log.stat().st_size - written < 32 << 10


def test_a_prefix_that_is_no_address_is_not_kept(
    thief: Link, honest: Honest, memory: Memory
) -> None:
    """60 kB of prefix cost libzmq 5 MB each, whether it is granted or not."""
    with Attacker(thief, "ctl_out", b"SUB") as attacker:
        try:
            for number in range(100):
                attacker.send(b"\1or1/room/%d" % number + os.urandom(30_000).hex().encode())
        except OSError:
            pass
        assert hung_up(attacker.raw, 2.0)
    honest.unharmed()
    assert memory.grown_bytes < 16 * MB


WIDER = [b"", b"o", b"or1", b"or1/", b"or1/roo", b"or1/room", b"or1/monitor/", b"\0", b"\xff"]
WIDER += [b"or1/room\0", b"or1/monitor/tool\0", b"or1/*", b"or1/../monitor/"]


@pytest.mark.parametrize("name", ["ctl_out", "bulk_out"])
def test_it_reads_inside_its_grant_only(thief: Link, honest: Honest, name: str) -> None:
    """Neither the empty prefix, nor a prefix of its grant, yields anything beyond the grant."""
    with Attacker(thief, name, b"SUB") as attacker:
        for prefix in WIDER:
            attacker.send(b"\1" + prefix)
        if name == "bulk_out":
            honest.unharmed()
            attacker.raw.settimeout(0.2)
            with pytest.raises(TimeoutError):
                attacker.receive()
            return
        attacker.send(b"\1or1/room/clock")
        for _ in range(3):
            (packed,) = attacker.receive()
            assert packed.startswith(b"or1/room/clock\0")


def test_the_desk_does_for_a_key_what_its_grant_holds_and_no_more(
    thief: Link, honest: Honest
) -> None:
    with desk(thief) as asking:
        forged = pack({"name": "monitor", "provider": "x", "channels": {}})
        status, text = ask(asking, b"announce", forged)
        assert (status, "may not announce" in str(text)) == (b"no", True)
        status, text = ask(asking, b"serve", None)
        assert (status, "may not answer" in str(text)) == (b"no", True)
        for address in (ADDRESS, "or1/", "", "or1/room"):
            status, text = ask(asking, b"history", {"addresses": [address], "between": [0, 1]})
            assert (status, "may not read" in str(text)) == (b"no", True)
        status, text = ask(asking, b"forget", None)
        assert status == b"no"
        for key in range(200):
            asking.send(key.to_bytes(8, "big"), b"answer", pack({}), b"", b"", b"")
        asking.send(bytes(17), b"hello", b"\xc0")
        asking.send(b"")
        asking.send(b"1", b"hello")
        status, _ = ask(asking, b"hello", None, b"last")
        assert status == b"ok"


def test_a_question_costs_the_broker_no_more_than_it_yields(
    thief: Link, honest: Honest, memory: Memory
) -> None:
    """90,000 times the same address in one question, and one that wants everything at once."""
    with desk(thief) as asking:
        many = {"addresses": ["or1/room/clock"] * 90_000, "between": [0, 2**62]}
        for holder in ("publisher", "recorder", ""):
            asking.send(b"1", b"history", pack({**many, "holder": holder}))
        endless = {"addresses": ["or1/room/clock"], "between": [0, 2**62], "max_bytes": 2**62}
        asking.send(b"2", b"history", pack({**endless, "holder": "publisher"}))
        status, _ = ask(asking, b"hello", None, b"last")
        assert status == b"ok"
        honest.unharmed()
    assert memory.grown_bytes < 24 * MB


def test_who_asks_without_end_waits_and_nobody_else_does(
    target: Target, honest: Honest, memory: Memory
) -> None:
    """Cheap questions, all sent before an answer is read: told to wait, then not answered."""
    asker = target.link("asker")
    with target.audited("query", asker.name, FLOOD // 2), desk(asker) as asking:
        flood = [asking.box(part, flags) for part, flags in QUESTION * FLOOD]
        asking.raw.sendall(b"".join(map(framed, flood)))
        joins(target.link("late"))
        honest.unharmed()
        said = [asking.receive()[1] for _ in range(round(ASKED_HZ) + MAX_TOLD)]
        assert said[: round(ASKED_HZ)] == [b"ok"] * round(ASKED_HZ)
        assert b"no" in said
    assert memory.grown_bytes < 24 * MB


@pytest.mark.parametrize("name", ["ctl_in", "query", "probe"])
def test_a_message_without_end_is_passed_over_and_its_connection_ended(
    target: Target, thief: Link, honest: Honest, name: str
) -> None:
    verb = "publish" if name == "ctl_in" else name
    with target.audited(verb, thief.name), Attacker(thief, name) as attacker:
        attacker.send(*[b"x"] * 20_000)
        assert hung_up(attacker.raw, 2.0)
        with Attacker(thief, name) as second:
            second.send(b"" if name == "ctl_in" else pack([2, None]))
            if name != "query":
                assert second.receive(), "what comes after it is served"
    joins(target.link("late"))


def test_parts_that_never_end_a_message_fill_no_memory(
    target: Target, thief: Link, honest: Honest, memory: Memory
) -> None:
    with target.audited("message"), Attacker(thief, "bulk_in") as attacker:
        part = framed(attacker.box(bytes(4 * MB), MORE))
        ended = False
        for _ in range(250):  # 1 GB
            try:
                attacker.raw.sendall(part)
            except OSError:
                ended = True
                break
            part = framed(attacker.box(bytes(4 * MB), MORE))
        assert ended
        honest.unharmed()
    assert memory.grown_bytes < 600 * MB
    assert memory.kept_bytes < 64 * MB


@pytest.mark.timeout(180)
def test_a_thousand_probing_connections_take_nobody_s_place(
    target: Target, thief: Link, honest: Honest, memory: Memory
) -> None:
    """Who joins needs a place at the clock service; there are a thousand."""
    with ExitStack() as stack:
        for _ in range(PROBERS):
            attacker = stack.enter_context(Attacker(thief, "probe"))
            attacker.send(pack([1, None]))
            assert attacker.receive()
        joins(target.link("late"))
        honest.unharmed()
    assert memory.grown_bytes < 96 * MB


def test_devices_that_grow_keep_nobody_from_joining(
    target: Target, keys: Iterator[Link], honest: Honest, memory: Memory
) -> None:
    """Together they would make a catalogue that no client takes: each asker would be cut off."""
    said = []
    for _ in range(14):
        link = next(keys)
        with desk(link) as asking:
            for size in (4_000_000, 250_000):
                device = {"name": link.name, "provider": "x", "reason": "y" * size}
                said.append(ask(asking, b"announce", device)[0])
    assert said[::2] == [b"no"] * 14
    assert b"no" in said[1::2]
    joins(target.link("late"))
    honest.unharmed()
    assert memory.grown_bytes < 64 * MB


def test_a_device_that_changes_all_the_time_is_slowed_down(thief: Link, honest: Honest) -> None:
    """Each change makes everybody fetch the catalogue. All are sent before an answer is read."""
    with desk(thief) as asking:
        for number in range(400):
            device = {"name": thief.name, "provider": "x", "reason": f"{number}"}
            asking.send(b"%d" % number, b"announce", pack(device))
        said = [asking.receive()[1] for _ in range(400)]
    assert said.count(b"no") > 100


def test_a_bomb_at_the_desk_is_refused(thief: Link, honest: Honest, memory: Memory) -> None:
    device = pack({"name": thief.name, "provider": "x", "channels": {}})
    for what, bomb in BOMBS.items():
        inside = b"\x84" + device[1:] + b"\xa5label" + bomb
        with desk(thief) as asking:
            for verb in (b"announce", b"history", b"command", b"hello", b"serve", b"answer"):
                asking.send(b"1", verb, bomb)
            asking.send(b"2", b"announce", inside)
            status, _ = ask(asking, b"ping", None, b"last")
            assert status == b"ok", what
    assert memory.grown_bytes < 24 * MB


def test_a_bomb_at_the_clock_is_refused(thief: Link, honest: Honest, memory: Memory) -> None:
    for what, bomb in BOMBS.items():
        with Attacker(thief, "probe") as probing:
            for data in (bomb, b"\x92\x01" + bomb, b"\x92" + bomb + b"\xc0"):
                if len(data) < 60_000:
                    probing.send(data)
            probing.send(pack([2, None]))
            assert probing.receive(), what
    assert memory.grown_bytes < 24 * MB
