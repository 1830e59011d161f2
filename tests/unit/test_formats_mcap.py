"""MCAP of other tools becomes a recording; our own comes back bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foxglove_schemas_protobuf.PoseInFrame_pb2 import PoseInFrame
from mcap.writer import Writer
from mcap_protobuf.writer import Writer as ProtobufWriter

from scot.channel import Kind
from scot.sample import NumericValue, PoseValue
from scot.timestamp import TAI_MINUS_UTC_NS, ClockState
from scot_replay.formats.commands import read
from scot_replay.formats.foreign import record
from scot_replay.recording import open_recording
from tests.golden import made_recording as case

UTC_NS = 1_795_000_000_000_000_000


def test_a_segment_of_ours_comes_back_bit_for_bit(tmp_path: Path) -> None:
    ours = open_recording(case.make(tmp_path / "rec"))
    record(read(tmp_path / "rec" / "segment-1.mcap", "or1"), tmp_path / "back")
    again = open_recording(tmp_path / "back")
    assert list(again.frames()) == list(ours.frames())
    assert again.channel("or1/monitor/hr") == ours.channel("or1/monitor/hr")


def foreign(path: Path) -> None:
    schema = {"type": "object", "properties": {"value": {"type": "number"}}}
    with path.open("wb") as file:
        writer: Any = Writer(file)
        writer.start()
        number = writer.register_schema("Reading", "jsonschema", json.dumps(schema).encode())
        any_ = writer.register_schema("Any", "jsonschema", b"{}")
        heart = writer.register_channel("/monitor/HeartRate", "json", number)
        state = writer.register_channel("/robot/arm/state", "json", any_)
        other = writer.register_channel("/ros", "cdr", 0)
        for n in range(5):
            at = UTC_NS + n * 1_000_000_000
            data = json.dumps({"value": 60.5 + n}).encode()
            writer.add_message(heart, at, data, at - 7, n)
            writer.add_message(state, at + 1, b'{"mode": "hold", "n": [1, 2]}', at, n)
            writer.add_message(other, at + 2, b"\x00\x01", at, n)
        writer.finish()


def test_json_becomes_numerics_and_events_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    foreign(tmp_path / "a.mcap")
    done = record(read(tmp_path / "a.mcap", "lab"), tmp_path / "out")
    opened = open_recording(tmp_path / "out")
    span = (opened.first_ns, opened.last_ns + 1)
    found = opened.between(*span)
    heart = found["lab/monitor/heartrate"]
    assert [one.value for one in heart] == [NumericValue(60.5 + n) for n in range(5)]
    assert heart[0].time.bus_ns == UTC_NS + TAI_MINUS_UTC_NS
    assert heart[0].time.source_ns == UTC_NS - 7
    assert heart[0].time.state is ClockState.UNSYNCED
    assert found["lab/robot_arm/state"][0].value == {"mode": "hold", "n": [1, 2]}
    assert done.left_out == {"/ros": "messages in cdr cannot be read here"}


def test_foxglove_poses_are_metres_and_become_millimetres(tmp_path: Path) -> None:
    pose = PoseInFrame(frame_id="patient")
    pose.pose.position.x, pose.pose.orientation.w = 0.125, 1.0
    with (tmp_path / "a.mcap").open("wb") as file, ProtobufWriter(file) as writer:
        writer.write_message("/tool", pose, UTC_NS, UTC_NS)
    record(read(tmp_path / "a.mcap", "lab"), tmp_path / "out")
    opened = open_recording(tmp_path / "out")
    (sample,) = opened.between(opened.first_ns, opened.last_ns + 1)["lab/mcap/tool"]
    assert opened.channel("lab/mcap/tool").kind is Kind.POSE
    assert sample.value == PoseValue((125.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def test_a_file_cut_short_gives_what_is_whole_and_says_so(tmp_path: Path) -> None:
    case.make(tmp_path / "rec", 60)
    data = (tmp_path / "rec" / "segment-1.mcap").read_bytes()
    (tmp_path / "a.mcap").write_bytes(data[: len(data) * 8 // 10])
    done = record(read(tmp_path / "a.mcap", "or1"), tmp_path / "out")
    assert any("cut short" in note for note in done.notes)
    assert sum(done.samples.values()) > 0
