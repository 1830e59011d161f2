"""What is sealed many samples at a time is, byte for byte, what one at a time would be."""

from __future__ import annotations

import math
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scot.channel import Kind
from scot.codec import Frame, encode, read_header
from scot.errors import CodecError, RecordingError
from scot.sample import Flags, PoseValue, Sample, Value
from scot.timestamp import ClockState, Timestamp
from scot_replay import raw as together
from scot_replay import rows as reading
from scot_replay.found import with_headers
from scot_replay.heads import NONE, read_heads
from scot_replay.journal import JournalReader, RecordKind, encode_record
from scot_replay.layout import journal_path
from scot_replay.ledger import sealed
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.proven import proven
from scot_replay.messages import carrier, utc_ns
from scot_replay.packing import MESSAGE, packed
from scot_replay.parts import JournalPart
from scot_replay.seal import seal
from tests.golden.recording_frames import CHANNELS, EPOCH, START_NS, S, case
from tests.golden.recording_writing import write_journal
from tests.unit.ledger_recording import recorded

ADDRESSES = {
    Kind.POSE: "or1/tracker/probe",
    Kind.WAVEFORM: "or1/monitor/art",
}
ODD_S = (0, 1, 1e-9, 0.002, 0.3, 1.0, 1.5, 1 / 3, -START_NS / S)


def _number(rng: random.Random) -> int:
    value = rng.getrandbits(rng.choice([1, 3, 7, 8, 15, 16, 31, 32, 62, 63, 64]))
    return rng.choice([1, 1, 1, -1]) * value


def _headers(count: int) -> list[bytes]:
    """Return headers of every size, and some that are none."""
    rng = random.Random(3)
    headers: list[bytes] = []
    while len(headers) < count:
        fields: list[object] = [1, abs(_number(rng)), abs(_number(rng)), _number(rng)]
        fields += [_number(rng), abs(_number(rng)), abs(_number(rng)), rng.randrange(6)]
        fields.append(rng.getrandbits(rng.choice([3, 16, 17])))
        if rng.random() < 0.4:
            fields[rng.choice([3, 5, 6])] = None
        if rng.random() < 0.2:
            fields[rng.randrange(9)] = rng.choice([None, 1.5, -1, "x", True])
        if rng.random() < 0.1:
            fields = rng.choice([fields[: rng.randrange(9)], [*fields, 4]])
        try:
            headers.append(msgspec.msgpack.encode(fields))
        except OverflowError:
            continue
    return [*headers, b"", b"\x99", b"\xcf" * 70]


def test_headers_say_the_same_together_as_one_by_one() -> None:
    headers = _headers(1500)
    data = np.frombuffer(b"".join(headers), np.uint8)
    size = np.array([len(header) for header in headers])
    heads = read_heads(data, np.cumsum(size) - size, size)
    assert heads.plain.mean() > 0.3
    for place, header in enumerate(headers):
        try:
            alone = read_header(Frame(b"or1/a/b\0", header, b""))
        except CodecError:
            assert not heads.plain[place], header.hex()
            continue
        if heads.plain[place]:
            errors = (NONE if e is None else e for e in (alone.bound_ns, alone.err_ns))
            expected = (alone.epoch, alone.seq, alone.bus_ns, *errors, alone.state, alone.flags)
            columns = (heads.epoch, heads.seq, heads.bus_ns, heads.bound_ns, heads.err_ns)
            found = [int(column[place]) for column in (*columns, heads.state, heads.flags)]
            assert found == list(expected), header.hex()
            assert heads.no_source[place] == (alone.source_ns is None)
            assert heads.source_ns[place] == (alone.source_ns or 0)


def _poses() -> list[Value]:
    numbers = [0.0, -0.0, 1.0, -12.5, 1e-300, math.inf, math.nan, 3]
    rng = random.Random(4)
    values: list[Value] = []
    for _ in range(160):
        place = [rng.choice(numbers) for _ in range(7)]
        quality, err_mm = (rng.choice([None, 0.0, 0.5, 1]) for _ in range(2))
        turn = (place[3], place[4], place[5], place[6])
        at = (place[0], place[1], place[2])
        values.append(PoseValue(at, turn, quality, rng.random() < 0.7, err_mm))
    return values


def _blocks() -> list[Value]:
    rng = np.random.default_rng(5)
    blocks = [rng.normal(size=size).astype(np.float32) for size in (0, 1, 10, 10, 125) * 8]
    blocks[3] = np.array([np.nan, -0.0], np.float32)
    return list(blocks)


def _frames(kind: Kind, values: list[Value]) -> list[Frame]:
    """Return frames of values at odd times, and payloads and headers that are not ours."""
    frames = []
    for seq, value in enumerate(values):
        bus_ns = START_NS + 37 * S + round(ODD_S[seq % len(ODD_S)] * S) + seq // len(ODD_S) * 60 * S
        bound = None if seq % 7 == 0 else 10 ** (seq % 9)
        time = Timestamp(None if seq % 5 == 0 else seq, bus_ns, bound, bound, ClockState.LOCKED)
        sample = Sample(ADDRESSES[kind], EPOCH, seq * 97, time, Flags(0), value)
        frames.append(encode(sample, kind))
    header = frames[-1].header
    for payload in (b"", b"\x00", b"\xff" * 77, frames[1].payload + b"\0"):
        frames.append(frames[-1]._replace(payload=payload))
    frames.append(frames[0]._replace(header=b"\x9a" + header[1:] + b"\x07"))
    return frames


VALUES = {Kind.POSE: _poses, Kind.WAVEFORM: _blocks}


def _journal(tmp_path: Path, frames: list[Frame]) -> JournalPart:
    write_journal(journal_path(tmp_path, 1), frames)
    return JournalPart.open(journal_path(tmp_path, 1), 1)


@pytest.mark.parametrize("kind", VALUES)
def test_messages_made_together_are_those_made_one_by_one(tmp_path: Path, kind: Kind) -> None:
    address, channel = ADDRESSES[kind], CHANNELS[kind]
    part = _journal(tmp_path, _frames(kind, VALUES[kind]()))
    carry = carrier(address, channel)
    frames = part.read(address, 0, len(part.times(address)))
    made: dict[int, bytes] = {}
    sizes = []
    for found in packed(part.raw(address), kind, 9, carry, frames[0].topic):
        sizes.append(len(found.places))
        made.update(zip(found.places.tolist(), (row.tobytes() for row in found.rows), strict=True))
    assert max(sizes) > 1
    assert sorted(made) == list(range(len(frames)))
    for place, frame in enumerate(frames):
        header = read_header(frame)
        head = np.frombuffer(made[place][: MESSAGE.itemsize], MESSAGE)[0]
        data = made[place][MESSAGE.itemsize :]
        assert data == carry.pack(frame, header)
        assert head.tolist() == (5, 22 + len(data), 9, header.seq, *[utc_ns(header.bus_ns)] * 2)


@pytest.mark.parametrize("kind", VALUES)
def test_columns_made_together_are_those_made_one_by_one(tmp_path: Path, kind: Kind) -> None:
    address = ADDRESSES[kind]
    for frames in (_frames(kind, VALUES[kind]())[:-5], _frames(kind, VALUES[kind]())):
        part = _journal(tmp_path, frames)
        found = with_headers(address, part.read(address, 0, len(part.times(address))))
        mine = together.rows(part.raw(address), kind)
        try:
            alone = reading.of(found, kind, exact=True).in_order()
        except RecordingError:
            assert mine is None
            continue
        if mine is None:  # one by one, it is made by `make` no more than it was
            assert len(frames) != len(VALUES[kind]())
            continue
        assert mine.fixed().keys() == alone.fixed().keys()
        for name, column in {**alone.fixed(), **alone.values}.items():
            other = mine.values.get(name, mine.fixed().get(name))
            assert other is not None
            assert other.dtype == column.dtype, name
            assert np.array_equal(other.tobytes(), column.tobytes()), name


def test_a_segment_made_together_gives_every_frame_back(tmp_path: Path) -> None:
    """The sealer itself compares; here it must find nothing to refuse, whatever came."""
    frames = [*case(3.0), *(f for kind, values in VALUES.items() for f in _frames(kind, values()))]
    write_journal(journal_path(tmp_path, 1), frames)
    assert seal(tmp_path, 1).exists()
    assert not journal_path(tmp_path, 1).exists()


def test_a_journal_is_proven_at_once_just_when_it_is_as_it_was(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [case(2.0)])
    path = journal_path(desk.path, 1)
    blocks = sealed.blocks(desk.path / LEDGER, 1)
    journal = JournalPart.open(path, 1)
    total = sum(len(journal.times(address)) for address in journal.addresses())
    assert proven(journal, blocks) == (total, 0)
    assert proven(journal, blocks[2:]) != (total, 0)
    written = path.read_bytes()
    for kind in (RecordKind.FRAME, RecordKind.CATALOGUE):
        one = next(r for r in JournalReader(written).records() if r.kind == kind)
        changed = bytearray(one.body)
        changed[-1] ^= 1
        record = encode_record(kind, bytes(changed))
        path.write_bytes(written[: one.start] + record + written[one.end :])
        assert proven(JournalPart.open(path, 1), blocks) is None
    path.write_bytes(written[: one.start] + written[one.end :])  # one that is missing
    assert proven(JournalPart.open(path, 1), blocks) is None
