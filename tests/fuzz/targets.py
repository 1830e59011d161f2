"""What is fuzzed: every place that reads bytes somebody else wrote.

A target takes any bytes and returns; it lets through what the place may raise on bad input, and
nothing else. Where more than "it does not crash" must hold, the target asserts it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import numpy as np
from lxml import etree

from scot.access import Grant, Roster
from scot.bus.desk import Desk
from scot.bus.routes import may_call, read_call
from scot.channel import Catalogue, Channel, Kind
from scot.clock import probe as probes
from scot.clock.sealed import ANSWER, ASK, ID, ROOM, ProbeKey, ProbeKeys, seal, unseal
from scot.clock.service import ClockService
from scot.codec import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TOPIC,
    Frame,
    bundle,
    check_bounds,
    decode,
    encode,
    measure,
    pack,
    read_header,
    unbundle,
    unpack,
)
from scot.config import RoomFile, load_room
from scot.errors import (
    UNREADABLE,
    AccessError,
    CodecError,
    ConfigError,
    DeviceError,
    RecordingError,
    RemoteProtocolError,
)
from scot.names import Names
from scot.note import Signer, Verifier
from scot.testing import ManualClock
from scot_dashboard import wire
from scot_devices.archive.record import open_record
from scot_devices.openigtlink import protocol as openigtlink
from scot_devices.sdc.mapping import Mapping
from scot_devices.simulators.monitor_mdib import mdib_xml
from scot_devices.video import h264
from scot_replay import journal
from tests.fuzz import readers

Target = Callable[[bytes], None]
NOTE_TEXT = b"workspace or1\n"
KINDS = list(Kind)


def header(data: bytes) -> None:
    """A header that is read is whole: it is written again, and means the same."""
    frame = Frame(b"or1/d/x\0", data, b"")
    with contextlib.suppress(CodecError):
        read = read_header(frame)
        again = msgspec.msgpack.encode(read)
        assert read_header(frame._replace(header=again)) == read


def topic(data: bytes) -> None:
    """Any topic is an address or refused; the address is text."""
    frame = Frame(data, msgspec.msgpack.encode([1, 0, 0, None, 0, None, None, 0, 0]), b"")
    with contextlib.suppress(CodecError):
        read_header(frame)
        assert isinstance(frame.address, str)
        Catalogue(workspace="or1").channel(frame.address)


def payload(data: bytes) -> None:
    """First byte: the kind. What is read can be written, and reads the same again."""
    if not data:
        return
    kind = KINDS[data[0] % len(KINDS)]
    channel = Channel(name="x", kind=kind)
    packed = msgspec.msgpack.encode([1, 0, 0, None, 0, None, None, 0, 0])
    frame = Frame(b"or1/d/x\0", packed, data[1:])
    with contextlib.suppress(CodecError):
        sample = decode(frame, channel)
        again = decode(encode(sample, kind), channel).value
        if kind is Kind.WAVEFORM:
            np.testing.assert_array_equal(again, sample.value)
        else:
            assert repr(again) == repr(sample.value)  # NaN is not equal to itself


def bounds(data: bytes) -> None:
    """What is within bounds is plain MessagePack to the reference decoder too."""
    try:
        check_bounds(data)
    except CodecError:
        return
    value = msgpack.unpackb(
        data, strict_map_key=False, unicode_errors="surrogateescape", object_pairs_hook=list
    )
    assert _items(value, MAX_DEPTH + 1) <= MAX_ITEMS


def _items(value: Any, depth: int) -> int:
    """Count values; maps have come as lists of pairs."""
    assert depth >= 0
    if not isinstance(value, list | tuple):
        return 1
    if isinstance(value, tuple):
        return sum(_items(item, depth) for item in value)
    return 1 + sum(_items(item, depth - 1) for item in value)


def packed(data: bytes) -> None:
    """A frame as it travels: what the broker judges of its head is what a receiver reads."""
    topic, size = measure(data[: MAX_TOPIC + 1], len(data))
    try:
        frame = unpack(data)
    except CodecError:
        assert size < 0
        return
    assert (frame.topic, len(frame.payload)) == (topic, size)
    assert pack(frame) == data


def bundles(data: bytes) -> None:
    """A bundle that is read is written again as it was."""
    with contextlib.suppress(CodecError):
        frames = unbundle([data])
        assert b"".join(bundle(frames)) == data


NOTE = Signer("scot/or1", bytes(32))


def note(data: bytes) -> None:
    """No text is believed that was not signed; keys are read or refused."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(AccessError):
        assert NOTE.verifier.open(data) == NOTE_TEXT
    with contextlib.suppress(AccessError):
        assert Verifier.parse(text).text() == text.strip()
    with contextlib.suppress(AccessError):
        assert Signer.parse(text).text() == text.strip()


def roster(data: bytes) -> None:
    """A roster is one, or an error that names its file."""
    with contextlib.suppress(AccessError):
        again = Roster.parse(data, Path("roster.note")).text()
        assert Roster.parse(again, Path("roster.note")).text() == again


def call(data: bytes) -> None:
    """A command call is read within bounds and means the same when it is written again."""
    with contextlib.suppress(CodecError, *UNREADABLE):
        read = read_call(data)
        again = msgspec.msgpack.encode(read)
        assert repr(read_call(again)) == repr(read)
        assert isinstance(may_call(GRANTS["device"], read.address), bool)


PROBE_KEY = ProbeKey(id=bytes(16), key=bytes(32))


def sealed(data: bytes) -> None:
    """A datagram is believed only when it is what the key's holder would have sealed."""
    for side in (ASK, ANSWER):
        with contextlib.suppress(RemoteProtocolError):
            count, message = unseal(PROBE_KEY, side, data)
            assert len(message) <= ROOM
            assert data[:ID] == PROBE_KEY.id
            seal(PROBE_KEY, side, count, message)
    keys = ProbeKeys(bytes)
    keys.issue("key", b"1", 0)
    for datagram in (data, seal(PROBE_KEY, ASK, 1, data[:ROOM])):
        question = keys.open(datagram, 10**9)
        service = ClockService(ManualClock(10**12), lambda row: None)
        if question is not None:
            with contextlib.suppress(RemoteProtocolError):
                probes.read_reply(service.on_request("key", "1", question.message, 10**12))


GRANTS = {
    "device": Grant(name="device", publish=["or1/device/"], subscribe=["or1/"], devices=["device"]),
    "recorder": Grant(name="recorder", subscribe=["or1/"], devices=["*"], serve=True),
}
VERBS = (
    *(b"hello", b"ping", b"catalogue", b"announce", b"serve", b"history", b"answer", b"?"),
    *(b"pace", b"play", b"command", b"commanded", b"probe_key"),
)
DESK_NOW_NS = 10**12


def desk(data: bytes) -> None:
    """First byte: verb and who. Every question is answered, whatever it is."""
    if not data:
        return
    changes: list[Catalogue] = []
    core = Desk(1, Catalogue(workspace="or1"), GRANTS, changes.append)
    user = list(GRANTS)[data[0] >> 4 & 1]
    verb = VERBS[data[0] % len(VERBS)]
    for part in (data[1:], b"\xc0"):
        for out in core.on(b"id", user, [b"1", verb, part], DESK_NOW_NS):
            assert all(isinstance(piece, bytes) for piece in out.parts)
    core.tick(DESK_NOW_NS + 10**11)
    for changed in changes:
        known = msgspec.msgpack.decode(msgspec.msgpack.encode(changed), type=Catalogue)
        assert [*known.devices] == [*changed.devices]


def probe(data: bytes) -> None:
    """A request that is read is answered; a reply is read or refused."""
    with contextlib.suppress(RemoteProtocolError):
        probes.read_reply(data)
    service = ClockService(ManualClock(10**12), lambda row: None)
    with contextlib.suppress(RemoteProtocolError):
        probes.read_reply(service.on_request("key", "1", data, 10**12))


def openigtlink_stream(data: bytes) -> None:
    """First byte: where the stream is cut. The messages are the same whole and in pieces."""
    if not data:
        return
    step, stream = data[0] + 1, data[1 : 64 << 10]
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    assert _messages([stream]) == _messages(pieces)


def _messages(pieces: list[bytes]) -> list[str]:
    connection = openigtlink.Connection(max_body=64 << 10)
    found: list[str] = []
    for piece in pieces:
        connection.receive_data(piece)
        more = True
        while more:
            try:
                message = connection.next_event()
            except RemoteProtocolError:
                continue
            more = message is not None
            if more:
                found.append(repr(message))
        assert 0 <= connection.pending <= openigtlink.LARGEST_BODY
    return found


def h264_units(data: bytes) -> None:
    """The units of an access unit lie in it, one behind the other."""
    at = 0
    for unit in h264.nal_units(data):
        at = data.index(unit.payload, at) + len(unit.payload)
    h264.codec_string(data)
    h264.is_decodable_alone(data)


def journal_file(data: bytes) -> None:
    """Records and damage follow one another up to the tail; each record reads or is refused."""
    try:
        reader = journal.JournalReader(data)
    except RecordingError:
        return
    at, places = reader.tail.at, []
    for record in reader.records():
        places.append((record.start, record.end))
        for read in (journal.decode_frame, journal.decode_head, journal.decode_catalogue):
            with contextlib.suppress(CodecError):
                read(record.body)
    for begin, end in sorted([*places, *reader.damaged]):
        assert begin == at < end
        at = end
    assert reader.tail.at == at
    assert reader.tail.at + reader.tail.left == len(data)


def journal_body(data: bytes) -> None:
    """The body of a record, behind a checksum that is right."""
    for read in (journal.decode_frame, journal.decode_head, journal.decode_catalogue):
        with contextlib.suppress(CodecError):
            read(data)


def feed(data: bytes) -> None:
    """What a page says is read or refused."""
    with contextlib.suppress(RemoteProtocolError):
        wire.read(data)


def names(data: bytes) -> None:
    """A cleaned payload holds no name any more and stays within its bounds."""
    known = Names()
    known.learn("Zaphod 山田")
    with contextlib.suppress(CodecError, ValueError, *UNREADABLE):
        cleaned = known.clean_packed(data)
        check_bounds(cleaned)
        assert not known.inside(str(msgspec.msgpack.decode(cleaned)))


def sdc(data: bytes) -> None:
    """First byte: an MDIB, or a report of the simulated monitor."""
    if not data:
        return
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        message = etree.fromstring(data[1:], parser)
    except (etree.XMLSyntaxError, ValueError):
        return
    with contextlib.suppress(DeviceError, RemoteProtocolError):
        if data[0] % 2:
            mapping = Mapping(etree.fromstring(mdib_xml("7")))
            mapping.report(message)
        else:
            mapping = Mapping(message)
        for reading in mapping.snapshot():
            assert reading.channel.name in mapping.channels


def wfdb(data: bytes) -> None:
    """A header is a record or one line that says why not."""
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        path = Path(folder)
        (path / "rec.hea").write_bytes(data)
        (path / "rec.dat").write_bytes(bytes(1000))
        with contextlib.suppress(DeviceError):
            record = open_record(path / "rec")
            record.read(0, min(10, record.frames))


def _memory_folder() -> str | None:
    shared = Path("/dev/shm")  # noqa: S108 - only what a fuzzer made up goes there
    return str(shared) if shared.is_dir() else None


def room_file(data: bytes) -> None:
    """A room file is a room, or an error that names file and key."""
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        path = Path(folder) / "room.toml"
        path.write_bytes(data)
        with contextlib.suppress(ConfigError):
            assert isinstance(load_room(path), RoomFile)


TARGETS: dict[str, Target] = {
    "packed": packed,
    "bundles": bundles,
    "note": note,
    "roster": roster,
    "call": call,
    "sealed": sealed,
    "header": header,
    "topic": topic,
    "payload": payload,
    "bounds": bounds,
    "desk": desk,
    "probe": probe,
    "openigtlink": openigtlink_stream,
    "h264": h264_units,
    "journal": journal_file,
    "journal_body": journal_body,
    "feed": feed,
    "names": names,
    "sdc": sdc,
    "wfdb": wfdb,
    "room_file": room_file,
    **readers.READ,
}
