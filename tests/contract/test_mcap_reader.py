"""The official MCAP reader, and what viewers use with it, against a segment of ours."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from foxglove_schemas_protobuf.CompressedVideo_pb2 import CompressedVideo
from foxglove_schemas_protobuf.PoseInFrame_pb2 import PoseInFrame
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

from scot.channel import Catalogue, Channel
from scot.codec import Frame, read_header
from scot_replay.layout import segment_path
from scot_replay.messages import carrier
from tests.golden.recording_frames import START_NS, S, case, catalogue
from tests.golden.recording_writing import write_recording

FRAMES = case(60.0)
UTC_START_NS = START_NS - 37 * S


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("mcap") / "rec"
    write_recording(path, [FRAMES[:100], FRAMES[100:]], sealed=2)
    return segment_path(path, 2).read_bytes()


def reader(segment: bytes) -> Any:
    return make_reader(
        io.BytesIO(segment), validate_crcs=True, decoder_factories=[DecoderFactory()]
    )


def test_every_message_restores_its_sample_exactly(segment: bytes) -> None:
    """From the file alone: what a stranger needs is the channel's description in its metadata."""
    restored: list[Frame] = []
    carriers = {}
    for _, channel, message in reader(segment).iter_messages(log_time_order=True):
        if channel.topic not in carriers:
            described = msgspec.json.decode(channel.metadata["scot.channel"], type=Channel)
            carriers[channel.topic] = carrier(channel.topic, described)
        restored.append(carriers[channel.topic].unpack(message.data))
    assert sorted(restored, key=_place) == sorted(FRAMES[100:], key=_place)


def test_times_are_utc_and_the_sequence_is_the_samples_own(segment: bytes) -> None:
    for _, channel, message in reader(segment).iter_messages(topics=["or1/monitor/hr"]):
        assert channel.topic == "or1/monitor/hr"
        assert message.log_time == UTC_START_NS + message.sequence * S
        assert message.publish_time == message.log_time


def test_poses_decode_as_foxglove_poses_with_scots_fields(segment: bytes) -> None:
    decoded = list(reader(segment).iter_decoded_messages(topics=["or1/tracker/probe"]))
    assert len(decoded) > 1000
    schema, channel, _, message = decoded[-1]
    assert (schema.name, schema.encoding) == ("foxglove.PoseInFrame", "protobuf")
    assert channel.metadata["unit"] == "mm"
    assert message.frame_id == "mni152"
    assert message.pose.position.y == 2.0
    assert message.quality == pytest.approx(0.9)
    assert message.scot_header  # field 1000
    assert message.DESCRIPTOR.fields_by_name["scot_header"].number == 1000


def test_a_viewer_that_knows_only_foxglove_reads_the_same(segment: bytes) -> None:
    for _, channel, message in reader(segment).iter_messages():
        if channel.topic == "or1/tracker/probe":
            pose = PoseInFrame.FromString(message.data)
            assert pose.pose.orientation.w == 1.0
            assert pose.timestamp.seconds * S + pose.timestamp.nanos == message.log_time
        if channel.topic == "or1/scope/video":
            video = CompressedVideo.FromString(message.data)
            assert video.format == "h264"
            assert video.data.startswith(b"\x00\x00\x00\x01")


def test_waveforms_decode_as_floats_from_the_schema_in_the_file(segment: bytes) -> None:
    _, _, _, message = next(reader(segment).iter_decoded_messages(topics=["or1/monitor/art"]))
    frame = next(f for f in FRAMES[100:] if f.address == "or1/monitor/art")
    assert list(message.values) == np.frombuffer(frame.payload, "<f4").tolist()
    assert (message.rate_hz, message.unit) == (125.0, "mm[Hg]")


def test_numerics_alarms_events_and_text_are_json_that_fits_its_schema(segment: bytes) -> None:
    seen = set()
    for schema, channel, message in reader(segment).iter_messages():
        if channel.message_encoding != "json":
            continue
        value, described = json.loads(message.data), json.loads(schema.data)
        assert schema.encoding == "jsonschema"
        assert described["type"] == "object"
        assert set(value) <= set(described["properties"]), channel.topic
        types = described["properties"]["timestamp"]["properties"]
        assert set(value["timestamp"]) == set(types) == {"sec", "nsec"}
        seen.add(schema.name)
    assert seen == {"scot.Numeric", "scot.Event", "scot.Alarm"}


def test_no_payload_is_stored_twice(segment: bytes) -> None:
    for _, channel, message, decoded in reader(segment).iter_decoded_messages(
        topics=["or1/tracker/probe", "or1/scope/video", "or1/monitor/art"]
    ):
        assert not decoded.HasField("scot_payload"), (channel.topic, message.sequence)


def test_chunks_are_homogeneous_and_video_is_not_compressed(segment: bytes) -> None:
    summary = reader(segment).get_summary()
    topics = {channel_id: channel.topic for channel_id, channel in summary.channels.items()}
    groups = set()
    for chunk in summary.chunk_indexes:
        inside = frozenset(topics[channel_id] for channel_id in chunk.message_index_offsets)
        groups.add(inside)
        assert chunk.compression == ("" if "or1/scope/video" in inside else "zstd")
    assert groups == {
        frozenset({"or1/monitor/hr", "or1/monitor/alarms", "or1/room/clock"}),
        frozenset({"or1/tracker/probe"}),
        frozenset({"or1/monitor/art"}),
        frozenset({"or1/scope/video"}),
    }


def test_video_chunks_begin_with_a_keyframe(segment: bytes) -> None:
    made = reader(segment)
    summary = made.get_summary()
    (video,) = [i for i, c in summary.channels.items() if c.topic == "or1/scope/video"]
    starts = sorted(
        chunk.message_start_time
        for chunk in summary.chunk_indexes
        if video in chunk.message_index_offsets
    )
    assert len(starts) > 1
    for start in starts[1:]:  # the first begins where the journal before it ended
        _, _, message = next(made.iter_messages(topics=["or1/scope/video"], starting_at=start))
        frame = carrier("or1/scope/video", _channel("scope", "video")).unpack(message.data)
        assert read_header(frame).flags & 1


def test_catalogue_state_and_clock_are_inside(segment: bytes) -> None:
    made = reader(segment)
    attachments = {attachment.name: attachment for attachment in made.iter_attachments()}
    state = msgspec.msgpack.decode(attachments["scot.state"].data)
    assert b"or1/tracker/status\0" in {bytes(topic) for topic, _, _ in state}
    metadata = {metadata.name: metadata.metadata for metadata in made.iter_metadata()}
    assert metadata["scot.segment"]["workspace"] == "or1"
    known = msgspec.json.decode(metadata["scot.catalogue"]["catalogue"], type=Catalogue)
    assert known == catalogue()
    clocks = list(made.iter_messages(topics=["or1/room/clock"]))
    assert json.loads(clocks[0][2].data)["event"]["source"] == "monitor"


def test_the_file_says_whose_it_is(segment: bytes) -> None:
    header = reader(segment).get_header()
    assert header.profile == "scot"
    assert header.library.startswith("scot-bus")


def _place(frame: Frame) -> tuple[int, str, int]:
    header = read_header(frame)
    return header.bus_ns, frame.address, header.seq


def _channel(device: str, name: str) -> Channel:
    return catalogue().devices[device].channels[name]


def test_the_segment_lies_where_the_layout_says(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES[:50]], sealed=1)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        "manifest.json",
        "segment-1.mcap",
    ]
