"""A wrong room file is answered by one line: which file, which key, what it holds, what it may."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from scot import plugin
from scot.config import RESERVED, DeviceTable, RoomFile, load_room, provider_options
from scot.errors import ConfigError
from scot.room import Room

GOOD_DEVICE = """
[[device]]
name = "tracker"
provider = "openigtlink"
[device.options]
host = "127.0.0.1"
"""


class Picky:
    """Stands in for an installed provider: only its options matter here."""

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)

        port: Annotated[int, Field(ge=1, le=65535, description="TCP port")]
        either: str = ""
        other: str = ""

        @model_validator(mode="after")
        def _one(self) -> Picky.Options:
            if self.either == self.other == "no":
                raise ValueError("`either` and `other` are both 'no'; let one be 'yes'")
            if self.either == self.other == "never":
                raise ValueError("`either` and `other` are both 'never'")
            return self


PICKY = f"{__name__}:Picky"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "room.toml"
    path.write_text(text)
    return path


def refused(tmp_path: Path, text: str) -> ConfigError:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_room(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    assert caught.value.where == str(path)
    return caught.value


WRONG: dict[str, tuple[str, str, list[str]]] = {
    "unknown provider": (
        '[[device]]\nname = "a"\nprovider = "teleport"',
        "device[0].provider",
        ["'teleport'", "is not installed", "openigtlink", "sdc", "video"],
    ),
    "provider that cannot be imported": (
        '[[device]]\nname = "a"\nprovider = "no_such_module:Thing"',
        "device[0].provider",
        ["'no_such_module:Thing'", "cannot be imported", "module:Class"],
    ),
    "provider that is none": (
        '[[device]]\nname = "a"\nprovider = "json:dumps"',
        "device[0].provider",
        ["'json:dumps'", "is no provider", "subclass of scot.provider.Provider"],
    ),
    "time zone with another name": (
        '[room]\ntime_zone = "Tokyo"',
        "room",
        ["time_zone 'Tokyo' is not in the IANA time zone database", "write 'Asia/Tokyo'"],
    ),
    "time zone that is a file": (
        '[room]\ntime_zone = "/etc/localtime"',
        "room",
        ["time_zone '/etc/localtime' is not in the IANA", "such as 'Asia/Tokyo'"],
    ),
    "duplicate device": (
        GOOD_DEVICE + GOOD_DEVICE,
        "",
        ["device name 'tracker' is taken", "every device needs its own"],
    ),
    "duplicate simulator": (
        '[[simulator]]\nname = "s"\nmodule = "a"\n[[simulator]]\nname = "s"\nmodule = "b"',
        "",
        ["simulator name 's' is taken", "every simulator needs its own"],
    ),
    "name of a part of every room": (
        GOOD_DEVICE.replace("tracker", "recorder"),
        "",
        [
            "device name 'recorder' belongs to a part of every room",
            "choose another than alarms, broker",
        ],
    ),
    "name that is no name": (
        GOOD_DEVICE.replace("tracker", "Tracker 1"),
        "device[0].name",
        ["'Tracker 1'", "a small letter, then small letters, digits", "^[a-z][a-z0-9_]{0,62}$"],
    ),
    "name with a line feed": (
        GOOD_DEVICE.replace("tracker", "tracker\\n"),
        "device[0].name",
        ["'tracker\\n'"],
    ),
    "bad address": (
        '[[device]]\nname = "m"\nprovider = "sdc"\n[device.options]\naddress = "monitor:6464"',
        "device[0].options.address",
        ["'monitor:6464'", "http(s)://host:port/path"],
    ),
    "port out of range": (
        GOOD_DEVICE + "port = 70000",
        "device[0].options.port",
        ["70000", "less than or equal to 65535"],
    ),
    "bus port without room for six": (
        "[bus]\nport = 65531",
        "bus.port",
        ["65531", "less than or equal to 65530"],
    ),
    "unknown table": ("[rooom]\nworkspace = 'or1'", "rooom", ["is not a known key", "room, bus"]),
    "unknown key": (
        "[recorder]\ndirektory = 'x'",
        "recorder.direktory",
        ["is not a known key", "enabled, directory, segment_s"],
    ),
    "unknown key of a device": (
        GOOD_DEVICE.replace("[device.options]", "silence = 3\n[device.options]"),
        "device[0].silence",
        ["is not a known key", "silence_limit_s"],
    ),
    "unknown option": (
        GOOD_DEVICE + "speed = 3",
        "device[0].options.speed",
        ["is not a known key", "host, port"],
    ),
    "wrong type": (
        "[dashboard]\nport = 'eighty'",
        "dashboard.port",
        ["'eighty'", "valid integer"],
    ),
    "wrong type of a table": ("device = 3", "device", ["3 is not allowed", "list"]),
    "missing key": ('[[device]]\nname = "a"', "device[0].provider", ["is missing"]),
    "missing option": (
        f'[[device]]\nname = "a"\nprovider = "{PICKY}"',
        "device[0].options.port",
        ["is missing"],
    ),
    "rule between options that names its fix": (
        f'[[device]]\nname="a"\nprovider="{PICKY}"\noptions={{port=1,either="no",other="no"}}',
        "device[0].options",
        ["`either` and `other` are both 'no'; let one be 'yes'"],
    ),
    "rule between options that names no fix": (
        f'[[device]]\nname="a"\nprovider="{PICKY}"\noptions={{port=1,either="never",other="never"}}',
        "device[0].options",
        ["`either` and `other` are both 'never'; `scot provider list`"],
    ),
    "bad TOML": ("[room\nworkspace = ", "", ["is not TOML", "line 1"]),
    "value without a name": ("[room]\ncase = '$case'", "", ["$case has no value", "--set case="]),
    "a long value": (
        f"[dashboard]\nport = '{'9' * 500}'",
        "dashboard.port",
        ["999...", "less than or equal to 65535"],
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_with_its_fix(tmp_path: Path, what: str) -> None:
    text, key, says = WRONG[what]
    error = refused(tmp_path, text)
    assert error.key == key
    assert len(str(error)) < 500
    for part in says:
        assert part in str(error)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.toml"
    with pytest.raises(ConfigError, match=r"nowhere.toml: cannot be read \(No such file") as caught:
        load_room(path)
    assert "name an existing room file" in str(caught.value)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "room.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"room.toml: is not TOML"):
        load_room(path)


def test_an_empty_file_is_a_room_without_devices(tmp_path: Path) -> None:
    room = load_room(written(tmp_path, ""))
    assert room == RoomFile()
    assert (room.room.workspace, room.dashboard.host, room.recorder.enabled) == (
        "or1",
        "127.0.0.1",
        True,
    )


def test_names_in_the_text_are_filled_and_dollars_kept(tmp_path: Path) -> None:
    text = "[room]\ncase = '$number for 3 $$'"
    assert load_room(written(tmp_path, text), {"number": "7"}).room.case == "7 for 3 $"


def test_options_become_the_providers_own(tmp_path: Path) -> None:
    room = load_room(written(tmp_path, GOOD_DEVICE))
    options = provider_options(room.device[0], "room.toml", "device[0]")
    assert options.model_dump()["host"] == "127.0.0.1"
    picky = DeviceTable(name="a", provider=PICKY, options={"port": 7})
    assert provider_options(picky, "room.toml", "device[0]") == Picky.Options(port=7)


def test_every_part_of_a_room_keeps_its_name() -> None:
    assert {"room", "broker", "recorder", "player", "dashboard", "console"} <= RESERVED


def test_an_entry_point_that_nobody_registered_names_those_that_are() -> None:
    with pytest.raises(ConfigError, match="installed; installed: bus, comparison"):
        plugin.load("scot.recordings", "tape")


@pytest.mark.parametrize("path", ["", "json", "json:", ":dumps", "json:nothing", "a b:c"])
def test_a_path_that_leads_nowhere_says_how_to_write_one(path: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be imported.*write module:Class"):
        plugin.resolve(path)


CONTROL = """
[[control]]
name = "{name}"
commands = ["{prefix}"]
"""


@pytest.mark.parametrize(
    ("name", "prefix", "said"),
    [
        ("tracker", "tracker/", "control name 'tracker' is taken"),
        ("console", "tracker/", "control name 'console' is taken"),
        ("nurse", "pump/", "may command 'pump/', and the room has no such device; it has: tracker"),
        ("nurse", "tracker", "'tracker' is not allowed"),
        ("nurse", "", "'' is not allowed"),
        ("Nurse", "tracker/", "'Nurse' is not allowed"),
    ],
)
def test_who_may_command_is_checked(tmp_path: Path, name: str, prefix: str, said: str) -> None:
    error = refused(tmp_path, GOOD_DEVICE + CONTROL.format(name=name, prefix=prefix))
    assert said in str(error)


def test_nobody_may_command_unless_the_room_file_says_so(tmp_path: Path) -> None:
    assert load_room(written(tmp_path, GOOD_DEVICE)).control == []
    granted = load_room(written(tmp_path, GOOD_DEVICE + CONTROL.format(
        name="nurse", prefix="tracker/home"
    )))  # fmt: skip
    for room, expected in ((granted, {"nurse": ["or1/tracker/home"]}), (RoomFile(), {})):
        grants = Room(room)._grants()
        assert {grant.name: grant.command for grant in grants if grant.command} == expected
