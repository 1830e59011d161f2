"""A room has the time zone it says, else its machine's; a name that no browser knows is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from scot import zone
from scot.cli.replay import _room
from scot_replay.recording import open_recording
from tests.golden.recording_frames import case
from tests.golden.recording_writing import write_recording


@pytest.mark.parametrize("name", ["Asia/Tokyo", "America/Argentina/Ushuaia", "UTC", "Etc/UTC"])
def test_a_name_of_the_database_is_known(name: str) -> None:
    assert zone.known(name)


@pytest.mark.parametrize(
    "name",
    ["", "Tokyo", "Asia", "../etc/passwd", "/etc/localtime", "right/UTC", "Asia/\0", "JST-9"],
)
def test_anything_else_is_not(name: str) -> None:
    assert not zone.known(name)


def test_a_wrong_name_is_answered_with_what_was_meant() -> None:
    assert zone.like("tokyo")[0] == "Asia/Tokyo"
    assert zone.like("new york")[0] == "America/New_York"
    assert zone.like("Europe/Berlim")[0] == "Europe/Berlin"
    assert zone.like("europe/berlin") == ["Europe/Berlin"]
    assert zone.like("") == zone.like("qqqqqqqq") == []


def test_the_machine_says_its_zone_by_name_or_not_at_all(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    there = tmp_path / "zoneinfo" / "Asia" / "Tokyo"
    there.parent.mkdir(parents=True)
    there.touch()
    assert zone.of_machine({}, link) == "", "no such file"
    link.symlink_to(there)
    assert zone.of_machine({}, link) == "Asia/Tokyo"
    assert zone.of_machine({"TZ": ":Europe/Berlin"}, link) == "Europe/Berlin"
    assert zone.of_machine({"TZ": "JST-9"}, link) == "", "a rule has no name"
    link.unlink()
    link.touch()
    assert zone.of_machine({}, link) == "", "a copy has none either"


@pytest.mark.parametrize("sealed", [0, 1])
def test_a_recording_keeps_the_zone_of_its_room_and_a_replay_takes_no_other(
    tmp_path: Path, sealed: int
) -> None:
    write_recording(tmp_path / "rec", [case(2.0)], sealed, time_zone="America/St_Johns")
    opened = open_recording(tmp_path / "rec")
    assert opened.catalogue.time_zone == "America/St_Johns"
    assert _room(opened, None, False, None).room.time_zone == "America/St_Johns"
