"""Layouts of a room over real HTTP: who may, what is refused, what outlives a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from scot_dashboard.layouts import FILE
from tests.contract.gateway_bench import Room, page, running_room

pytestmark = [pytest.mark.system]

PANES = [{"pane": "waves", "x": 0, "y": 0, "w": 8, "h": 24}]


def body(base: int = 0, **more: Any) -> dict[str, Any]:
    return {"base": base, "layout": {"view": "wall", "panes": PANES, "hidden": [], **more}}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """One room for this module; each test saves under its own name."""
    with running_room(tmp_path_factory.mktemp("state") / "or1") as running:
        yield running


@contextmanager
def signed_in(room: Room, secret: str) -> Iterator[httpx.Client]:
    """A browser on the room's own page whose person has entered."""
    headers = {"Origin": room.origin}
    with httpx.Client(base_url=room.origin, headers=headers, trust_env=False) as client:
        assert client.post("/enter", json={"secret": secret}).status_code == 204
        yield client


@pytest.fixture
def staff(room: Room) -> Iterator[httpx.Client]:
    with signed_in(room, room.wall) as client:
        yield client


@pytest.mark.parametrize("role", ["consultant", "engineer"])
def test_who_is_not_of_the_room_may_neither_read_nor_save(
    room: Room, staff: httpx.Client, role: str
) -> None:
    staff.put("/layouts/Secret", json=body())
    with signed_in(room, room.invite(role=role)["url"].partition("#")[2]) as guest:
        for answer in (
            guest.get("/layouts"),
            guest.get("/layouts/Secret"),
            guest.get("/layouts/Secret/versions"),
            guest.put("/layouts/Secret", json=body(1)),
            guest.post("/layouts/Secret/restore", json={"base": 1, "version": 1}),
            guest.delete("/layouts/Secret?base=1"),
        ):
            assert answer.status_code in (401, 403)
            assert "waves" not in answer.text
    assert staff.get("/layouts/Secret").json()["version"] == 1
    assert any(row["outcome"] != "success" for row in room.audit if "arrange" in str(row))


def test_the_second_of_two_editors_gets_what_stands_instead_of_writing_over_it(
    staff: httpx.Client,
) -> None:
    assert staff.put("/layouts/夜勤 2", json=body()).status_code == 201
    theirs = staff.put("/layouts/夜勤 2", json=body(1, hidden=["trends"]))
    assert theirs.json()["version"] == 2
    mine = staff.put("/layouts/夜勤 2", json=body(1, hidden=["log"]))
    assert mine.status_code == 409
    told = mine.json()
    assert told["current"] == {k: v for k, v in theirs.json().items() if k != "name"}
    assert "another name" in told["error"]
    assert staff.get("/layouts/夜勤 2").json()["hidden"] == ["trends"]
    back = staff.post("/layouts/夜勤 2/restore", json={"base": 2, "version": 1})
    assert (back.json()["version"], back.json()["restored"]) == (3, 1)
    assert [v["version"] for v in staff.get("/layouts/夜勤 2/versions").json()["versions"]] == [
        1,
        2,
        3,
    ]


@pytest.mark.parametrize(
    ("name", "sent", "status"),
    [
        ("x", body(panes=[*PANES, {**PANES[0], "pane": "trends"}]), 400),
        ("x", body(panes=[]), 400),
        ("x", body(more=1), 400),
        ("x", {**body(), "author": "somebody else"}, 400),
        ("x", body(-1), 400),
        ("<script>", body(), 400),
        ("x" * 41, body(), 400),
        ("a@3", body(), 400),
        ("x", body(hidden=[f"device:{'y' * 140}{i}" for i in range(90)]), 413),
    ],
)
def test_what_is_not_a_layout_is_refused_with_one_line(
    staff: httpx.Client, name: str, sent: Any, status: int
) -> None:
    answer = staff.put(f"/layouts/{name}", json=sent)
    assert answer.status_code == status, answer.text
    assert "\n" not in answer.json()["error"]
    assert staff.get("/layouts/x").status_code == 404


async def test_every_page_of_the_room_is_told_and_no_guests_is(
    room: Room, staff: httpx.Client
) -> None:
    async with page(room) as wall, page(room, room.invite()["url"].partition("#")[2]) as guest:
        await wall.until(lambda: wall.all("layouts"))
        saved = await asyncio.to_thread(staff.put, "/layouts/Told", json=body())
        assert saved.status_code == 201
        told = await wall.until(
            lambda: [m for m in wall.all("layouts") if any(x["name"] == "Told" for x in m[1])]
        )
        line = next(line for line in told[-1][1] if line["name"] == "Told")
        assert (line["version"], line["author"]) == (1, "OR staff")
        assert "panes" not in line
        await guest.until(lambda: guest.all("people"))
        assert not guest.all("layouts")


def test_layouts_outlive_a_crash_of_the_gateway(room: Room) -> None:
    with signed_in(room, room.wall) as client:
        kept = client.put("/layouts/Kept", json=body()).json()
    assert room.dashboard is not None
    room.dashboard.kill()
    room.open()
    with signed_in(room, room.wall) as client:
        assert client.get("/layouts/Kept").json() == kept
    assert (room.state / FILE).stat().st_mode & 0o077 == 0
