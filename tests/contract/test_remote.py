"""A recording in an object store: one channel costs one channel, not the files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

import scot
from scot.channel import Kind
from scot.codec import read_header
from scot.errors import RecordingError
from scot_replay.pack import pack
from scot_replay.recording import DirectoryRecording, open_recording
from tests.golden.recording_frames import S, case, frame
from tests.golden.recording_writing import write_recording

PICTURE = bytes(range(256)) * 160


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segments and a journal, 40 MB of it video."""
    path = tmp_path_factory.mktemp("remote") / "rec"
    made = [one for one in case(60.0) if one.address != "or1/scope/video"]
    made += [
        frame("or1/scope/video", Kind.VIDEO, n, n / 25, n.to_bytes(4, "big") + PICTURE)
        for n in range(1_000)
    ]
    made.sort(key=lambda one: (read_header(one).bus_ns, one.address))
    write_recording(path, [made[:1_500], made[1_500:3_000], made[3_000:]], sealed=2)
    with open_recording(path) as opened:
        pack(opened, path.with_name("case.mcap"))
    return path


@pytest.fixture(scope="module")
def store(local: Path) -> Iterator[str]:
    """An S3 server with the recording in it; how a URL says where it is."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = f"endpoint_override={quote(f'{host}:{port}')}&scheme=http&region=us-east-1"
    system, _ = fs.FileSystem.from_uri(
        f"s3://someone:secret@cases/?{options}&allow_bucket_creation=true"
    )
    system.create_dir("cases")
    fs.copy_files(
        str(local), "cases/rec", source_filesystem=fs.LocalFileSystem(),
        destination_filesystem=system,
    )  # fmt: skip
    fs.copy_files(
        str(local.with_name("case.mcap")), "cases/case.mcap",
        source_filesystem=fs.LocalFileSystem(), destination_filesystem=system,
    )  # fmt: skip
    yield f"s3://someone:secret@cases/{{}}?{options}"
    server.stop()


def fetched(recording: DirectoryRecording) -> int:
    store = recording.path.store  # type: ignore[attr-defined]
    return int(store.fetched)


def test_one_channel_of_a_recording_elsewhere_costs_two_percent_of_it(
    local: Path, store: str
) -> None:
    whole = sum(file.stat().st_size for file in local.rglob("*") if file.is_file())
    with open_recording(store.format("rec")) as remote, open_recording(local) as here:
        pd.testing.assert_frame_equal(remote["monitor/hr"].df, here["monitor/hr"].df)
        journal = (local / "journal-3.scotj").stat().st_size  # not sealed yet: fetched whole
        assert fetched(remote) - journal <= 0.02 * whole
        assert remote.channels == here.channels


def test_everything_can_be_asked_of_it(local: Path, store: str) -> None:
    with scot.open(store.format("rec")) as remote, scot.open(local) as here:
        at_ns = here.first_ns + 11 * S
        assert repr(remote.at(at_ns)) == repr(here.at(at_ns))
        assert list(remote.frames(["tracker/probe"])) == list(here.frames(["tracker/probe"]))
        assert remote.damage == here.damage
        assert "s3://cases/rec" in remote._repr_html_()  # type: ignore[attr-defined]
        assert "secret" not in remote._repr_html_()  # type: ignore[attr-defined]


def test_a_packed_file_elsewhere_is_read_by_ranges_too(local: Path, store: str) -> None:
    size = local.with_name("case.mcap").stat().st_size
    with open_recording(store.format("case.mcap")) as remote, open_recording(local) as here:
        pd.testing.assert_frame_equal(remote["monitor/hr"].df, here["monitor/hr"].df)
        assert fetched(remote) <= 0.1 * size


@pytest.mark.parametrize("name", ["nothing", "rec/columns"])
def test_what_is_no_recording_there_is_said(store: str, name: str) -> None:
    with pytest.raises(RecordingError, match=r"no such directory|is not a recording") as caught:
        open_recording(store.format(name))
    assert "secret" not in str(caught.value)


def test_a_store_of_no_known_kind_is_said() -> None:
    with pytest.raises(RecordingError, match="ipfs://something/case cannot be opened") as caught:
        open_recording("ipfs://me:secret@something/case?key=secret")
    assert "secret" not in str(caught.value)
