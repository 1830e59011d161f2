"""What recording costs in processor time, beside the `mcap` package's writer."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer

from benchmarks import case
from benchmarks.table import Limit, Row, alone, compare
from scot.channel import Kind
from scot_replay.disk import Directory
from scot_replay.layout import Manifest
from scot_replay.ledger.notary import Notary
from scot_replay.messages import carrier, utc_ns
from scot_replay.open_journal import Arrival, OpenJournal
from scot_replay.seal import seal

SECONDS = 60
TENTH_NS = 100_000_000


def costs(rounds: int) -> Iterator[Row]:
    """Measure journal and sealing of a minute, and the peer, round by round."""
    made = case.Case()
    seconds = [made.second(number) for number in range(SECONDS)]
    ours, peer, journals = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            journal(Path(folder), seconds)
            journals.append((time.process_time() - began) / SECONDS * 100)
            seal(Path(folder), 1)
            ours.append((time.process_time() - began) / SECONDS * 100)
            began = time.process_time()
            plain(Path(folder) / "plain.mcap", seconds)
            peer.append((time.process_time() - began) / SECONDS * 100)
    yield compare(
        "recorder: journal, ledger and sealing",
        "% of a core",
        ours,
        peer,
        "mcap's writer, messages made too",
        Limit(2.0),
    )
    yield alone("recorder, the journal and its ledger", "% of a core", journals)
    yield alone("recorder, a picture of video", "ms", pictures(rounds), Limit(0.1, of="ours"))


def journal(directory: Path, seconds: Sequence[Sequence[Arrival]]) -> None:
    """Write and sign seconds of frames as the recorder does: ten writes and one sync a second."""
    manifest = Manifest(workspace=case.WORKSPACE, started_ns=case.START_NS)
    notary = Notary(directory, manifest, directory / "site")
    opened = OpenJournal(
        Directory(directory),
        manifest,
        (case.START_NS, case.catalogue()),
        10 * SECONDS,
        lambda _part: None,
        1,
        0,
        tally=notary.tally,
    )
    for number, arrivals in enumerate(seconds):
        size = max(1, len(arrivals) // 10)
        for tenth, first in enumerate(range(0, len(arrivals), size)):
            opened.put(arrivals[first : first + size])
            opened.flush(number * 10 * TENTH_NS + tenth * TENTH_NS)
        file = opened.begin_sync()
        if file is not None:
            file.sync()
            file.close()
            opened.end_sync()
            case.sign(notary, opened, number * 10 * TENTH_NS)
    end_ns = len(seconds) * 10 * TENTH_NS
    opened.finish(end_ns)
    case.sign(notary, opened, end_ns, at_once=True)


def plain(path: Path, seconds: Sequence[Sequence[Arrival]]) -> None:
    """Make the same messages and write them by the `mcap` package."""
    offered = case.catalogue()
    known: dict[str, tuple[int, Any]] = {}
    schemas: dict[Kind, int] = {}
    with path.open("wb") as file:
        writer: Any = Writer(file, compression=CompressionType.ZSTD)
        writer.start()
        for arrivals in seconds:
            for arrival in arrivals:
                frame, header, kind = arrival.frame, arrival.header, arrival.kind
                address = frame.address
                if address not in known:
                    channel = offered.channel(address)
                    assert channel is not None
                    carry = carrier(address, channel)
                    schema = carry.schema
                    if kind not in schemas:
                        schemas[kind] = writer.register_schema(
                            schema.name, schema.encoding, schema.data
                        )
                    number = writer.register_channel(address, schema.message, schemas[kind])
                    known[address] = number, carry
                number, carry = known[address]
                at_ns = utc_ns(header.bus_ns)
                packed = carry.pack(frame, header)
                writer.add_message(number, at_ns, packed, at_ns, header.seq & 0xFFFFFFFF)
        writer.finish()


def pictures(rounds: int, count: int = 300) -> list[float]:
    """Return what a picture of 25 kB costs until it is sealed, ms of processor time."""
    made = case.Case()
    found = []
    for _ in range(rounds):
        arrivals = [made.picture(number, bytes(25_000)) for number in range(count)]
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            journal(Path(folder), [arrivals[n : n + 30] for n in range(0, count, 30)])
            seal(Path(folder), 1)
            found.append((time.process_time() - began) * 1e3 / count)
    return found
