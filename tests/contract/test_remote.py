"""A recording in an object store: one channel costs one channel, not the files."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

import scot
from scot.channel import Kind
from scot.cli import run
from scot.codec import read_header
from scot.errors import RecordingError
from scot_replay.pack import pack
from scot_replay.recording import DirectoryRecording, open_recording
from tests.golden.recording_frames import S, case, frame
from tests.golden.recording_writing import write_recording
from tests.unit.ledger_recording import recorded

PICTURE = bytes(range(256)) * 160


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for keys in no folder of this machine's."""
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "state"))


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
    frames = case(20.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCOT_STATE", str(local.parent / "site"))  # the sealer signs with its key
        made = recorded(local.parent, [frames[:900], frames[900:]], sealed=1)
    fs.copy_files(
        str(made.path), "cases/signed", source_filesystem=fs.LocalFileSystem(),
        destination_filesystem=system,
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


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Return what a command prints as JSON; nothing secret is on the screen."""
    assert run([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "secret" not in out + err
    return json.loads(out)


def test_info_export_report_pack_and_clip_take_a_url(
    local: Path, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = store.format("rec")
    there, here = told(capsys, "info", url), told(capsys, "info", str(local))
    different = {"path"}
    assert {k: v for k, v in there.items() if k not in different} == {
        k: v for k, v in here.items() if k not in different
    }
    for where in (url, str(local)):
        out = tmp_path / f"{len(where)}.csv"
        told(capsys, "export", where, str(out), "-c", "monitor/hr", "--rate", "native")
    first, second = sorted(tmp_path.glob("*.csv"))
    assert first.read_bytes() == second.read_bytes()
    told(capsys, "report", url, "--html", str(tmp_path / "r.html"), "--pictures", "0")
    assert "secret" not in (tmp_path / "r.html").read_text()
    told(capsys, "pack", url, str(tmp_path / "again.mcap"))
    told(capsys, "clip", url, str(tmp_path / "clip"), "--between", "00:00:01", "00:00:03")
    with open_recording(tmp_path / "again.mcap") as again, open_recording(local) as whole:
        assert again.digest() == whole.digest()


def test_a_recording_elsewhere_is_verified_as_here(
    local: Path, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = told(capsys, "verify", store.format("signed"))
    here = told(capsys, "verify", str(local.parent / "case"))
    assert there["intact"]
    assert [part["how"] for part in there["parts"]] == ["bytes", "records"]
    assert {**there, "path": ""} == {**here, "path": ""}
    with scot.open(store.format("signed")) as opened:
        assert opened.verify().word == "verified"
    changed = tmp_path / "changed"
    shutil.copytree(local.parent / "case", changed)
    segment = changed / "segment-1.mcap"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    root, query = store.format("changed").split("?")
    system, _ = fs.FileSystem.from_uri(f"{root}?{query}")
    fs.copy_files(
        str(changed), "cases/changed", source_filesystem=fs.LocalFileSystem(),
        destination_filesystem=system,
    )  # fmt: skip
    assert run(["verify", store.format("changed")]) == 1
    assert "chunk" in capsys.readouterr().out


def test_the_catalogue_takes_a_folder_of_a_store_and_keeps_no_secret(
    local: Path, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    catalog = ["--catalog", str(tmp_path / "catalog")]
    done = told(capsys, "catalog", "add", store.format("rec"), *catalog)
    rows = done["entered"][0]["rows"]
    (before,) = told(capsys, "catalog", "ls", *catalog)
    assert before["url"].startswith("s3://cases/rec?")
    done = told(capsys, "catalog", "add", str(local.with_name("case.mcap")), *catalog)
    assert done["entered"][0]["rows"] == rows
    done = told(capsys, "catalog", "add", store.format(""), "--workers", "1", *catalog)
    urls = {one["url"].partition("?")[0] for one in done["entered"]}
    assert {"s3://cases/rec", "s3://cases/case.mcap", "s3://cases/signed"} <= urls
    for file in (tmp_path / "catalog").rglob("*"):
        assert file.is_dir() or b"secret" not in file.read_bytes()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    query = "SELECT url FROM cases WHERE url LIKE '%signed%'"
    ((url,),) = [row.values() for row in told(capsys, "catalog", "sql", query, *catalog)]
    with scot.open(url) as opened:  # the keys come from the environment
        assert opened.title.endswith("s3://cases/signed")  # type: ignore[attr-defined]
    told(capsys, "catalog", "rm", "s3://cases/signed", *catalog)


@pytest.mark.parametrize("command", ["info", "verify", "report", "catalog add"])
def test_a_url_with_nothing_there_is_one_line(
    store: str, command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = [*command.split(), store.format("nowhere")]
    if command == "catalog add":
        arguments += ["--catalog", str(tmp_path)]
    assert run(arguments) == 1
    said = capsys.readouterr().err
    assert "s3://cases/nowhere" in said
    assert said.count("\n") == 1
    assert "secret" not in said
