"""The door's web side without a network: files, policies, names, and a page's end."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import socket
from pathlib import Path
from typing import Any

import msgpack
import pytest

from scot.config import DashboardTable
from scot.errors import ConfigError, RoomError
from scot.history import HistoryReply
from scot_dashboard.archive import merge
from scot_dashboard.door import Person, State
from scot_dashboard.feed import pack
from scot_dashboard.files import ROOT, TYPES, Files
from scot_dashboard.outbox import Batch
from scot_dashboard.roles import Role
from scot_dashboard.settings import Settings
from scot_dashboard.shield import page_policy
from scot_dashboard.viewer import CUT_S, FORBIDDEN, TOO_SLOW, Viewer
from tests.unit.gateway_room import START_NS, hr

# -- files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    root = tmp_path / "static"
    (root / "js").mkdir(parents=True)
    (root / "js" / "a.js").write_text("export const a = 1;\n" * 200)
    (root / "page.html").write_text(
        '<script type="importmap">{"imports":{}}</script><script>bad()</script>'
    )
    (root / "secret.py").write_text("x = 1")
    (root / ".hidden.js").write_text("x")
    (tmp_path / "outside.js").write_text("x")
    (root / "link.js").symlink_to(tmp_path / "outside.js")
    return Files(root)


def test_a_file_is_packed_once_and_read_again_when_it_changes(files: Files) -> None:
    asset = files.get("js/a.js")
    assert asset is not None
    assert asset.packed is not None
    assert gzip.decompress(asset.packed) == asset.data
    assert len(asset.packed) < len(asset.data)
    assert files.get("js/a.js") is asset
    (files.root / "js" / "a.js").write_text("export const a = 2;\n")
    changed = files.get("js/a.js")
    assert changed is not None
    assert changed.digest != asset.digest


@pytest.mark.parametrize(
    "name",
    ["", "js", "js/", "/js/a.js", "js//a.js", "../outside.js", "js/../page.html", "link.js",
     ".hidden.js", "secret.py", "none.js", "js\\a.js", "js/a.js\0", "x" * 5_000 + ".js"],
)  # fmt: skip
def test_nothing_outside_and_nothing_unknown_is_served(files: Files, name: str) -> None:
    assert files.get(name) is None


def test_only_a_version_that_names_these_bytes_is_kept_for_ever(files: Files) -> None:
    asset = files.get("js/a.js")
    assert asset is not None
    assert asset.immutable(asset.digest[:8])
    assert asset.immutable(asset.digest)
    assert not any(asset.immutable(v) for v in ("", asset.digest[:7], "0" * 8, "1.0.0"))


def test_a_page_may_run_its_import_map_and_no_other_inline_script(files: Files) -> None:
    asset = files.get("page.html")
    assert asset is not None
    digest = base64.b64encode(hashlib.sha256(b'{"imports":{}}').digest()).decode()
    assert asset.script_hashes == (f"'sha256-{digest}'",)
    policy = page_policy(asset.script_hashes, "ws://127.0.0.1:8080")
    assert f"script-src 'self' 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_every_file_of_the_page_has_a_type() -> None:
    served = [path for path in ROOT.rglob("*") if path.is_file()]
    assert served
    assert [path.name for path in served if path.suffix not in TYPES] == []


# -- settings


def settings(**options: Any) -> Settings:
    return Settings.of(DashboardTable(), options)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_loopback_is_allowed(host: str) -> None:
    allowed = settings(host=host).allowed(8080)
    name = f"[{host}]" if ":" in host else host
    assert f"{name}:8080" in allowed.hosts
    assert f"http://{name}:8080" in allowed.origins


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "or1.example", ""])  # noqa: S104
def test_any_other_address_needs_tls(host: str) -> None:
    with pytest.raises(ConfigError, match=r"dashboard\.host.*TLS"):
        settings(host=host)


def test_a_public_name_is_asked_for_without_a_port() -> None:
    allowed = settings(public_url="https://OR1.hospital.example/").allowed(8080)
    assert "or1.hospital.example" in allowed.hosts
    assert "https://or1.hospital.example" in allowed.origins
    assert not any("hospital" in origin for origin in settings().allowed(8080).origins)


def test_a_busy_port_names_itself_and_the_fix(free_port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        with pytest.raises(RoomError) as caught:
            settings(port=free_port).bind()
    assert f"port {free_port} of 127.0.0.1 is taken" in str(caught.value)
    assert f"--port {free_port + 1}" in str(caught.value)
    settings(port=free_port).bind().close()


# -- the end of a page


class HeldLine:
    """The other end of a page's line, in the test's hand: it reads when it is told to."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.was_cut = asyncio.Event()
        self.offered = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, data: bytes) -> None:
        self.offered.set()
        await self.reads.wait()
        if self.was_cut.is_set():
            raise ConnectionResetError
        self.sent.append(data)

    async def receive(self) -> bytes | None:
        await self.was_cut.wait()
        raise ConnectionResetError

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def cut(self) -> None:
        self.was_cut.set()
        self.reads.set()


def viewer_on(line: HeldLine) -> Viewer:
    person = Person(
        id="consultant-1",
        role=Role.CONSULTANT,
        author="consultant 1",
        label="",
        case="",
        state=State.ADMITTED,
        expires_ns=2**62,
    )
    return Viewer(line, person, "127.0.0.1")


def packed(seq: int) -> Batch:
    one = hr(seq)
    return Batch([pack(one, one.frame.payload)], START_NS)


async def test_who_is_shut_out_gets_a_goodbye_and_nothing_that_waited() -> None:
    line = HeldLine()
    viewer = viewer_on(line)
    viewer.outbox.offer(packed(1))
    viewer.end(FORBIDDEN, "the room has ended this consultation")
    await viewer.write(lambda: START_NS)
    assert [msgpack.unpackb(data) for data in line.sent] == [
        ["bye", FORBIDDEN, "the room has ended this consultation"]
    ]
    assert line.closed == (FORBIDDEN, "the room has ended this consultation")
    async with asyncio.timeout(CUT_S + 1):  # a page that does not close is cut
        await line.was_cut.wait()


async def test_a_page_that_does_not_read_is_cut_at_once() -> None:
    line = HeldLine()
    viewer = viewer_on(line)
    writing = asyncio.create_task(viewer.write(lambda: START_NS))
    line.reads.clear()
    viewer.outbox.offer(packed(1))
    viewer.wake()
    await line.offered.wait()
    viewer.end(FORBIDDEN, "out")
    assert line.was_cut.is_set()
    with pytest.raises(ConnectionError):
        await writing
    assert line.sent == []


async def test_what_a_page_has_not_taken_is_bounded_and_it_goes_on_with_the_newest() -> None:
    line = HeldLine()
    viewer = viewer_on(line)
    viewer.took(0)
    writing = asyncio.create_task(viewer.write(lambda: START_NS))
    for number in range(12):
        viewer.say("refused", "annotate", str(number), "x" * (100 << 10))
        for _ in range(3):
            await asyncio.sleep(0)
    assert len(line.sent) == 6, "the socket would take it all: it is the page that has not"
    for seq in range(40):
        viewer.outbox.offer(packed(seq))
    viewer.took(sum(map(len, line.sent)))
    while viewer.late or not viewer.outbox.empty:
        viewer.took(sum(map(len, line.sent)))
        await asyncio.sleep(0)
    numbers = [e[1][2] for d in line.sent[12:] for e in msgpack.unpackb(d)[2]]
    assert numbers == [39]
    assert viewer.outbox.report() == {"or1/monitor/hr": 39}, "and what was left out is stated"
    viewer.end(FORBIDDEN, "out")
    await writing


async def test_a_page_too_slow_for_its_alarms_is_told_to_come_back() -> None:
    line = HeldLine()
    viewer = viewer_on(line)
    for number in range(viewer.outbox.bounds.messages + 1):
        viewer.say("refused", "annotate", str(number), "x")
    await viewer.write(lambda: START_NS)
    assert line.closed is not None
    assert line.closed[0] == TOO_SLOW


async def test_a_long_reason_is_cut_to_what_a_close_frame_holds() -> None:
    line = HeldLine()
    viewer = viewer_on(line)
    viewer.end(FORBIDDEN, "手術室" * 40)
    await viewer.write(lambda: START_NS)
    assert line.closed is not None
    assert len(line.closed[1].encode()) <= 123
    assert msgpack.unpackb(line.sent[0])[2] == "手術室" * 40


# -- answers of several holders


def test_answers_of_several_holders_are_one_up_to_where_the_first_was_cut() -> None:
    frames = [hr(number).frame for number in range(8)]
    second_ns = [START_NS + number * 1_000_000_000 for number in range(8)]
    whole = HistoryReply(frames=frames[1::2], first_ns=second_ns[1])
    cut = HistoryReply(
        frames=frames[0:4:2], complete=False, next_ns=second_ns[4], first_ns=second_ns[0]
    )
    merged = merge([whole, cut])
    assert merged.frames == frames[:4]
    assert (merged.complete, merged.next_ns) == (False, second_ns[4])
    assert merged.first_ns == second_ns[0]
    assert merge([whole]).complete
    assert merge([]) == HistoryReply()
