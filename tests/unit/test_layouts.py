"""The room's layouts: versioned, never overlapping, never written over, never lost."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from scot_dashboard.door import RefusedError
from scot_dashboard.layouts import MAX_NAMES, MAX_VERSIONS, ConflictError, Layout, Layouts

NOW_NS = 1_800_000_000_000_000_000


def place(pane: str, x: int, y: int, w: int, h: int) -> dict[str, Any]:
    return {"pane": pane, "x": x, "y": y, "w": w, "h": h}


def layout(*places: dict[str, Any], **more: Any) -> Layout:
    panes = list(places) or [place("waves", 0, 0, 8, 24), place("video:scope/video", 8, 0, 16, 24)]
    return Layout.model_validate({"view": "wall", "panes": panes, **more})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "layouts.json"


def test_every_save_is_a_version_with_author_and_bus_time_and_outlives_the_process(
    path: Path,
) -> None:
    room = Layouts(path)
    first = room.save("Neuro", 0, layout(), "OR staff", NOW_NS)
    second = room.save("Neuro", 1, layout(place("waves", 0, 0, 24, 24)), "K", NOW_NS + 1)
    assert (first.version, second.version) == (1, 2)
    again = Layouts(path)
    assert again.get("Neuro") == second
    assert again.get("Neuro", 1) == first
    assert [(v["version"], v["author"], v["saved_ns"]) for v in again.versions("Neuro")] == [
        (1, "OR staff", NOW_NS),
        (2, "K", NOW_NS + 1),
    ]
    assert again.newest() == [second.line("Neuro")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_of_two_editors_the_second_is_told_what_stands_and_nothing_is_lost(path: Path) -> None:
    room = Layouts(path)
    room.save("Neuro", 0, layout(), "A", NOW_NS)
    theirs = room.save("Neuro", 1, layout(place("waves", 0, 0, 24, 24)), "A", NOW_NS)
    mine = layout(place("trends", 0, 0, 24, 24))
    with pytest.raises(ConflictError, match=r"'Neuro' is now version 2 by A, .* version 1") as told:
        room.save("Neuro", 1, mine, "B", NOW_NS)
    assert told.value.status == 409
    assert told.value.current == theirs
    assert Layouts(path).get("Neuro") == theirs, "what was saved first stands"
    assert room.save("Neuro B", 0, mine, "B", NOW_NS).version == 1
    assert room.save("Neuro", 2, mine, "B", NOW_NS).version == 3, "knowingly over theirs"
    assert room.get("Neuro", 2) == theirs


def test_a_new_name_never_writes_over_one_that_is_there(path: Path) -> None:
    room = Layouts(path)
    kept = room.save("手術室 1", 0, layout(), "A", NOW_NS)
    with pytest.raises(ConflictError):
        room.save("手術室 1", 0, layout(place("waves", 0, 0, 1, 1)), "B", NOW_NS)
    assert room.get("手術室 1") == kept


def test_an_old_version_comes_back_as_a_new_one(path: Path) -> None:
    room = Layouts(path)
    old = room.save("Neuro", 0, layout(), "A", NOW_NS)
    room.save("Neuro", 1, layout(place("waves", 0, 0, 24, 24)), "A", NOW_NS)
    back = room.restore("Neuro", 2, 1, "B", NOW_NS + 5)
    assert (back.version, back.restored, back.author) == (3, 1, "B")
    assert back.panes == old.panes
    with pytest.raises(RefusedError, match="no version 9, only 1 to 3"):
        room.restore("Neuro", 3, 9, "B", NOW_NS)


def test_names_and_versions_are_bounded_and_the_oldest_go_first(path: Path) -> None:
    room = Layouts(path)
    for version in range(MAX_VERSIONS + 5):
        room.save("Neuro", version, layout(), "A", NOW_NS + version)
    assert room.versions("Neuro")[0]["version"] == 6
    for n in range(MAX_NAMES - 1):
        room.save(f"n{n}", 0, layout(), "A", NOW_NS)
    with pytest.raises(RefusedError, match="delete one"):
        room.save("one more", 0, layout(), "A", NOW_NS)
    room.delete("n0", 1)
    room.save("one more", 0, layout(), "A", NOW_NS)


def test_a_save_that_the_disk_refuses_changes_nothing(path: Path) -> None:
    room = Layouts(path)
    kept = room.save("Neuro", 0, layout(), "A", NOW_NS)
    room.path = path / "not a folder" / "layouts.json"
    with pytest.raises(RefusedError, match="not saved") as refused:
        room.save("Neuro", 1, layout(place("waves", 0, 0, 1, 1)), "A", NOW_NS)
    assert refused.value.status == 507
    assert room.get("Neuro") == kept == Layouts(path).get("Neuro")


@pytest.mark.parametrize("data", [b"", b"{", b'{"form":"scot-layouts/9"}', b"\xff" * 100])
def test_a_damaged_file_is_put_aside_and_the_room_goes_on(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    room = Layouts(path)
    assert room.newest() == []
    assert path.with_name("layouts.json.damaged").read_bytes() == data
    room.save("Neuro", 0, layout(), "A", NOW_NS)
    assert [line["name"] for line in Layouts(path).newest()] == ["Neuro"]


@pytest.mark.parametrize(
    ("places", "more", "why"),
    [
        ([place("waves", 0, 0, 8, 8), place("trends", 7, 7, 2, 2)], {}, "overlap at"),
        ([place("waves", 0, 0, 8, 8), place("waves", 9, 9, 2, 2)], {}, "named twice"),
        ([place("waves", 0, 0, 8, 8)], {"hidden": ["waves"]}, "named twice"),
        ([place("waves", 20, 0, 5, 8)], {}, "outside the grid"),
        ([place("waves", 0, 0, 0, 8)], {}, "greater than or equal to 1"),
        ([place("waves", -1, 0, 2, 8)], {}, "greater than or equal to 0"),
        ([place("<b>", 0, 0, 2, 8)], {}, "match pattern"),
        ([place("device:" + "x" * 200, 0, 0, 2, 8)], {}, "match pattern"),
        ([{**place("waves", 0, 0, 2, 8), "script": "x"}], {}, "not permitted"),
        ([place("waves", 0, 0, 2, 8)], {"view": "consult"}, "'wall' or 'station'"),
    ],
)
def test_a_layout_that_cannot_be_shown_is_refused_and_says_why(
    places: list[dict[str, Any]], more: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        layout(*places, **more)
