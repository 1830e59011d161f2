"""However many parts a message has, a turn takes so many of them, and the next message is whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from scot.bus.inbox import MOST_PARTS, Inbox
from scot.bus.socket import NOW, context

Pair = tuple[Inbox, "zmq.Socket[bytes]", "zmq.Socket[bytes]"]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with context() as made:
        bound, peer = made.socket(zmq.ROUTER), made.socket(zmq.DEALER)
        bound.bind("inproc://inbox")
        peer.connect("inproc://inbox")
        yield Inbox(bound), bound, peer
        bound.close()
        peer.close()


def test_a_message_comes_whole(pair: Pair) -> None:
    inbox, _, peer = pair
    peer.send_multipart([b"x"] * MOST_PARTS)
    message = inbox.take()
    assert message is not None
    assert (len(message.parts), message.torn) == (MOST_PARTS, False)
    with pytest.raises(zmq.Again):
        inbox.take()


def test_what_has_too_many_parts_is_passed_over_a_turn_at_a_time(pair: Pair) -> None:
    inbox, _, peer = pair
    peer.send_multipart([b"x"] * (4 * MOST_PARTS))
    peer.send_multipart([b"next"])
    message = inbox.take()
    assert message is not None
    assert (len(message.parts), message.torn) == (MOST_PARTS, True)
    assert [inbox.take() for _ in range(3)] == [None] * 3
    message = inbox.take()
    assert message is not None
    assert [part.bytes for part in message.parts] == [b"next"]


def test_what_follows_one_part_is_skipped_a_turn_at_a_time(pair: Pair) -> None:
    inbox, bound, peer = pair
    for count, turns in ((3, 0), (MOST_PARTS + 1, 0), (3 * MOST_PARTS + 1, 2)):
        peer.send_multipart([b"x"] * count)
        bound.recv(NOW)
        gone = inbox.skip(bound.recv(NOW, False))
        assert gone is (turns == 0)
        assert [inbox.pass_over() for _ in range(turns)] == ([False, True] if turns else [])
    peer.send_multipart([b"next"])
    message = inbox.take()
    assert message is not None
    assert [part.bytes for part in message.parts] == [b"next"]
