"""The connection keeps step: any chunking, any garbage, bounded memory."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.errors import LocalProtocolError, RemoteProtocolError
from scot_devices.openigtlink import messages as m
from scot_devices.openigtlink.protocol import (
    ChecksumError,
    Connection,
    FramingError,
    MessageError,
    encode,
)

UPRIGHT: m.Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0)


def transform(n: int) -> m.Transform:
    return m.Transform(device=f"Tool{n}", time_ns=10**18 + n, matrix=UPRIGHT)


SENT: list[m.Message] = [
    transform(1),
    m.Status(device="Tracker", code=1, name="OK", text="tracking"),
    m.TrackingData(device="Tracker", tools=(m.Tool("Probe", UPRIGHT),)),
    m.String(device="Note", text="手術室"),
]
BROKEN = bytearray(encode(transform(9)))
BROKEN[-1] ^= 1
STREAM = (
    b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3
    + b"".join(encode(message) for message in SENT)
    + bytes(BROKEN)
    + encode(SENT[0], 2)
    + bytes(range(256))
    + b"".join(encode(message, 2) for message in SENT)
)


def drain(connection: Connection) -> list[m.Message | str]:
    """Everything there is: messages, and the errors between them as text."""
    found: list[m.Message | str] = []
    while True:
        try:
            event = connection.next_event()
        except RemoteProtocolError as error:
            found.append(f"{type(error).__name__}: {error}")
            continue
        if event is None:
            return found
        found.append(event)


def run(
    data: bytes, cuts: list[int] | None = None, max_body: int = 1 << 20
) -> tuple[Connection, list[m.Message | str]]:
    """Feed the data cut at the given places; what came out, and the connection."""
    connection = Connection(max_body)
    found: list[m.Message | str] = []
    for begin, end in pairwise([0, *sorted(cuts or []), len(data)]):
        connection.receive_data(data[begin:end])
        found += drain(connection)
    return connection, found


def counts(connection: Connection) -> tuple[int, ...]:
    return (
        connection.messages,
        connection.bad_crc,
        connection.malformed,
        connection.too_large,
        connection.garbage_bytes,
        connection.pending,
    )


def test_the_stream_yields_every_sound_message_and_one_error_a_fault() -> None:
    connection, found = run(STREAM)
    assert [event for event in found if not isinstance(event, str)] == [*SENT, SENT[0], *SENT]
    assert [event.split(":")[0] for event in found if isinstance(event, str)] == [
        "FramingError",
        "ChecksumError",
        "FramingError",
    ]
    assert connection.garbage_bytes == 3 * 28 + 256
    assert connection.pending == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_chunking_never_matters(cuts: list[int]) -> None:
    whole, expected = run(STREAM)
    chunked, found = run(STREAM, cuts)
    assert found == expected
    assert counts(chunked) == counts(whole)


def test_byte_by_byte() -> None:
    whole, expected = run(STREAM)
    bytewise, found = run(STREAM, list(range(len(STREAM))))
    assert found == expected
    assert counts(bytewise) == counts(whole)


@settings(deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=6))
def test_any_garbage_costs_only_itself(garbage: bytes, cuts: list[int]) -> None:
    data = encode(SENT[0]) + garbage + b"\xff" * 60 + encode(SENT[1])
    _, whole = run(data)
    _, found = run(data, [min(cut, len(data)) for cut in cuts])
    assert found == whole
    assert found[0] == SENT[0]
    assert found[-1] == SENT[1]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_streams_raise_only_protocol_errors_and_never_depend_on_chunks(
    data: st.DataObject,
) -> None:
    """A changed byte may cost messages; what is left is the same for every chunking."""
    mutated = bytearray(STREAM)
    for _ in range(data.draw(st.integers(1, 8))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    cuts = data.draw(st.lists(st.integers(0, len(mutated)), max_size=8))
    whole, expected = run(bytes(mutated))
    chunked, found = run(bytes(mutated), cuts)
    assert found == expected
    assert counts(chunked) == counts(whole)


def test_one_changed_byte_in_a_body_costs_exactly_one_message() -> None:
    good = [transform(n) for n in range(50)]
    rng = random.Random(5)
    for _ in range(100):
        victim = rng.randrange(50)
        parts = [bytearray(encode(message)) for message in good]
        parts[victim][rng.randrange(58, len(parts[victim]))] ^= 1 << rng.randrange(8)
        connection, found = run(b"".join(parts))
        assert connection.bad_crc == 1
        kept = [event for event in found if not isinstance(event, str)]
        assert kept == [message for n, message in enumerate(good) if n != victim]


def test_a_size_that_lies_costs_only_its_own_message() -> None:
    """Too large or too small: what follows is found again inside the wrong body."""
    for lie in (0, 20, 47, 49, 100, 1000):
        parts = [bytearray(encode(transform(n))) for n in range(40)]
        struct.pack_into(">Q", parts[5], 42, lie)
        _, found = run(b"".join(parts))
        kept = [event for event in found if not isinstance(event, str)]
        assert kept == [transform(n) for n in range(40) if n != 5], lie


def test_interleaved_writes_of_two_threads_cost_only_the_one_that_was_cut() -> None:
    first, second = encode(transform(1)), encode(transform(2))
    _, found = run(first[:70] + second + first[70:] + encode(transform(3)))
    kept = [event for event in found if not isinstance(event, str)]
    assert kept == [transform(2), transform(3)]


def test_a_body_above_the_limit_is_skipped_without_being_kept() -> None:
    large = m.String(device="Note", text="a" * 60_000)
    data = encode(transform(1)) + encode(large) + encode(transform(2))
    connection = Connection(max_body=1000)
    found: list[m.Message | str] = []
    for at in range(0, len(data), 500):
        connection.receive_data(data[at : at + 500])
        found += drain(connection)
        assert len(connection._buffer) <= 1000 + 58 + 500
    assert found[0] == transform(1)
    assert isinstance(found[1], str)
    assert found[1].startswith("MessageError: STRING of Note: 60004 bytes, more than max_body")
    assert found[2:] == [transform(2)]
    assert connection.too_large == 1


def test_a_header_that_announces_too_much_for_its_type_is_no_header() -> None:
    lying = bytearray(encode(transform(1)))
    struct.pack_into(">Q", lying, 42, 1 << 40)
    connection, found = run(bytes(lying) + encode(transform(2)))
    assert found[-1] == transform(2)
    assert isinstance(found[0], str)
    assert found[0].startswith("FramingError")
    assert connection.garbage_bytes == len(lying)


def test_bytes_that_nobody_takes_out_are_refused() -> None:
    connection = Connection(max_body=1000)
    connection.receive_data(encode(transform(1)) * 20)
    with pytest.raises(LocalProtocolError, match="next_event"):
        connection.receive_data(b"more")
    assert len(drain(connection)) == 20
    connection.receive_data(encode(transform(2)))
    assert drain(connection) == [transform(2)]


def test_garbage_without_end_is_not_kept() -> None:
    connection = Connection()
    rng = random.Random(3)
    for _ in range(50):
        connection.receive_data(rng.randbytes(4096))
        errors = drain(connection)
        assert all(isinstance(error, str) for error in errors)
        assert len(connection._buffer) - connection._at < 4096
    assert connection.garbage_bytes > 49 * 4096


def test_a_half_message_is_pending() -> None:
    connection, found = run(encode(transform(1))[:60])
    assert found == []
    assert connection.pending == 60


def test_too_many_nested_elements_are_refused() -> None:
    one = bytearray(encode(m.TrackingData(device="T", tools=(m.Tool("P", UPRIGHT),))))
    body = bytes(one[58:]) * 257
    _, found = run(with_body(one, body))
    assert found == ["MessageError: TDATA of T: 257 elements (limit 256); message dropped"]


def with_body(message: bytearray, body: bytes) -> bytes:
    """The message with another body, size and checksum made right."""
    register = 0
    for byte in body:
        register ^= byte << 56
        for _ in range(8):
            register = ((register << 1) ^ (0x42F0E1EBA9EA3693 if register >> 63 else 0)) % 2**64
    return bytes(message[:42]) + struct.pack(">QQ", len(body), register) + body


def test_errors_say_which_kind_they_are() -> None:
    for kind in (ChecksumError, MessageError, FramingError):
        assert issubclass(kind, RemoteProtocolError)
