"""A latency is written into a room file without touching anything else in it."""

from __future__ import annotations

from pathlib import Path

import pytest

import scot
from scot.config import LatencyTable, load_room
from scot.errors import ConfigError
from scot_devices.calibrate import roomfile

TABLE = LatencyTable(
    value_ms=81.25,
    err_ms=0.4,
    method="content",
    when="2026-07-01T09:30:00Z",
    against="tracker/probe",
    channel="video",
)
OTHER = LatencyTable(value_ms=-3.0, err_ms=1e-05, method="declared")
ROOM = """\
# the room of the third floor
[room]
workspace = "or3"   # never renamed

[[device]]  # the eye
name = "scope"
provider = "video"
[device.options]
source = "http://127.0.0.1:$port/scope.mjpg"

# what follows is the tracker's
[[device]]
provider = "openigtlink"
name = "tracker"
[device.options]
host = "127.0.0.1"
tools = [
    { name = "Probe" },
    # [device.latency]
]
"""


@pytest.mark.parametrize("device", ["scope", "tracker"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_was_put_in_is_taken_out_without_a_trace(device: str, newline: str) -> None:
    room = ROOM.replace("\n", newline)
    written = roomfile.edit(room, device, TABLE)
    assert written != room
    assert "# what follows is the tracker's" in written
    assert roomfile.edit(written, device, None) == room


def test_a_second_calibration_takes_the_place_of_the_first() -> None:
    once = roomfile.edit(ROOM, "scope", TABLE)
    twice = roomfile.edit(once, "scope", OTHER)
    assert twice.count("[device.latency]") == once.count("[device.latency]") == 2  # one a comment
    assert twice == roomfile.edit(ROOM, "scope", OTHER)


def test_the_room_then_reads_it_and_the_file_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "room.toml"
    path.write_text(ROOM)
    path.chmod(0o640)
    roomfile.write(path, "scope", TABLE)
    room = load_room(path, {"port": "8554"})
    assert room.device[0].latency == TABLE
    assert room.device[1].latency is None
    assert path.stat().st_mode & 0o777 == 0o640
    roomfile.write(path, "scope", None)
    assert path.read_text() == ROOM
    assert [p.name for p in tmp_path.iterdir()] == ["room.toml"]


def test_a_link_to_a_room_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text(ROOM)
    link = tmp_path / "link.toml"
    link.symlink_to(tmp_path / "real.toml")
    roomfile.write(link, "scope", TABLE)
    assert link.is_symlink()
    assert "81.25" in (tmp_path / "real.toml").read_text()


def test_scots_own_demo_is_never_changed() -> None:
    demo = Path(scot.__file__).parent / "rooms" / "demo.toml"
    before = demo.read_bytes()
    assert roomfile.is_bundled(demo)
    with pytest.raises(ConfigError, match="edit a copy"):
        roomfile.write(demo, "scope", TABLE)
    assert demo.read_bytes() == before
    assert "81.25" in roomfile.edit(before.decode(), "scope", TABLE)


@pytest.mark.parametrize(
    "text",
    [
        'device = [{ name = "scope", provider = "video" }]\n',
        '[[device]]\nname = "scope"\nprovider = "video"\nlatency = { value_ms = 1, err_ms = 1 }\n',
        '[[device]]\nname = "scope"\nprovider = "video"\n[device."latency"]\nvalue_ms = 1\n',
    ],
)
def test_what_cannot_be_edited_safely_is_left_and_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "room.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="by hand"):
        roomfile.write(path, "scope", TABLE)
    assert path.read_text() == text
    assert len(list(tmp_path.iterdir())) == 1


def test_a_device_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="has no 'eye'; its devices: scope, tracker"):
        roomfile.edit(ROOM, "eye", TABLE)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be changed"):
        roomfile.write(tmp_path / "none.toml", "scope", TABLE)
