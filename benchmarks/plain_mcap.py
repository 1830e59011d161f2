"""The peer's recording: the same messages in one MCAP file in order of time.

What the `mcap` package does by itself: one file, chunks of a megabyte of everything that came,
zstd. Its own reader and small-mcap then read what our recording is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from mcap_protobuf.decoder import DecoderFactory

PoseRow = tuple[int, float, float, float, float, float, float, float]
POSE = ["x", "y", "z", "qx", "qy", "qz", "qw"]


def write(recording: Path, out: Path) -> int:
    """Write all messages of a recording's segments into one file; return how many."""
    from small_mcap import read_message

    count = 0
    schemas: dict[str, int] = {}
    channels: dict[str, int] = {}
    with out.open("wb") as file:
        writer: Any = Writer(file, compression=CompressionType.ZSTD)
        writer.start()
        for segment in sorted(recording.glob("segment-*.mcap"), key=_number):
            with segment.open("rb") as source:
                for schema, channel, message in read_message(source):
                    if schema.name not in schemas:
                        schemas[schema.name] = writer.register_schema(
                            schema.name, schema.encoding, schema.data
                        )
                    if channel.topic not in channels:
                        channels[channel.topic] = writer.register_channel(
                            channel.topic, channel.message_encoding, schemas[schema.name]
                        )
                    at_ns = message.log_time
                    writer.add_message(
                        channels[channel.topic], at_ns, bytes(message.data), at_ns, message.sequence
                    )
                    count += 1
        writer.finish()
    return count


def _number(path: Path) -> int:
    return int(path.stem.partition("-")[2])


def open_mcap(file: Path) -> int:
    """Open it with the `mcap` package; return how many channels it has."""
    with file.open("rb") as source:
        summary = make_reader(source).get_summary()
        assert summary is not None
        return len(summary.channels)


def second_before_mcap(file: Path, at_ns: int) -> int:
    """Read the second before an instant, the nearest to a state that it has."""
    with file.open("rb") as source:
        messages = make_reader(source).iter_messages(start_time=at_ns - 10**9, end_time=at_ns)
        return sum(1 for _ in messages)


def numeric_mcap(file: Path, topic: str) -> pd.DataFrame:
    """Read a numeric by the `mcap` package."""
    import json

    with file.open("rb") as source:
        messages = make_reader(source).iter_messages(topics=[topic])
        return _numeric((m.log_time, json.loads(m.data)) for _, _, m in messages)


def numeric_small(file: Path, topic: str) -> pd.DataFrame:
    """Read a numeric by small-mcap."""
    import json

    from small_mcap import include_topics, read_message

    with file.open("rb") as source:
        messages = read_message(source, should_include=include_topics([topic]))
        return _numeric((m.log_time, json.loads(bytes(m.data))) for _, _, m in messages)


def _numeric(found: Iterable[tuple[int, Any]]) -> pd.DataFrame:
    rows = [(at_ns, value["value"]) for at_ns, value in found]
    table = pd.DataFrame(rows, columns=["at", "value"])
    return table.set_index(pd.to_datetime(table.pop("at"), unit="ns", utc=True))


def poses_small(file: Path, topics: list[str], from_ns: int, to_ns: int) -> list[pd.DataFrame]:
    """Read poses by small-mcap and the official decoder of Protobuf, a table for each topic."""
    from small_mcap import include_topics, read_message

    factory: Any = DecoderFactory()
    rows: dict[str, list[PoseRow]] = {topic: [] for topic in topics}
    with file.open("rb") as source:
        messages = read_message(
            source,
            should_include=include_topics(topics),
            start_time_ns=from_ns,
            end_time_ns=to_ns,
        )
        for schema, channel, message in messages:
            decode = factory.decoder_for(channel.message_encoding, schema)
            pose = decode(bytes(message.data)).pose
            at, turn = pose.position, pose.orientation
            rows[channel.topic].append(
                (message.log_time, at.x, at.y, at.z, turn.x, turn.y, turn.z, turn.w)
            )
    tables = []
    for found in rows.values():
        table = pd.DataFrame(found, columns=["at", *POSE])
        tables.append(table.set_index(pd.to_datetime(table.pop("at"), unit="ns", utc=True)))
    return tables
