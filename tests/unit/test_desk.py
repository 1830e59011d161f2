"""The broker's desk: who may ask what, who answers, and who has fallen silent."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from scot.access import Grant
from scot.bus.desk import (
    CHANGE_EVERY_NS,
    CHANGES_AT_ONCE,
    MAX_ADDRESSES,
    MAX_ANSWER_BYTES,
    MAX_CATALOGUE_BYTES,
    MAX_DEVICE_BYTES,
    SILENT_NS,
    Desk,
    Out,
    Welcome,
)
from scot.bus.questions import ANSWER_WITHIN_NS, MAX_PENDING, MAX_PENDING_OF_KEY
from scot.channel import Catalogue, Channel, Device, Event, Lifecycle, Numeric
from scot.clock.probe import Request
from scot.clock.sealed import Asking, ProbeKey, ProbeKeys
from scot.codec import read_header, unbundle
from scot.command import Ask, Outcome, State
from scot.history import HistoryReply, HistoryRequest
from scot.timestamp import ClockState, Timestamp

S = 1_000_000_000
GRANTS = [
    Grant(name="monitor", publish=["or1/monitor/"], devices=["monitor"], subscribe=["or1/room/"]),
    Grant(name="tracker", publish=["or1/tracker/"], devices=["tracker"]),
    Grant(name="recorder", subscribe=["or1/"], serve=True),
    Grant(name="console", subscribe=["or1/"]),
    Grant(name="nurse", command=["or1/monitor/", "or1/player/"], role="or_staff"),
    Grant(name="numerics", subscribe=["or1/monitor/hr"]),
    Grant(name="player", devices=["*"], subscribe=["or1/"], serve=True),
    *(Grant(name=f"reader{n}", subscribe=["or1/"]) for n in range(20)),
]
MONITOR = Device(
    name="monitor",
    provider="sdc",
    state=Lifecycle.RUNNING,
    channels={"hr": Numeric("hr"), "rr": Numeric("rr")},
)
TRACKER = Device(name="tracker", provider="openigtlink", state=Lifecycle.RUNNING)


class Room:
    """A desk with clients in front of it and a hand on its clock."""

    def __init__(self, replay: bool = False) -> None:
        self.now_ns = 100 * S
        self.versions: list[int] = []
        self.steps: list[dict[str, Any]] = []
        self.desk = Desk(
            7,
            Catalogue(workspace="or1", replay=replay),
            {grant.name: grant for grant in GRANTS},
            lambda catalogue: self.versions.append(catalogue.version),
            self.steps.append,
        )

    def send(self, user: str, verb: bytes, body: Any = None, request: bytes = b"r1") -> list[Out]:
        data = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
        return self.desk.on(user.encode(), user, [request, verb, data], self.now_ns)

    def ask(self, user: str, **more: Any) -> list[Out]:
        plain = {"addresses": ["or1/monitor/hr"], "between": (0, 10), **more}
        return self.send(user, b"history", HistoryRequest(**plain))

    def state(self, device: str = "monitor") -> Lifecycle:
        return self.desk.catalogue.devices[device].state

    def wait(self, ns: int) -> list[Out]:
        self.now_ns += ns
        return self.desk.tick(self.now_ns)


@pytest.fixture
def room() -> Room:
    return Room()


def answer(out: list[Out], to: str, request: bytes = b"r1") -> Any:
    assert len(out) == 1
    identity, (request_id, status, body, *_) = out[0]
    assert (identity, request_id, status) == (to.encode(), request, b"ok")
    return msgspec.msgpack.decode(body)


def refusal(out: list[Out], to: str) -> str:
    assert len(out) == 1
    identity, (request_id, status, body) = out[0]
    assert (identity, request_id, status) == (to.encode(), b"r1", b"no")
    return str(msgspec.msgpack.decode(body))


def test_hello_tells_broker_and_catalogue_version(room: Room) -> None:
    got = msgspec.convert(answer(room.send("console", b"hello"), "console"), Welcome)
    assert got == Welcome(broker=7, catalogue_version=0)


def test_the_catalogue_is_there_for_every_key(room: Room) -> None:
    room.send("monitor", b"announce", MONITOR)
    got = msgspec.convert(answer(room.send("numerics", b"catalogue"), "numerics"), Catalogue)
    assert got.devices == {"monitor": MONITOR}


# -- announcing


def test_a_device_is_announced_by_the_key_that_may(room: Room) -> None:
    assert answer(room.send("monitor", b"announce", MONITOR), "monitor") == 1
    assert room.desk.catalogue.devices["monitor"] == MONITOR
    assert room.versions == [1]


def large(name: str, size: int) -> Device:
    """A device whose announcement takes about so many bytes."""
    return Device(name=name, provider="x", reason="y" * (size - 100))


def test_no_device_makes_a_catalogue_that_nobody_can_take(room: Room) -> None:
    text = refusal(room.send("player", b"announce", large("a", MAX_DEVICE_BYTES + 200)), "player")
    assert f"exceeds {MAX_DEVICE_BYTES} B" in text
    count = MAX_CATALOGUE_BYTES // MAX_DEVICE_BYTES
    for number in range(count):
        answer(room.send("player", b"announce", large(f"d{number}", MAX_DEVICE_BYTES)), "player")
    text = refusal(room.send("player", b"announce", large("more", MAX_DEVICE_BYTES)), "player")
    assert text.startswith(f"'more' would make the catalogue larger than {MAX_CATALOGUE_BYTES} B")
    assert set(room.desk.catalogue.devices) == {f"d{number}" for number in range(count)}
    answer(room.send("player", b"announce", large("d0", MAX_DEVICE_BYTES - 1)), "player")


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ({"name": "other", "kind": "numeric"}, "the channel there is called 'other'"),
        ({"name": "hr", "kind": "numeric", "rate_hz": math.nan}, "rate_hz is nan"),
        ({"name": "hr", "kind": "numeric", "stale_after_s": math.inf}, "stale_after_s is inf"),
        ({"name": "hr", "kind": "numeric", "attrs": {"a": {1: 2}}}, "key 1 is not a string"),
    ],
)
def test_a_channel_that_makes_no_sense_is_refused(
    room: Room, channel: dict[str, Any], why: str
) -> None:
    device = {"name": "monitor", "provider": "sdc", "channels": {"hr": channel}}
    assert why in refusal(room.send("monitor", b"announce", device), "monitor")
    assert room.desk.catalogue.devices == {}


def test_a_key_that_changes_the_catalogue_all_the_time_has_to_wait(room: Room) -> None:
    """Each change is fetched by everybody; saying the same again changes nothing."""
    for number in range(CHANGES_AT_ONCE):
        changed = msgspec.structs.replace(MONITOR, reason=f"{number}")
        answer(room.send("monitor", b"announce", changed), "monitor")
    text = refusal(room.send("monitor", b"announce", MONITOR), "monitor")
    assert text == "key 'monitor' changes its devices too often; announce again later"
    answer(room.send("monitor", b"announce", changed), "monitor")
    answer(room.send("tracker", b"announce", TRACKER), "tracker")
    room.now_ns += CHANGE_EVERY_NS
    answer(room.send("monitor", b"announce", MONITOR), "monitor")


@pytest.mark.parametrize("user", ["tracker", "console", "recorder"])
def test_nobody_announces_a_device_that_is_not_theirs(room: Room, user: str) -> None:
    text = refusal(room.send(user, b"announce", MONITOR), user)
    assert text == f"key {user!r} may not announce device 'monitor'"
    assert room.desk.catalogue.devices == {}
    assert room.desk.refused == 1


def test_a_player_announces_any_device(room: Room) -> None:
    room.send("player", b"announce", MONITOR)
    room.send("player", b"announce", TRACKER)
    assert set(room.desk.catalogue.devices) == {"monitor", "tracker"}


def test_announcing_the_same_again_changes_nothing(room: Room) -> None:
    for _ in range(3):
        room.send("monitor", b"announce", MONITOR)
    assert room.versions == [1]


def test_a_key_without_a_grant_gets_nothing_at_all(room: Room) -> None:
    for verb in (b"hello", b"ping", b"catalogue", b"announce", b"serve", b"history"):
        assert refusal(room.send("nobody", verb), "nobody") == "key 'nobody' has no grant"


# -- liveness


def test_a_silent_host_is_disconnected_within_two_seconds_and_shown_again_when_it_is_back(
    room: Room,
) -> None:
    room.send("monitor", b"announce", MONITOR)
    room.wait(SILENT_NS)
    assert room.state() is Lifecycle.RUNNING
    room.wait(1)
    assert room.state() is Lifecycle.DISCONNECTED
    reason = room.desk.catalogue.devices["monitor"].reason
    assert reason == "its host 'monitor' has been silent for more than 1.8 s"
    room.wait(60 * S)
    assert room.versions == [1, 2]
    room.send("monitor", b"ping")
    assert room.desk.catalogue.devices["monitor"] == MONITOR
    assert room.versions == [1, 2, 3]


def test_any_word_keeps_a_host_alive_and_only_its_own(room: Room) -> None:
    room.send("monitor", b"announce", MONITOR)
    room.send("tracker", b"announce", TRACKER)
    for _ in range(5):
        room.wait(SILENT_NS // 2)
        room.send("monitor", b"ping")
    assert room.state("monitor") is Lifecycle.RUNNING
    assert room.state("tracker") is Lifecycle.DISCONNECTED


# -- History


def served(room: Room) -> Room:
    room.send("monitor", b"announce", MONITOR)
    room.send("recorder", b"serve", request=b"s1")
    return room


def forwarded(out: list[Out], to: str) -> bytes:
    """The key under which a question was put to its holder."""
    assert len(out) == 1
    identity, (key, verb, _) = out[0]
    assert (identity, verb) == (to.encode(), b"ask")
    return key


@pytest.mark.parametrize(
    ("more", "holder"),
    [
        ({"between": (0, 10)}, "recorder"),
        ({"between": None, "at": 5}, "recorder"),
        ({"between": None, "seqs": (1, 0, 5)}, "monitor"),
        ({"holder": "publisher"}, "monitor"),
        ({"holder": "recorder"}, "recorder"),
        ({"between": None, "seqs": (1, 0, 5), "holder": "recorder"}, "recorder"),
    ],
)
def test_a_question_goes_to_its_holder_and_the_answer_back(
    room: Room, more: dict[str, Any], holder: str
) -> None:
    key = forwarded(served(room).ask("console", **more), holder)
    reply = msgspec.msgpack.encode(HistoryReply())
    parts = [key, b"answer", reply, b"one bundle", b"another"]
    out = room.desk.on(holder.encode(), holder, parts, room.now_ns)
    assert out == [Out(b"console", [b"r1", b"ok", reply, b"one bundle", b"another"])]


def test_without_a_recorder_the_publisher_answers_for_its_own(room: Room) -> None:
    room.send("monitor", b"announce", MONITOR)
    forwarded(room.ask("console"), "monitor")


@pytest.mark.parametrize(
    "more",
    [
        {"addresses": ["or1/ghost/hr"]},
        {"addresses": []},
        {"addresses": ["or1/monitor/hr"], "holder": "recorder"},
    ],
)
def test_what_nobody_holds_is_refused_in_words(room: Room, more: dict[str, Any]) -> None:
    room.send("monitor", b"announce", MONITOR)
    text = refusal(room.ask("console", **more), "console")
    assert text == "nobody holds this History: no recorder is running"


@pytest.mark.parametrize(
    "addresses",
    [["or1/monitor/rr"], ["or1/monitor/hr", "or1/tracker/probe"], [""], ["or1/"], ["or2/a/b"]],
)
def test_history_beyond_a_grant_is_refused(room: Room, addresses: list[str]) -> None:
    text = refusal(served(room).ask("numerics", addresses=addresses), "numerics")
    assert text == f"key 'numerics' may not read {addresses[-1]!r}"
    assert room.ask("numerics")[0].parts[1] == b"ask"


def test_only_a_key_that_serves_may_answer_for_others(room: Room) -> None:
    text = refusal(room.send("monitor", b"serve"), "monitor")
    assert text == "key 'monitor' may not answer History for others"


def test_a_question_that_is_not_answered_ends_in_an_error(room: Room) -> None:
    key = forwarded(served(room).ask("console"), "recorder")
    assert room.wait(ANSWER_WITHIN_NS) == []
    text = refusal(room.wait(1), "console")
    assert text == "'recorder' did not answer within 15 s"
    late = room.desk.on(b"recorder", "recorder", [key, b"answer", b"\xc0"], room.now_ns)
    assert late == []


def test_an_answer_from_somebody_else_is_not_passed_on(room: Room) -> None:
    key = forwarded(served(room).ask("console"), "recorder")
    forged = room.desk.on(b"monitor", "monitor", [key, b"answer", b"\xc0"], room.now_ns)
    assert forged == []
    assert room.desk.refused == 1
    true = room.desk.on(b"recorder", "recorder", [key, b"answer", b"\xc0"], room.now_ns)
    assert true[0].identity == b"console"


def test_a_recorder_that_is_gone_is_no_longer_asked(room: Room) -> None:
    served(room)
    for _ in range(5):
        room.wait(S)
        room.send("monitor", b"ping")
    forwarded(room.ask("console"), "monitor")


def test_a_recorder_is_asked_where_it_now_is(room: Room) -> None:
    served(room)
    room.wait(5 * S)  # its link is cut; it comes back by another connection, and only pings
    room.desk.on(b"another", "recorder", [b"p", b"ping", b"\xc0"], room.now_ns)
    forwarded(room.ask("console"), "another")


def test_a_recorder_that_begins_anew_is_asked_once_it_says_that_it_serves(room: Room) -> None:
    served(room)
    room.send("monitor", b"ping")
    room.send("recorder", b"hello")
    forwarded(room.ask("console"), "monitor")


def test_of_what_an_earlier_broker_published_the_recorder_is_asked(room: Room) -> None:
    ask = HistoryRequest(addresses=["or1/room/clock"], seqs=(3, 1, 2), holder="recorder")
    forwarded(served(room).send("console", b"history", ask), "recorder")


def test_of_two_that_serve_the_one_that_answers_is_asked(room: Room) -> None:
    served(room)
    room.send("player", b"serve")
    key = forwarded(room.ask("console"), "player")  # it offered last, and says nothing
    for _ in range(5):
        room.wait(S)
        room.send("recorder", b"ping")
        room.send("player", b"ping")
    forwarded(room.ask("console"), "recorder")
    room.desk.on(b"player", "player", [key, b"answer", b"\xc0"], room.now_ns)
    forwarded(room.ask("console"), "player")  # late, but it does answer


def test_a_question_to_one_that_is_gone_is_put_to_another_that_serves(room: Room) -> None:
    served(room)
    room.send("player", b"serve")
    key = forwarded(room.ask("console"), "player")
    out = []
    for _ in range(4):
        room.send("recorder", b"ping")
        out += room.wait(S)
    assert forwarded(out, "recorder") == key
    late = room.desk.on(b"player", "player", [key, b"answer", b"\xc0"], room.now_ns)
    assert late == []
    (given,) = room.desk.on(b"recorder", "recorder", [key, b"answer", b"\xc0"], room.now_ns)
    assert given.identity == b"console"


def test_what_only_its_publisher_can_answer_is_put_to_nobody_else(room: Room) -> None:
    served(room)
    forwarded(room.ask("console", holder="publisher"), "monitor")
    for _ in range(6):
        room.send("recorder", b"ping")
        assert room.wait(S) == []


def test_a_wish_goes_to_the_player_whoever_else_serves() -> None:
    room = Room(replay=True)
    wish = msgspec.msgpack.encode({"playing": True})
    assert "no player is there" in refusal(room.send("nurse", b"play", wish), "nurse")
    room.send("player", b"announce", Device(name="player", provider="scot.player"))
    room.send("recorder", b"serve")
    (handed,) = room.send("nurse", b"play", wish)
    assert (handed.identity, handed.parts[1]) == (b"player", b"play")


def test_a_key_that_asks_too_much_waits_and_others_do_not(room: Room) -> None:
    asked = [room.send("console", b"ping") for _ in range(1_001)]
    assert all(out[0].parts[1] == b"ok" for out in asked)
    text = refusal(room.send("console", b"ping"), "console")
    assert text == (
        "key 'console' asks more than its quota of 1000 questions a second; ask again in 0.1 s"
    )
    flood = [out for _ in range(10_000) for out in room.send("console", b"ping")]
    assert len(flood) < 100, "to say no again and again would cost what it saves"
    answer(room.send("tracker", b"ping"), "tracker")
    room.desk.refusals.clear()
    room.wait(S)
    assert [(one.user, one.times) for one in room.desk.refusals] == [("console", 10_001)]
    answer(room.send("console", b"ping"), "console")


def test_who_answers_is_not_asking(room: Room) -> None:
    served(room)
    keys = [forwarded(room.ask(f"reader{n}"), "recorder") for n in range(20)]
    for _ in range(2_000):
        room.send("recorder", b"ping")
    for key in keys:
        assert room.desk.on(b"recorder", "recorder", [key, b"answer", b"\xc0"], room.now_ns)


def test_a_flood_of_questions_is_bounded(room: Room) -> None:
    served(room)
    for number in range(MAX_PENDING):
        assert room.ask(f"reader{number // MAX_PENDING_OF_KEY}")[0].parts[1] == b"ask"
    assert "1000 questions are waiting" in refusal(room.ask("console"), "console")
    room.wait(ANSWER_WITHIN_NS + 1)
    room.send("recorder", b"serve", request=b"s2")
    assert room.ask("console")[0].parts[1] == b"ask"


def test_one_key_s_flood_of_questions_leaves_room_for_others(room: Room) -> None:
    served(room)
    for _ in range(MAX_PENDING_OF_KEY):
        assert room.ask("console")[0].parts[1] == b"ask"
    assert "64 questions of key 'console' are waiting" in refusal(room.ask("console"), "console")
    assert room.ask("numerics")[0].parts[1] == b"ask"


def test_a_question_is_handed_on_in_bounds(room: Room) -> None:
    """A holder would read the whole case into memory, or the same channel 4,000 times."""
    served(room)
    many = ["or1/monitor/hr", "or1/monitor/rr"] * (MAX_ADDRESSES // 2)
    (out,) = room.ask("console", addresses=many, max_bytes=2**62)
    asked = msgspec.msgpack.decode(out.parts[2], type=HistoryRequest)
    assert asked.addresses == ["or1/monitor/hr", "or1/monitor/rr"]
    assert asked.max_bytes == MAX_ANSWER_BYTES
    text = refusal(room.ask("console", addresses=[*many, "or1/monitor/hr"]), "console")
    assert text == f"{MAX_ADDRESSES + 1} addresses in one question, of {MAX_ADDRESSES}"


def test_what_the_broker_published_itself_it_answers_itself(room: Room) -> None:
    clock = Event("clock")
    said = [
        room.desk.own(clock, {"n": n}, Timestamp(None, n, 0, 0, ClockState.LOCKED))
        for n in range(3)
    ]
    assert [(read_header(f).epoch, read_header(f).seq) for f in said] == [(7, 0), (7, 1), (7, 2)]
    assert said[0].address == "or1/room/clock"
    ask = HistoryRequest(addresses=["or1/room/clock"], seqs=(7, 1, 2))
    out = served(room).send("monitor", b"history", ask)
    assert unbundle(out[0].parts[3:]) == said[1:3]


# -- nonsense


HOSTILE = [
    b"",
    b"\xc1",
    b"\x91" * 100_000 + b"\xc0",
    b"\xdd\xff\xff\xff\xff",
    b"\xdd\x00\x10\x00\x00" + b"\x90" * 0x100000,
    msgspec.msgpack.encode({"name": 3}),
    msgspec.msgpack.encode({"name": "monitor", "provider": "x", "channels": {"a/b": 1}}),
    msgspec.msgpack.encode({"addresses": "or1/"}),
    msgspec.msgpack.encode([]),
]


@pytest.mark.parametrize("body", HOSTILE)
@pytest.mark.parametrize("verb", [b"announce", b"history"])
def test_a_malformed_body_is_refused_and_the_desk_goes_on(
    room: Room, verb: bytes, body: bytes
) -> None:
    assert refusal(room.send("monitor", verb, body), "monitor")
    assert answer(room.send("monitor", b"ping"), "monitor")


def test_a_channel_with_a_wrong_name_is_refused(room: Room) -> None:
    body = msgspec.to_builtins(MONITOR)
    body["channels"]["a/b"] = {"name": "a/b", "kind": "numeric"}
    assert "'a/b' is not allowed" in refusal(room.send("monitor", b"announce", body), "monitor")


@pytest.mark.parametrize("parts", [[], [b"r"], [b"r", b"hello"], [b"r" * 17, b"hello", b"\xc0"]])
def test_a_message_that_is_none_is_not_answered(room: Room, parts: list[bytes]) -> None:
    assert room.desk.on(b"console", "console", parts, room.now_ns) == []
    assert room.desk.refused == 1


def test_an_unknown_verb_is_refused(room: Room) -> None:
    assert "unknown verb b'explode'" in refusal(room.send("console", b"explode"), "console")


def test_a_device_of_a_thousand_channels_is_welcome(room: Room) -> None:
    many: dict[str, Channel] = {
        f"c{n}": Event(f"c{n}", label={"en": "One of many", "ja": "多数の一つ"})
        for n in range(1000)
    }
    assert answer(
        room.send("monitor", b"announce", msgspec.structs.replace(MONITOR, channels=many)),
        "monitor",
    )


def test_a_device_whose_description_would_swell_is_refused(room: Room) -> None:
    """200 kB on the wire, 13 MB as lists."""
    channel = Event("one", attrs={"a": [[]] * 200_000})
    device = msgspec.structs.replace(MONITOR, channels={"one": channel})
    text = refusal(room.send("monitor", b"announce", device), "monitor")
    assert text == "more than 100000 items"


def test_a_command_goes_to_the_host_that_announced_the_device_and_its_answer_comes_back() -> None:
    room = Room()
    room.send("monitor", b"announce", MONITOR)
    call = Ask(address="or1/monitor/nibp_start", key="k1")
    (out,) = room.send("nurse", b"command", call)
    assert (out.identity, out.parts[1]) == (b"monitor", b"command")
    answer = msgspec.msgpack.encode(Outcome(address=call.address, key="k1", state=State.DONE))
    back = room.desk.on(b"monitor", "monitor", [out.parts[0], b"commanded", answer], room.now_ns)
    assert back == [Out(b"nurse", [b"r1", b"ok", answer])]
    assert room.steps == []


def test_a_command_for_a_host_that_fell_silent_is_refused_and_in_the_record() -> None:
    room = Room()
    room.send("monitor", b"announce", MONITOR)
    room.now_ns += SILENT_NS + 1
    (out,) = room.send("nurse", b"command", Ask(address="or1/monitor/nibp_start", key="k1"))
    assert out.parts[1] == b"ok"
    assert [step["why"] for step in room.steps] == ["no_device"]
    (out,) = room.send("console", b"command", Ask(address="or1/monitor/nibp_start", key="k1"))
    assert [step["why"] for step in room.steps] == ["no_device", "grant"]


def test_an_answer_to_no_call_is_counted() -> None:
    room = Room()
    refused = room.desk.refused
    (out,) = room.send("monitor", b"commanded", Outcome(address="a", key="k", state=State.DONE))
    assert out.parts[1] == b"no"
    assert room.desk.refused == refused + 1


def test_a_probe_key_is_for_whom_the_desk_knows_and_only_where_there_is_udp() -> None:
    room = Room()
    (answer,) = room.send("monitor", b"probe_key", b"\xc4\x03one")
    assert answer.parts[1] == b"no"
    assert "takes no clock probes over UDP" in msgspec.msgpack.decode(answer.parts[2])
    keys = ProbeKeys(lambda length: bytes(range(length)))
    grants = {grant.name: grant for grant in GRANTS}
    desk = Desk(7, Catalogue(workspace="or1"), grants, lambda _: None, probe_keys=keys)
    for user, body in (
        ("stranger", b"\xc4\x03one"),
        ("monitor", b"\xc0"),
        ("monitor", b"\xc4\x00"),
    ):
        (answer,) = desk.on(b"c", user, [b"r1", b"probe_key", body], S)
        assert answer.parts[1] == b"no"
    assert len(keys) == 0
    (answer,) = desk.on(b"c", "monitor", [b"r1", b"probe_key", b"\xc4\x03one"], S)
    assert answer.parts[1] == b"ok"
    given = msgspec.msgpack.decode(answer.parts[2], type=ProbeKey)
    question = keys.open(Asking(given).ask(Request(1, None)), S)
    assert question is not None
    assert (question.user, question.instance) == ("monitor", b"one")


def test_a_desk_of_a_recording_passes_no_command_on() -> None:
    steps: list[dict[str, Any]] = []
    desk = Desk(
        7,
        Catalogue(workspace="or1", replay=True),
        {grant.name: grant for grant in GRANTS},
        lambda _: None,
        steps.append,
    )
    call = msgspec.msgpack.encode(Ask(address="or1/monitor/nibp_start", key="k"))
    (out,) = desk.on(b"nurse", "nurse", [b"r", b"command", call], 0)
    assert out.identity == b"nurse"
    assert [step["why"] for step in steps] == ["replay"]
