"""The feed over a real broker, a real gateway and a real WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from scot.channel import Alarm, Numeric, Pose, Sensitivity, Text, Video, Waveform
from scot.clock import machine
from scot.sample import AlarmValue, AnnotationValue, NumericValue, PoseValue
from tests.contract.gateway_bench import Page, Room, Source, page, running_room, source

pytestmark = [pytest.mark.system]

PATIENT = "Tanaka Hanako"
HR = Numeric("hr", unit="/min", rate_hz=1.0, label={"en": "HR"})
ECG = Waveform("ecg_ii", unit="mV", rate_hz=250.0)
ALARMS = Alarm("alarms")
NAME = Text("patient", sensitivity=Sensitivity.IDENTITY)
REMARK = Text("remark")
PROBE = Pose("probe")
VIDEO = Video("video")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with running_room(tmp_path / "room") as running:
        yield running


@pytest.fixture
async def devices(room: Room) -> AsyncIterator[Source]:
    async with source(room) as joined:
        await joined.announce(
            "monitor", HR, ECG, ALARMS, NAME, REMARK, reason=f"bed of {PATIENT} was moved"
        )
        await joined.announce("tracker", PROBE)
        await joined.announce("scope", VIDEO)
        yield joined


def spo2_low(present: bool = True, text: str = "SpO2 low") -> AlarmValue:
    return AlarmValue(id="spo2_low", kind="Phy", priority="Hi", present=present, text={"en": text})


def picture(devices: Source, number: int, group: int = 10) -> int:
    data = number.to_bytes(4, "big") + bytes(2_000)
    return devices.say("scope/video", data, key=number % group == 0)


async def hello(opened: Page, *wanted: str) -> dict[str, Any]:
    """Wait until a page knows these devices; return what hello said."""
    said: dict[str, Any] = (await opened.message("hello"))[1]

    def known() -> bool:
        newest = [said["catalogue"], *(m[1] for m in opened.all("catalogue"))][-1]
        return set(wanted) <= set(newest["devices"])

    await opened.until(known)
    return said


async def test_staff_see_live_samples_exactly_as_on_the_bus(room: Room, devices: Source) -> None:
    async with page(room) as wall:
        said = await hello(wall, "monitor", "tracker", "scope", "consult")
        assert (said["role"], said["protocol"], said["author"]) == ("or_staff", 1, "OR staff")
        assert abs(said["bus_now_ns"] - devices.connection.clock.now()) < 5_000_000_000
        assert said["utc_offset_ns"] == machine.TAI_MINUS_UTC_NS
        assert said["playout_ms"] == 120
        block = np.linspace(-1, 1, 25, dtype=np.float32)
        bus_ns = devices.say("monitor/hr", NumericValue(71.5))
        devices.say("monitor/ecg_ii", block)
        devices.say("tracker/probe", PoseValue((1.5, 2, 3), (0, 0, 0, 1), err_mm=0.4))
        devices.say("monitor/remark", "prone")
        await wall.until(lambda: wall.samples("or1/monitor/remark"))
        ((header, payload),) = wall.samples("or1/monitor/hr")
        assert header[:2] == [1, devices.epoch]
        assert header[4] == bus_ns
        assert msgpack.unpackb(payload) == [71.5, "Vld"]
        ((_, payload),) = wall.samples("or1/monitor/ecg_ii")
        assert np.array_equal(np.frombuffer(payload, "<f4"), block)
        ((_, payload),) = wall.samples("or1/tracker/probe")
        assert msgpack.unpackb(payload)[0] == [1.5, 2, 3]
        assert wall.samples("or1/monitor/remark")[0][1] == b"prone"


async def test_whoever_joins_gets_the_state_of_everything_at_once(
    room: Room, devices: Source
) -> None:
    async with page(room) as first:
        await hello(first, "monitor", "scope")
        devices.say("monitor/alarms", spo2_low())
        devices.say("monitor/hr", NumericValue(60))
        devices.say("monitor/hr", NumericValue(61))
        for number in range(25):
            picture(devices, number)
            await first.count("or1/scope/video", number + 1)
        await first.until(lambda: first.samples("or1/monitor/hr"))
    async with page(room) as second:
        await hello(second, "monitor", "scope")
        await second.until(lambda: len(second.samples("or1/scope/video")) == 5)
        ((header, _),) = second.samples("or1/monitor/hr")
        assert header[2] == 1
        assert len(second.samples("or1/monitor/alarms")) == 1
        numbers = [payload[:4] for _, payload in second.samples("or1/scope/video")]
        assert numbers == [n.to_bytes(4, "big") for n in range(20, 25)]


async def test_an_alarm_overtakes_the_batch(room: Room, devices: Source) -> None:
    async with page(room) as wall:
        await hello(wall, "monitor")
        devices.say("monitor/hr", NumericValue(60))
        devices.say("monitor/alarms", spo2_low())
        await wall.until(lambda: wall.samples("or1/monitor/alarms"))
        assert wall.samples("or1/monitor/hr"), "what waited goes with it, in one message"


async def test_no_byte_sent_to_a_consultant_names_the_patient(room: Room, devices: Source) -> None:
    secret = room.invite(label=f"for {PATIENT}")["url"].partition("#")[2]
    devices.say("monitor/patient", PATIENT)
    async with page(room) as wall, page(room, secret, guest=True) as guest:
        await hello(wall, "monitor", "scope", "consult")
        await wall.until(lambda: wall.samples("or1/monitor/patient"))
        await wall.say("admit", "consultant-1")
        said = await hello(guest, "monitor", "scope")
        assert said["role"] == "consultant"
        assert said["author"] == "consultant 1"
        assert said["catalogue"]["case"] == "Case 1"
        assert set(said["catalogue"]["devices"]["monitor"]["channels"]) == {
            "hr",
            "ecg_ii",
            "alarms",
        }
        devices.say("monitor/remark", f"{PATIENT} is cold")
        devices.say("monitor/patient", f"{PATIENT} 1961")
        devices.say("monitor/alarms", spo2_low(text=f"{PATIENT}: SpO2 low"))
        at_ns = devices.say("monitor/hr", NumericValue(70))
        await wall.say(
            "annotate",
            {"id": "s1", "channel": "or1/scope/video", "at_ns": at_ns, "tool": "text",
             "text": f"is {PATIENT} asleep?"},
        )  # fmt: skip
        everything = [f"or1/monitor/{c}" for c in ("patient", "remark", "alarms", "hr", "health")]
        await guest.until(lambda: guest.samples("or1/consult/notes"))
        ask = {"addresses": everything, "between": [0, at_ns + 10**9]}
        await guest.say("history", 1, ask)
        await guest.say("history", 2, {"addresses": everything, "at": at_ns})
        await guest.say("lanes", 3, {"from_ns": at_ns - 10**10, "to_ns": at_ns, "bins": 5})
        await guest.message("lanes", 3)
        assert {where for where, _, _ in guest.history(1)} == {
            "or1/monitor/alarms",
            "or1/monitor/hr",
        }
        told, inside = b"".join(guest.raw), b"".join(wall.raw)
    for word in PATIENT.split():
        assert word.encode() in inside
        assert word.encode() not in told
    for hidden in ("or1/monitor/patient", "or1/monitor/remark", "or1/monitor/health", "K-17"):
        assert hidden.encode() not in told


async def test_a_consultants_pointer_reaches_everybody_by_the_bus(
    room: Room, devices: Source
) -> None:
    secret = room.invite()["url"].partition("#")[2]
    async with page(room) as wall, page(room, secret, guest=True) as guest:
        await hello(wall, "scope", "consult")
        at_ns = picture(devices, 0)
        await wall.say("admit", "consultant-1")
        await hello(guest, "scope")
        await guest.until(lambda: guest.samples("or1/scope/video"))
        await guest.say(
            "annotate",
            {"id": "p1", "channel": "or1/scope/video", "at_ns": at_ns, "tool": "pointer",
             "points": [[0.25, 0.75]], "ttl_s": 5},
        )  # fmt: skip
        for opened in (wall, guest):
            await opened.count("or1/consult/notes", 1)
            ((header, payload),) = opened.samples("or1/consult/notes")
            note = msgpack.unpackb(payload)
            assert note["author"] == "consultant 1"
            assert note["at_ns"] == at_ns
            assert note["points"] == [[0.25, 0.75]]
            assert header[4] >= at_ns
        await guest.say(
            "annotate",
            {"id": "p2", "channel": "or1/monitor/patient", "at_ns": at_ns, "tool": "pointer"},
        )
        refused = await guest.message("refused", "annotate", "p2")
        assert "or1/monitor/patient" in refused[3]
        assert guest.closed is None


async def test_the_room_sees_how_late_a_viewer_is_and_the_bus_records_it(
    room: Room, devices: Source
) -> None:
    secret = room.invite(label="Prof. Sato")["url"].partition("#")[2]
    async with page(room) as wall, page(room, secret, guest=True) as guest:
        at_ns = picture(devices, 0)
        await wall.until(lambda: knocks(wall, "consultant-1"))
        await wall.say("admit", "consultant-1")
        await hello(guest, "scope")
        await guest.say("seen", {"channel": "or1/scope/video", "bus_ns": at_ns, "behind_ms": 190})

        def reported() -> Any:
            rows = [row for m in wall.all("people") for row in m[1] if row["behind_ms"] == 190]
            return rows[-1] if rows else None

        row = await wall.until(reported)
        assert (row["author"], row["state"], row["label"]) == (
            "consultant 1",
            "admitted",
            "Prof. Sato",
        )
        assert row["seen_ns"] == at_ns
        await wall.until(
            lambda: any(
                msgpack.unpackb(payload)["behind_ms"] == 190
                for _, payload in wall.samples("or1/consult/views")
            )
        )
        for message in guest.all("people"):
            assert [row["id"] for row in message[1]] == ["consultant-1"]
            assert "label" not in message[1][0]


def knocks(wall: Page, who: str) -> bool:
    lists = wall.all("people")
    return bool(lists) and any(r["id"] == who and r["state"] == "knocking" for r in lists[-1][1])


async def test_until_the_room_lets_them_in_nobody_learns_anything(
    room: Room, devices: Source
) -> None:
    secret = room.invite()["url"].partition("#")[2]
    async with page(room) as wall, page(room, secret, guest=True) as guest:
        await wall.until(lambda: knocks(wall, "consultant-1"))
        devices.say("monitor/hr", NumericValue(70))
        await wall.until(lambda: wall.samples("or1/monitor/hr"))
        await guest.say("history", 1, {"addresses": ["or1/monitor/hr"], "at": 2**62})
        assert (await guest.message("refused", "history"))[2] == 1
        await guest.say("clock", 5.0)
        await guest.message("clock", 5.0)
        assert {message[0] for message in guest.received} == {"people", "clock", "refused"}
        await wall.say("refuse", "consultant-1")
        assert (await guest.message("bye"))[1] == 4403
        await guest.until(lambda: guest.closed)
        assert guest.closed == 4403


async def test_revoking_cuts_the_stream_at_once_and_for_good(room: Room, devices: Source) -> None:
    secret = room.invite()["url"].partition("#")[2]
    async with page(room) as wall, page(room, secret, guest=True) as guest:
        await wall.until(lambda: knocks(wall, "consultant-1"))
        await wall.say("admit", "consultant-1")
        await hello(guest, "scope", "monitor")
        publishing = asyncio.create_task(_publish_for_ever(devices))
        await guest.until(lambda: len(guest.samples("or1/monitor/hr")) > 3)
        revoked_ns, bus_ns = machine.monotonic_ns(), devices.connection.clock.now()
        await wall.say("revoke", "consultant-1")
        await guest.until(lambda: guest.closed)
        publishing.cancel()
        assert guest.closed == 4403
        assert guest.closed_ns - revoked_ns < 1_000_000_000
        late = [h for h, _ in guest.samples("or1/monitor/hr") if h[4] > bus_ns + 500_000_000]
        assert late == []
    cookies_refused = await _reenter(room, secret)
    assert cookies_refused == 403


async def _publish_for_ever(devices: Source) -> None:
    for number in range(100_000):
        devices.say("monitor/hr", NumericValue(number))
        picture(devices, number)
        await asyncio.sleep(0.01)


async def _reenter(room: Room, secret: str) -> int:
    import httpx

    from tests.contract.gateway_bench import enter

    return (await enter(room, secret, httpx.Cookies())).status_code


async def test_history_comes_in_parts_whole_and_in_order(room: Room, devices: Source) -> None:
    async with page(room) as wall:
        await hello(wall, "monitor", "scope")
        times = [devices.say("monitor/hr", NumericValue(n)) for n in range(50)]
        for n in range(400):
            devices.say("monitor/ecg_ii", np.full(1_000, n, np.float32))
        devices.say("monitor/alarms", spo2_low())
        between = devices.say("monitor/alarms", spo2_low(present=False))
        last = devices.say("monitor/alarms", spo2_low(text="again"))
        await devices.connection.drained()
        await wall.until(lambda: len(wall.samples("or1/monitor/alarms")) == 3)
        ask = ["or1/monitor/hr", "or1/monitor/ecg_ii", "or1/monitor/nothing"]
        await wall.say("history", 7, {"addresses": ask, "between": [times[10], 2**62]})
        await wall.until(lambda: any(m[1] == 7 and m[2] for m in wall.all("history")))
        parts = [m for m in wall.all("history") if m[1] == 7]
        assert [m[2] for m in parts] == [False] * (len(parts) - 1) + [True]
        assert len(parts) > 3
        found = wall.history(7)
        seqs = [h[2] for where, h, _ in found if where == "or1/monitor/hr"]
        assert seqs == list(range(10, 50))
        assert len([1 for where, _, _ in found if where == "or1/monitor/ecg_ii"]) == 400
        await wall.say("history", 8, {"addresses": [*ask, "or1/monitor/alarms"], "at": between})
        await wall.message("history", 8)
        state = {where: (header, payload) for where, header, payload in wall.history(8)}
        assert state["or1/monitor/hr"][0][2] == 49
        assert msgpack.unpackb(state["or1/monitor/alarms"][1])["present"] is False
        await wall.say("history", 9, {"addresses": ["or1/monitor/alarms"], "at": last})
        await wall.message("history", 9)
        assert msgpack.unpackb(wall.history(9)[0][2])["text"] == {"en": "again"}


async def test_without_a_recorder_each_publisher_answers_and_a_dead_one_stops_nobody(
    room: Room, devices: Source
) -> None:
    addresses = ["or1/monitor/hr", "or1/ward/temp"]
    async with page(room) as wall:
        async with source(room, "ward") as ward:
            await ward.announce("ward", Numeric("temp", unit="Cel"))
            await hello(wall, "monitor", "ward")
            expected = []
            for number in range(6):
                devices.say("monitor/hr", NumericValue(number))
                ward.say("ward/temp", NumericValue(number))
                expected += [number] * 2
                await wall.count("or1/ward/temp", number + 1)
            await wall.say("history", 1, {"addresses": addresses, "between": [0, 2**62]})
            await wall.message("history", 1, True)
            values = [msgpack.unpackb(payload)[0] for _, _, payload in wall.history(1)]
            assert values == expected
        await wall.say("history", 2, {"addresses": addresses, "between": [0, 2**62]})
        await wall.message("history", 2, True)
        assert {where for where, _, _ in wall.history(2)} == {"or1/monitor/hr"}
        await wall.say("history", 3, {"addresses": ["or1/ward/temp"], "at": 2**62})
        assert "recorder" in (await wall.message("refused", "history", 3))[3]


async def test_the_scrubber_shows_feeds_alarms_and_notes(room: Room, devices: Source) -> None:
    async with page(room) as wall:
        await hello(wall, "monitor", "scope", "consult")
        at_ns = devices.say("monitor/hr", NumericValue(1))
        devices.say("monitor/alarms", spo2_low())
        await wall.say(
            "annotate",
            {"id": "c1", "channel": "", "at_ns": at_ns, "tool": "chapter", "text": "Approach"},
        )
        await wall.until(lambda: wall.samples("or1/consult/notes"))
        await wall.until(lambda: wall.samples("or1/alarms/log"))  # from the board, by another way
        span = {"from_ns": at_ns - 10**9, "to_ns": at_ns + 10**9, "bins": 2}
        await wall.say("lanes", 1, span)
        lanes = (await wall.message("lanes", 1))[2]
        assert set(lanes["feeds"]) == {"monitor", "tracker", "scope"}
        assert max(lanes["feeds"]["monitor"]) == 255
        assert max(lanes["feeds"]["tracker"]) == 0
        ((_, end_ns, priority, text, kind, device),) = lanes["alarms"]
        assert (end_ns, priority, text) == (None, "Hi", "SpO2 low")
        assert (kind, device) == ("Phy", "monitor"), "of the room's log: the source, not the log"
        assert lanes["notes"] == [[at_ns, "OR staff", "chapter", "Approach"]]


async def test_a_viewer_that_stops_reading_costs_the_others_nothing(
    room: Room, devices: Source
) -> None:
    async with page(room) as wall, page(room) as stalled:
        await hello(wall, "monitor", "scope")
        await hello(stalled, "scope")
        stalled.socket.transport.pause_reading()
        for number in range(600):
            devices.say(
                "scope/video", number.to_bytes(4, "big") + bytes(40_000), key=number % 25 == 0
            )
            devices.say("monitor/hr", NumericValue(number))
            await asyncio.sleep(0.002)
        await wall.until(lambda: len(wall.samples("or1/scope/video")) == 600)
        numbers = [h[2] for h, _ in wall.samples("or1/scope/video")]
        assert numbers == list(range(600))
        healths = await wall.until(  # what waits for it is said to everybody
            lambda: [
                health
                for _, payload in wall.samples("or1/consult/health")
                if (health := msgpack.unpackb(payload))["slowest_bytes"] > 100_000
            ]
        )
        assert healths[0]["queued_bytes"] >= healths[0]["slowest_bytes"]
        assert healths[0]["viewers"] == 2
        stalled.socket.transport.resume_reading()
        await stalled.until(
            lambda: (
                stalled.samples("or1/monitor/hr")
                and stalled.samples("or1/monitor/hr")[-1][0][2] == 599
            )
        )
        await stalled.until(lambda: stalled.all("conflated"))
        seen = [h[2] for h, _ in stalled.samples("or1/scope/video")]
        assert len(seen) < 600
        for before, after in pairwise(seen):
            assert after == before + 1 or after % 25 == 0


async def test_a_gateway_that_died_comes_back_knowing_sessions_and_alarms(
    room: Room, devices: Source
) -> None:
    import httpx

    from tests.contract.gateway_bench import enter

    cookies = httpx.Cookies()
    await enter(room, room.wall, cookies)
    port = int(room.origin.rpartition(":")[2])
    async with page(room, cookies=cookies) as wall:
        await hello(wall, "monitor")
        first_ns = devices.say("monitor/alarms", spo2_low())
        devices.say("monitor/hr", NumericValue(66))
        await wall.until(lambda: wall.samples("or1/monitor/hr"))
        assert room.dashboard is not None
        room.dashboard.kill()
        await wall.until(lambda: wall.closed is not None)
    url = room.url
    room.open(port=port)
    assert room.url == url
    async with page(room, cookies=cookies) as wall:
        said = await hello(wall, "monitor")
        assert said["oldest_ns"] <= first_ns
        await wall.until(lambda: wall.samples("or1/monitor/hr"))
        await wall.until(lambda: wall.samples("or1/monitor/alarms"))
        assert msgpack.unpackb(wall.samples("or1/monitor/alarms")[0][1])["present"] is True


async def test_a_replay_refuses_notes_politely_and_announces_no_consultation(
    tmp_path: Path,
) -> None:
    with running_room(tmp_path / "replay", replay=True) as room:
        async with source(room) as devices, page(room) as wall:
            await devices.announce("scope", VIDEO)
            said = await hello(wall, "scope")
            assert said["catalogue"]["replay"] is True
            at_ns = picture(devices, 0)
            await wall.say(
                "annotate",
                {"id": "a", "channel": "or1/scope/video", "at_ns": at_ns, "tool": "pointer"},
            )
            refused = await wall.message("refused", "annotate", "a")
            assert "recording" in refused[3]
            assert wall.closed is None
            assert "consult" not in said["catalogue"]["devices"]


def test_a_note_is_what_the_recorder_stores() -> None:
    note = AnnotationValue(id="a", channel="", at_ns=1, author="consultant 1", tool="pointer")
    assert note.ttl_s == 8.0


async def test_an_acknowledgement_is_everybodys_on_the_bus_and_in_the_audit(
    room: Room, devices: Source
) -> None:
    state, log = "or1/alarms/state", "or1/alarms/log"

    def shown(wall: Page) -> dict[str, Any]:
        found = [msgpack.unpackb(payload) for _, payload in wall.samples(state)]
        conditions = found[-1]["conditions"] if found else []
        return {c["id"]: c for c in conditions if c["id"] == "monitor/spo2_low"}

    async with page(room) as wall, page(room) as other:
        await hello(wall, "monitor", "alarms")
        await hello(other, "monitor")
        devices.say("monitor/hr", NumericValue(66))
        devices.say("monitor/alarms", spo2_low())
        for one in (wall, other):
            await one.until(lambda one=one: shown(one).get("monitor/spo2_low"))  # type: ignore[misc]
        since_ns = shown(wall)["monitor/spo2_low"]["since_ns"]
        for one in (wall, other):  # two people press at once
            await one.say("alarm", {"do": "ack", "seen": [["monitor/spo2_low", since_ns]]})
        for one in (wall, other):
            await one.until(
                lambda one=one: shown(one)["monitor/spo2_low"]["state"] == "acked"  # type: ignore[misc]
            )
        await wall.say("alarm", {"do": "pause"})
        await wall.until(
            lambda: msgpack.unpackb(wall.samples(state)[-1][1])["signals"]["activation"] == "Psd"
        )
        lines = [msgpack.unpackb(payload) for _, payload in other.samples(log)]
        acts = [(line["by"], line["was"]) for line in lines if line["by"]]
        assert acts[0] == ("OR staff", "active")
        assert sum(was == "active" for _, was in acts) == 1
        done = [row for row in room.audit if row["what"] == "acknowledge"]
        assert [(row["entity"], row["who"]["role"]) for row in done] == [
            ("monitor/spo2_low", "or_staff")
        ]
        secret = room.invite()["url"].partition("#")[2]
        async with page(room, secret, guest=True) as guest:
            await wall.until(lambda: knocks(wall, "consultant-1"))
            await wall.say("admit", "consultant-1")
            await hello(guest, "monitor", "alarms")
            await guest.until(lambda: shown(guest).get("monitor/spo2_low"))
            assert shown(guest)["monitor/spo2_low"]["state"] == "acked"
            await guest.say("alarm", {"do": "ack", "seen": []})
            refused = await guest.message("refused", "alarm")
            assert "only the operating room" in refused[3]
