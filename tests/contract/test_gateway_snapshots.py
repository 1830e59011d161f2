"""Snapshots: a mark that names the very frame, by role, in the audit, honest about the recorder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgpack
import pytest

from scot.channel import Video
from tests.contract.gateway_bench import Page, Room, Source, page, running_room, source

pytestmark = [pytest.mark.system]
VIDEO = "or1/scope/video"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with running_room(tmp_path / "room") as running:
        yield running


@pytest.fixture
async def scope(room: Room) -> AsyncIterator[Source]:
    async with source(room) as joined:
        await joined.announce("scope", Video("video"))
        yield joined


async def snap(wall: Page, ident: str, at_ns: int, channel: str = VIDEO) -> None:
    await wall.say(
        "annotate", {"id": ident, "channel": channel, "at_ns": at_ns, "tool": "snapshot"}
    )


async def test_a_snapshot_names_a_frame_that_exists_and_says_that_no_recorder_runs(
    room: Room, scope: Source
) -> None:
    async with page(room) as wall:
        await wall.message("hello")
        frames = [scope.say("scope/video", bytes(900), key=n == 0) for n in range(4)]
        await wall.count(VIDEO, 4)
        await snap(wall, "s1", frames[2])  # not the newest: a moment in the past
        assert await wall.message("snapshot", "s1") == ["snapshot", "s1", False, "recorder"]
        await wall.count("or1/consult/notes", 1)
        ((_, payload),) = wall.samples("or1/consult/notes")
        note = msgpack.unpackb(payload)
        assert (note["tool"], note["channel"], note["at_ns"]) == ("snapshot", VIDEO, frames[2])
        assert note["author"] == "OR staff"

        await snap(wall, "s2", frames[2] + 1)
        assert "nobody holds a frame" in (await wall.message("refused", "annotate", "s2"))[3]
        await snap(wall, "s3", frames[2], "or1/scope/sound")
        assert "takes no snapshot" in (await wall.message("refused", "annotate", "s3"))[3]
        assert len(wall.samples("or1/consult/notes")) == 1
    made = [row for row in room.audit if row["what"] == "snapshot"]
    assert [(row["entity"], row["who"]["role"]) for row in made] == [
        (f"{VIDEO}@{frames[2]}", "or_staff")
    ]
