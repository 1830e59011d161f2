"""A packed recording, opened by programs we did not write."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import av
import foxglove.messages
import msgspec
import pytest
from foxglove_schemas_protobuf.CompressedVideo_pb2 import CompressedVideo
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

from scot.channel import Channel
from scot.codec import Frame, read_header
from scot.errors import RecordingError
from scot_replay.commands import describe
from scot_replay.layout import segment_path
from scot_replay.messages import carrier
from scot_replay.pack import pack
from scot_replay.reading_commands import pack as pack_command
from scot_replay.recording import open_recording
from tests.golden.recording_frames import START_NS, S
from tests.golden.recording_video import PIXELS, with_video
from tests.golden.recording_writing import write_recording
from tools.js_types import PROJECT, ready

FRAMES = with_video(30.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pack") / "rec"
    write_recording(path, [FRAMES[:500], FRAMES[500:1_000], FRAMES[1_000:]], sealed=2)
    return path


@pytest.fixture(scope="module")
def packed(recording: Path) -> Path:
    out = recording.with_name("case.mcap")
    with open_recording(recording) as opened:
        assert pack(opened, out).messages == len(FRAMES)
    return out


def reader(file: Path) -> Any:
    data = io.BytesIO(file.read_bytes())
    return make_reader(data, validate_crcs=True, decoder_factories=[DecoderFactory()])


def counts() -> Counter[str]:
    return Counter(frame.address for frame in FRAMES)


def test_the_official_reader_restores_every_sample_exactly(packed: Path) -> None:
    restored: list[Frame] = []
    carriers: dict[int, Any] = {}
    for _, channel, message in reader(packed).iter_messages():
        if channel.id not in carriers:
            described = msgspec.json.decode(channel.metadata["scot.channel"], type=Channel)
            carriers[channel.id] = carrier(channel.topic, described)
        restored.append(carriers[channel.id].unpack(message.data))
    assert sorted(restored, key=_place) == sorted(FRAMES, key=_place)


def test_every_message_decodes_by_the_schema_in_the_file(packed: Path) -> None:
    found: Counter[str] = Counter()
    for schema, channel, message in reader(packed).iter_messages():
        if schema.encoding == "jsonschema":
            assert set(json.loads(message.data)) <= set(json.loads(schema.data)["properties"])
            found[channel.topic] += 1
    for _, channel, _, decoded in reader(packed).iter_decoded_messages(
        topics=["or1/tracker/probe", "or1/monitor/art", "or1/scope/video"]
    ):
        assert decoded.scot_header
        found[channel.topic] += 1
    assert found == counts()


def test_the_reader_of_the_formats_authors_reads_it_in_node(packed: Path) -> None:
    node, environment = ready()
    done = subprocess.run(
        [node, str(PROJECT / "read_mcap.mjs"), str(packed)],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert {topic: known["count"] for topic, known in told["topics"].items()} == counts()
    assert told["topics"]["or1/tracker/probe"]["schema"] == "foxglove.PoseInFrame"
    assert told["topics"]["or1/monitor/hr"]["first"] == str(START_NS - 37 * S)
    assert (told["profile"], told["ordered"], told["done"]) == ("scot", True, True)
    assert told["records"]["Chunk"] > 6
    assert told["records"]["Attachment"] >= 3


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("or1/scope/video", foxglove.messages.CompressedVideo),
        ("or1/tracker/probe", foxglove.messages.PoseInFrame),
    ],
)
def test_the_foxglove_sdk_has_the_same_fields_with_the_same_numbers(
    packed: Path, topic: str, message: Any
) -> None:
    """What Foxglove's own SDK would write today is what stands in the file, with ours beside it."""
    schema = next(s for s, c, _ in reader(packed).iter_messages(topics=[topic]))
    ours, theirs = (
        _fields(schema.data, schema.name),
        _fields(message.get_schema().data, schema.name),
    )
    assert schema.name == message.get_schema().name
    assert {name: ours[name] for name in theirs} == theirs
    added = {number for name, (number, _) in ours.items() if name not in theirs}
    assert added >= {1000, 1001}
    assert min(added) >= 1000


def _fields(data: bytes, name: str) -> dict[str, tuple[int, int]]:
    files = FileDescriptorSet.FromString(data)
    messages: list[DescriptorProto] = [
        message
        for file in files.file
        for message in file.message_type
        if f"{file.package}.{message.name}" == name
    ]
    return {field.name: (field.number, field.type) for field in messages[0].field}


def test_the_video_in_it_decodes(packed: Path) -> None:
    context = av.CodecContext.create("h264", "r")
    shown = 0
    for _, _, message in reader(packed).iter_messages(topics=["or1/scope/video"]):
        video = CompressedVideo.FromString(message.data)
        for picture in context.decode(av.Packet(video.data)):
            assert (picture.width, picture.height) == PIXELS
            shown += 1
    assert shown + len(context.decode(None)) == counts()["or1/scope/video"]


def test_scot_opens_it_as_it_opens_the_directory(recording: Path, packed: Path) -> None:
    with open_recording(recording) as whole, open_recording(packed) as one:
        assert list(one.frames()) == list(whole.frames())
        assert one.channels == whole.channels
        assert one.catalogue == whole.catalogue
        assert one.digest() == whole.digest()
        at_ns = START_NS + 20 * S
        assert repr(one.at(at_ns)) == repr(whole.at(at_ns))
        assert one.damage == [line for line in whole.damage if "never finished" not in line]


def test_a_damaged_segment_is_packed_as_far_as_it_reads(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "rec"
    write_recording(path, [FRAMES[:1_500], FRAMES[1_500:]], sealed=2)
    whole = segment_path(path, 1).read_bytes()
    segment_path(path, 1).write_bytes(whole[: len(whole) * 2 // 3])
    with open_recording(path) as opened:
        kept = list(opened.frames())
        told = pack(opened, tmp_path / "case.mcap")
    assert any("cut short" in line for line in told.damage)
    assert 500 < len(kept) < len(FRAMES)
    with open_recording(tmp_path / "case.mcap") as one:
        assert list(one.frames()) == kept


def test_scot_info_tells_the_same_of_it(recording: Path, packed: Path) -> None:
    with open_recording(recording) as whole, open_recording(packed) as one:
        told, known = describe(one), describe(whole)
        assert told["parts"] == ["case.mcap"]
        assert told["bytes"] == packed.stat().st_size
        assert told["channels"] == known["channels"]
        assert told["samples"] == len(FRAMES)


def test_what_is_there_is_not_written_over(recording: Path, packed: Path) -> None:
    with open_recording(recording) as opened:
        with pytest.raises(RecordingError, match="exists; name another file, or add --force"):
            pack(opened, packed)
        with pytest.raises(RecordingError, match=r"end its name in \.mcap"):
            pack(opened, packed.with_suffix(".bag"))


def test_a_full_disk_leaves_no_half_file(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "case.mcap"
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "from scot.cli import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "pack", str(recording), str(out)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 1
    assert "case.mcap cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_no_half_file(recording: Path, tmp_path: Path) -> None:
    with open_recording(recording) as opened:
        before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                pack(
                    opened,
                    tmp_path / "case.mcap",
                    progress=lambda part: os.kill(os.getpid(), signal.SIGINT),
                )
        finally:
            signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_wrote(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack_command(str(recording), tmp_path / "case.mcap", json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["messages"] == len(FRAMES)
    assert told["bytes"] == (tmp_path / "case.mcap").stat().st_size


def _place(frame: Frame) -> tuple[int, str, int]:
    header = read_header(frame)
    return header.bus_ns, frame.address, header.seq
