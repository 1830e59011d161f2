"""A probe in a datagram is believed from its key's holder, once, and from nobody else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot.clock import sealed
from scot.clock.busmap import BusMap
from scot.clock.probe import MAX_INSTANCE, Probe, Reply, Request, encode, read_request
from scot.clock.sealed import ANSWER, ASK, ROOM, SIZE, Asking, ProbeKey, ProbeKeys, seal, unseal
from scot.errors import BusError, RemoteProtocolError
from scot.timestamp import ClockState

MS, S = 1_000_000, 1_000_000_000
MOST = 2**63 - 1
REQUEST = Request(7_000, Probe(1, 2, 3, 4))


def tokens() -> Callable[[int], bytes]:
    """Bytes that are never the same twice, and the same in each run."""
    numbers = count(1)
    return lambda length: next(numbers).to_bytes(length, "little")


def issued(user: str = "monitor", instance: bytes = b"one") -> tuple[ProbeKeys, Asking]:
    keys = ProbeKeys(tokens())
    return keys, Asking(keys.issue(user, instance, 0))


def test_a_question_comes_through_whole_with_whose_it_is() -> None:
    keys, asking = issued()
    question = keys.open(asking.ask(REQUEST), 5 * S)
    assert question is not None
    assert (question.user, question.instance, question.number) == ("monitor", b"one", 1)
    assert read_request(question.message) == REQUEST
    assert not keys.refused


def test_the_longest_messages_fit_and_every_datagram_has_the_one_size() -> None:
    key = ProbeKey(id=bytes(16), key=bytes(32))
    longest = BusMap(MOST, MOST, MOST, MOST, 1.0, MOST, MOST, ClockState.UNSYNCED, MOST, MOST)
    negative = BusMap(MOST, MOST, -MOST, -MOST, 1.0, MOST, MOST, ClockState.UNSYNCED, MOST, MOST)
    probe = Probe(MOST, MOST, MOST, MOST)
    for message in (
        encode(Request(0, None)),
        encode(Request(MOST, probe, bytes(MAX_INSTANCE))),
        encode(Reply(MOST, MOST, MOST, longest)),
        encode(Reply(MOST, MOST, MOST, negative)),
    ):
        assert len(message) <= ROOM
        for side in (ASK, ANSWER):
            datagram = seal(key, side, 2**64 - 1, message)
            assert len(datagram) == SIZE == 160
            assert unseal(key, side, datagram) == (2**64 - 1, message)


@pytest.mark.parametrize("bit", [0, 7, 127, 128, 191, 192, 200, 300, 8 * 144 - 1, 8 * SIZE - 1])
def test_a_datagram_of_which_one_bit_was_turned_gets_no_answer(bit: int) -> None:
    keys, asking = issued()
    datagram = bytearray(asking.ask(REQUEST))
    datagram[bit // 8] ^= 1 << bit % 8
    assert keys.open(bytes(datagram), S) is None
    assert keys.refused == {"stranger" if bit < 128 else "forged": 1}
    assert +keys.refused_of == ({} if bit < 128 else {"monitor": 1})
    datagram[bit // 8] ^= 1 << bit % 8
    assert keys.open(bytes(datagram), S) is not None


@given(st.binary(max_size=2 * SIZE))
def test_no_bytes_of_a_stranger_are_believed(data: bytes) -> None:
    keys, asking = issued()
    assert keys.open(data, S) is None
    assert keys.open(asking.key.id + data, S) is None
    assert asking.answered(data) is None
    assert asking.answered((asking.key.id + data)[:SIZE]) is None
    assert keys.refused.total() == 2
    assert asking.refused == 2


def test_a_datagram_longer_or_shorter_gets_no_answer() -> None:
    keys, asking = issued()
    datagram = asking.ask(REQUEST)
    for wrong in (b"", datagram[:-1], datagram + b"\0", datagram[:16], datagram * 2):
        assert keys.open(wrong, S) is None
    assert keys.refused == {"size": 5}


def test_a_question_counts_once_and_an_older_one_never_again() -> None:
    keys, asking = issued()
    first, second = asking.ask(REQUEST), asking.ask(REQUEST)
    assert keys.open(second, S) is not None
    assert keys.open(second, S) is None
    assert keys.open(first, S) is None
    assert keys.refused == {"replayed": 2}


def test_a_question_thrown_back_is_no_answer() -> None:
    _, asking = issued()
    assert asking.answered(asking.ask(REQUEST)) is None
    reply = encode(Reply(REQUEST.t1_ns, 10, 11, None))
    assert asking.answered(seal(asking.key, ASK, 1, reply)) is None  # whatever it says
    assert asking.refused == 2


def test_an_answer_is_taken_once_and_only_to_a_question_under_way() -> None:
    keys, asking = issued()
    question = keys.open(asking.ask(REQUEST), S)
    assert question is not None
    reply = Reply(REQUEST.t1_ns, 10, 11, None)
    answer = seal(question.key, ANSWER, question.number, encode(reply))
    for number, other in (
        (question.number + 1, reply),  # never asked
        (question.number, Reply(REQUEST.t1_ns + 1, 10, 11, None)),  # another question's
    ):
        assert asking.answered(seal(question.key, ANSWER, number, encode(other))) is None
    assert asking.answered(answer) == reply
    assert asking.answered(answer) is None
    assert asking.refused == 3


def test_an_answer_that_is_no_message_is_refused() -> None:
    _, asking = issued()
    asking.ask(REQUEST)
    for message in (b"", b"\xc1" * ROOM, encode(Request(1, None))):
        assert asking.answered(seal(asking.key, ANSWER, 1, message)) is None


def test_questions_that_are_never_answered_are_forgotten_in_the_end() -> None:
    _, asking = issued()
    for number in range(sealed.UNDER_WAY + 1):
        asking.ask(Request(number, None))
    reply = encode(Reply(0, 1, 2, None))
    assert asking.answered(seal(asking.key, ANSWER, 1, reply)) is None
    late = encode(Reply(1, 1, 2, None))
    assert asking.answered(seal(asking.key, ANSWER, 2, late)) is not None


def test_a_burst_is_answered_and_a_flood_is_not() -> None:
    """Forty at once, then forty in each second, whatever a key's holder sends."""
    keys, asking = issued()
    answered = [keys.open(asking.ask(REQUEST), 100 * S) is not None for _ in range(1_000)]
    assert sum(answered) == 40
    assert all(answered[:40])
    later = sum(keys.open(asking.ask(REQUEST), 100 * S + n * MS) is not None for n in range(1_000))
    assert 38 <= later <= 40
    assert keys.refused["hurried"] == 2_000 - 40 - later
    other = Asking(keys.issue("pump", b"one", 101 * S))
    assert keys.open(other.ask(REQUEST), 101 * S) is not None


def test_one_process_has_one_key_and_its_older_one_is_void() -> None:
    keys, asking = issued()
    newer = Asking(keys.issue("monitor", b"one", S))
    assert len(keys) == 1
    assert keys.open(asking.ask(REQUEST), S) is None
    assert keys.open(newer.ask(REQUEST), S) is not None
    assert newer.key.key != asking.key.key


def test_one_user_cannot_take_everybodys_keys() -> None:
    """Of more than sixteen the one used longest ago makes way; others' stay."""
    keys, asking = issued("pump")
    theirs = [Asking(keys.issue("monitor", bytes([n]), n)) for n in range(sealed.MAX_OF_USER)]
    assert keys.open(theirs[0].ask(REQUEST), S) is not None
    for n in range(100, 100 + sealed.MAX_OF_USER - 1):
        keys.issue("monitor", bytes([n]), S)
    assert len(keys) == sealed.MAX_OF_USER + 1
    assert keys.open(theirs[0].ask(REQUEST), S) is not None
    assert keys.open(theirs[1].ask(REQUEST), S) is None
    assert keys.open(asking.ask(REQUEST), S) is not None


def test_a_full_table_gives_a_key_only_for_one_that_nobody_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sealed, "MAX_KEYS", 3)
    keys = ProbeKeys(tokens())
    first = Asking(keys.issue("a", b"1", 0))
    for user in ("b", "c"):
        keys.issue(user, b"1", S)
    with pytest.raises(BusError, match="all 3 probe keys are in use; probes go over ZeroMQ"):
        keys.issue("d", b"1", sealed.IDLE_NS - 1)
    keys.issue("d", b"1", sealed.IDLE_NS)
    assert len(keys) == 3
    assert keys.open(first.ask(REQUEST), sealed.IDLE_NS) is None


@pytest.mark.parametrize("instance", [b"", bytes(MAX_INSTANCE + 1)])
def test_a_process_without_a_name_of_its_own_gets_no_key(instance: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="named in 1 to 16 bytes"):
        ProbeKeys(tokens()).issue("monitor", instance, 0)


def test_when_it_changes_who_may_enter_every_key_is_void() -> None:
    keys, asking = issued()
    keys.clear()
    assert keys.open(asking.ask(REQUEST), S) is None
    assert keys.refused == {"stranger": 1}
    again = Asking(keys.issue("monitor", b"one", S))
    assert keys.open(again.ask(REQUEST), S) is not None
