"""Whatever devices, sources and people do, the alarm board keeps its promises."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scot.alarm import MAX_CONDITIONS, PAUSE_NS, Board
from scot.channel import Kind
from scot.codec import encode
from scot.condition import Activation, Entry, Snapshot, State, Why
from scot.sample import AlarmValue, Flags, Sample
from scot.timestamp import ClockState, Timestamp

SECOND_NS = 1_000_000_000
DEVICES = ("monitor", "pump")
NAMES = ("low", "high", "a/b")

words = st.builds(
    AlarmValue,
    id=st.sampled_from(NAMES),
    kind=st.sampled_from(["Phy", "Tec", "?"]),
    priority=st.sampled_from(["None", "Lo", "Me", "Hi", "urgent"]),
    present=st.booleans(),
    presence=st.sampled_from(["On", "Off", "Latch", "Ack"]),
    activation=st.sampled_from(["On", "Psd", "Off"]),
    channel=st.sampled_from(["", "spo2"]),
    text=st.dictionaries(st.sampled_from(["en", "ja"]), st.text(max_size=6), max_size=2),
    value=st.none() | st.floats(),
)
devices = st.sampled_from(DEVICES)
steps = st.one_of(
    st.tuples(st.just("report"), devices, words, st.sampled_from([0, int(Flags.INVALID)])),
    st.tuples(st.just("doubt"), devices, st.sampled_from(list(Why)), st.booleans()),
    st.tuples(st.just("restarted"), devices, st.integers(0, 2)),
    st.tuples(st.just("ack"), st.integers(0, 2)),
    st.tuples(st.just("signal"), st.sampled_from(list(Activation))),
    st.tuples(st.just("wait"), st.integers(0, 40)),
)
HIGH = AlarmValue(id="low", kind="Phy", priority="Hi", present=True)
OVER = AlarmValue(id="low", kind="Phy", priority="None", present=False)
WAITS = AlarmValue(id="low", kind="Phy", priority="Hi", present=True, presence="Off")
LATCH = AlarmValue(id="low", kind="Phy", priority="None", present=False, presence="Latch")
MEDIUM = AlarmValue(id="low", kind="Phy", priority="Me", present=True)
LOW = AlarmValue(id="low", kind="Phy", priority="Lo", present=True)


def do(board: Board, step: tuple[Any, ...], now_ns: int) -> list[Entry]:
    match step:
        case ("report", device, word, flags):
            return board.report(device, word, now_ns, flags=flags)
        case ("doubt", device, why, present):
            channel = "spo2" if why is Why.INVALID else ""
            return board.doubt(why, device, present, now_ns, channel=channel)
        case ("restarted", device, epoch):
            return board.restarted(device, epoch, now_ns)
        case ("ack", which):
            known = board.conditions.values()
            seen = [(one.id, one.since_ns) for one in known if len(one.id) % 3 == which]
            return board.acknowledge(seen, "OR staff", now_ns)
        case ("signal", activation):
            return board.signal(activation, "OR staff", now_ns)
    return board.tick(now_ns)


def run(script: list[tuple[Any, ...]]) -> tuple[Board, list[Entry], int]:
    board, log, now_ns = Board(), [], SECOND_NS
    for step in script:
        now_ns += SECOND_NS * (step[1] if step[0] == "wait" else 1)
        log += do(board, step, now_ns)
    return board, log, now_ns


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, min_size=8, max_size=40))
def test_the_state_is_a_function_of_the_log(script: list[tuple[Any, ...]]) -> None:
    board, log, now_ns = run(script)
    again = Board.replay(log)
    assert (again.conditions, again.signals) == (board.conditions, board.signals)
    assert again.snapshot(now_ns) == board.snapshot(now_ns)


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, max_size=30), st.lists(steps, max_size=15))
def test_a_board_that_was_restored_goes_on_as_the_one_that_never_ended(
    before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    board, _, now_ns = run([step for step in before if step[0] != "restarted"])
    other = Board.restore(board.snapshot(now_ns))
    for step in [step for step in after if step[0] not in ("restarted", "doubt")]:
        now_ns += SECOND_NS
        do(board, step, now_ns)
        do(other, step, now_ns)

    def shown(snapshot: Snapshot) -> list[tuple[str, State]]:
        return sorted((one.id, one.state) for one in snapshot.conditions if one.state.holds)

    assert shown(other.snapshot(now_ns)) == shown(board.snapshot(now_ns))
    assert other.signals == board.signals


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, min_size=8, max_size=40))
def test_nothing_of_a_source_that_cannot_be_relied_on_is_inactive(
    script: list[tuple[Any, ...]],
) -> None:
    for why in (Why.LOST, Why.CLOCK):
        board, _, now_ns = run(script)
        for device in DEVICES:
            board.doubt(why, device, True, now_ns)
            own = board.conditions[f"room/{why.value}/{device}"]
            assert own.state in (State.ACTIVE, State.ACKED), "and a technical alarm says so"
        told = [one.state for one in board.conditions.values() if not one.own]
        assert State.INACTIVE not in told
        assert why is not Why.LOST or set(told) <= {State.UNKNOWN}


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, min_size=8, max_size=40))
def test_an_acknowledgement_is_for_what_was_seen_and_counts_once(
    script: list[tuple[Any, ...]],
) -> None:
    board, _, now_ns = run(script)
    seen = [(one.id, one.since_ns) for one in board.conditions.values()]
    assert board.acknowledge([(n, at - 1) for n, at in seen], "OR staff", now_ns) == []
    board.acknowledge(seen, "OR staff", now_ns)
    once = dict(board.conditions)
    assert board.acknowledge(seen, "OR staff", now_ns + 1) == []
    assert board.conditions == once
    assert all(one.under is not State.ACTIVE for one in once.values())
    assert all(one.under is not State.LATCHED or one.by for one in once.values())


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, min_size=8, max_size=40))
def test_no_pause_outlives_two_minutes_or_a_new_high_priority(
    script: list[tuple[Any, ...]],
) -> None:
    board, _, now_ns = run(script)
    board.signal(Activation.PAUSED, "OR staff", now_ns)
    waiting = Board.replay([Entry(at_ns=now_ns, signals=board.signals)])
    waiting.tick(now_ns + PAUSE_NS - 1)
    assert str(waiting.signals.activation) == "Psd"
    waiting.tick(now_ns + PAUSE_NS)
    assert str(waiting.signals.activation) == "On"
    if "room/lost/monitor" not in {o.id for o in board.conditions.values() if o.said.holds}:
        board.restarted("monitor", 0, now_ns)
        for presence in ("On", "Latch"):  # it may be over before its first word comes
            new = AlarmValue(
                id=f"new {presence}", kind="Phy", priority="Hi", present=True, presence=presence
            )
            board.signal(Activation.PAUSED, "OR staff", now_ns)
            board.report("monitor", new, now_ns)
            assert str(board.signals.activation) == "On"


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, min_size=8, max_size=40))
def test_signals_that_are_off_say_who_did_it_and_since_when(script: list[tuple[Any, ...]]) -> None:
    board, now_ns, said = Board(), SECOND_NS, None
    for step in script:
        now_ns += SECOND_NS
        for entry in do(board, step, now_ns):
            if entry.signals is not None:
                said = None if entry.signals.activation is Activation.ON else entry
        signals = board.signals
        if said is None:
            assert (signals.by, signals.since_ns, signals.until_ns) == ("", None, None)
        else:
            assert (signals.by, signals.since_ns) == (said.by, said.at_ns)
            assert signals.by
            assert (signals.until_ns is None) == (signals.activation is Activation.OFF)


@settings(max_examples=50, deadline=None)
@example([(HIGH, False), (OVER, False), (OVER, False)])
@example([(HIGH, False), (OVER, False), (WAITS, False), (OVER, False)])
@example([(HIGH, False), (WAITS, False), (OVER, False)])
@example([(HIGH, False), (LATCH, False), (OVER, False)])
@example([(HIGH, False), (MEDIUM, False), (OVER, False)])
@example([(HIGH, False), (OVER, False), (MEDIUM, False), (OVER, False)])
@example([(HIGH, False), (MEDIUM, True), (OVER, False)])
@given(st.lists(st.tuples(words, st.booleans()), min_size=12, max_size=30))
def test_a_high_priority_stays_until_somebody_has_seen_it(
    told: list[tuple[AlarmValue, bool]],
) -> None:
    board, now_ns = Board(), SECOND_NS
    unseen: set[str] = set()
    for word, seen in told:
        now_ns += SECOND_NS
        board.report("monitor", word, now_ns)
        one = board.conditions[f"monitor/{word.id}"]
        if one.under is State.ACTIVE and one.priority == "Hi":
            unseen.add(one.id)
        elif one.said is State.ACKED or word.activation == "Off":
            unseen.discard(one.id)  # the device itself has taken its word back
        if seen:
            board.acknowledge([(one.id, one.since_ns)], "OR staff", now_ns)
            unseen.discard(one.id)
        for name in unseen:  # also when it stepped down on its way to the end
            one = board.conditions[name]
            assert one.state.holds
            assert one.unseen == "Hi"
            assert one.under is not State.LATCHED or one.priority == "Hi"


ACK = AlarmValue(id="low", kind="Phy", priority="Hi", present=True, presence="Ack")
HELD = AlarmValue(id="low", kind="Phy", priority="Hi", present=False, presence="Latch")
BAD = int(Flags.INVALID)
Steps = list[tuple[Any, ...]]


@pytest.mark.parametrize(
    ("script", "state"),
    [
        # it stepped down before anybody saw it; and when somebody saw it, it is over
        ([("report", HIGH), ("report", MEDIUM), ("report", OVER)], State.LATCHED),
        ([("report", HIGH), ("report", MEDIUM), ("see",), ("report", OVER)], State.INACTIVE),
        ([("report", HIGH), ("see",), ("report", MEDIUM), ("report", OVER)], State.INACTIVE),
        ([("report", MEDIUM), ("report", OVER)], State.INACTIVE),
        # what its device acknowledged, and then signals again, nobody here has seen
        ([("report", ACK), ("report", HIGH)], State.ACTIVE),
        ([("report", ACK), ("report", HELD)], State.LATCHED),
        # somebody saw it when it was low, nobody when it was high
        ([("report", LOW), ("see",), ("report", HELD)], State.LATCHED),
        ([("report", LOW), ("see",), ("report", HIGH, BAD), ("report", HIGH)], State.ACTIVE),
        # a word that its device disowns takes no priority away
        ([("report", HIGH), ("report", OVER, BAD), ("report", OVER)], State.LATCHED),
        # seen, it is over; but its condition waits to signal again
        ([("report", HIGH), ("report", WAITS), ("see",)], State.PENDING),
        ([("report", HIGH), ("see",), ("report", HELD)], State.INACTIVE),
        # a publisher that starts again and again, or falls silent, has not told that it is over
        ([("report", LOW), ("new", 1), ("wait", 14), ("new", 2), ("wait", 5)], State.UNKNOWN),
        ([("report", LOW), ("new", 1), ("lost", True), ("wait", 20), ("lost", False)],
         State.UNKNOWN),
        ([("report", LOW), ("new", 1), ("wait", 16)], State.INACTIVE),
    ],
)  # fmt: skip
def test_words_in_any_order_hide_nothing_that_nobody_has_seen(script: Steps, state: State) -> None:
    board, now_ns = Board(), SECOND_NS
    for step in script:
        now_ns += SECOND_NS
        match step:
            case ("report", word, *flags):
                board.report("monitor", word, now_ns, flags=sum(flags))
            case ("see",):
                seen = [(one.id, one.since_ns) for one in board.conditions.values()]
                assert board.acknowledge(seen, "OR staff", now_ns)
            case ("new", epoch):
                board.restarted("monitor", epoch, now_ns)
            case ("lost", present):
                board.doubt(Why.LOST, "monitor", present, now_ns)
            case ("wait", seconds):
                for _ in range(seconds):
                    now_ns += SECOND_NS
                    board.tick(now_ns)
    one = board.conditions["monitor/low"]
    assert one.state is state
    if state in (State.ACTIVE, State.LATCHED):
        assert one.priority == "Hi"
        assert board.acknowledge([(one.id, one.since_ns)], "OR staff", now_ns), "it can be seen"


def test_a_room_in_which_everything_is_wrong_still_fits_into_one_sample() -> None:
    board = Board()
    for number in range(300):
        long = {str(k) * 160: "\u3042" * 160 for k in range(4)}
        word = AlarmValue(id=f"{number:0160}", kind="Phy", priority="Hi", present=True, text=long)
        board.report("monitor", word, number)
    board.doubt(Why.LOST, "monitor", True, 1)
    for number in range(1_000):
        text = {"en": "x" * 400, "ja": "\u3042" * 400}
        board.doubt(Why.INVALID, "monitor", True, number, channel=f"c{number}", text=text)
    snapshot = board.snapshot(1_000)
    value = msgspec.to_builtins(snapshot)
    time = Timestamp(None, 1_000, 1, 1, ClockState.LOCKED)
    encode(Sample("or1/alarms/state", 1, 0, time, Flags(0), value), Kind.EVENT)
    told = {one.id for one in snapshot.conditions}
    assert sum(not name.startswith("room/") for name in told) == MAX_CONDITIONS
    assert "room/lost/monitor" in told
