"""A patient's own images at the gateway: who gets them, over real HTTP, and what is written."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.contract.gateway_bench import Page, Room, enter, page, running_room
from tests.unit.volume_sources import PATIENT, phantom

pytestmark = [pytest.mark.system]


async def get(
    room: Room, name: str, cookies: httpx.Cookies | None, who: str = ""
) -> httpx.Response:
    """Ask for a file of a volume as a page's worker does."""
    async with httpx.AsyncClient(trust_env=False, cookies=cookies, timeout=30.0) as client:
        return await client.get(f"{room.origin}/volumes/{name}{who}")


def knocking(wall: Page, who: str) -> bool:
    lists = wall.all("people")
    return bool(lists) and any(r["id"] == who and r["state"] == "knocking" for r in lists[-1][1])


async def test_images_stay_in_the_room_unless_its_file_lets_an_admitted_consultant_see_them(
    tmp_path: Path,
) -> None:
    made = phantom()
    source = str(made.write_dicom(tmp_path / "ct"))
    bad = str(made.write_dicom(tmp_path / "gap", lambda n, _image: n != 4))

    def derive(_n: int, image: Dataset) -> None:
        image.ImageType = ["DERIVED", "SECONDARY"]

    derived = str(made.write_dicom(tmp_path / "derived", derive))
    volumes = [
        {"frame": "patient", "source": source, "axes": "LPS"},
        {"frame": "defaced", "source": source, "remote": True},
        {"frame": "gap", "source": bad},
        {"frame": "maybe_text", "source": derived, "remote": True},
        {"frame": "looked_at", "source": derived, "remote": True, "text_checked": True},
    ]
    with running_room(tmp_path / "or1", volume=volumes) as room:
        staff = httpx.Cookies()
        await enter(room, room.wall, staff)
        async with page(room, cookies=staff) as wall:
            catalogue = (await wall.message("hello"))[1]["catalogue"]
            frames = ("patient", "defaced", "gap", "maybe_text", "looked_at")
            assert catalogue["volumes"] == {name: f"room{n}" for n, name in enumerate(frames)}
            meta = (await get(room, "room0.json", staff)).json()
            assert meta["axes"] == "LPS"
            np.testing.assert_allclose(meta["affine"], made.affine, atol=2e-4)
            voxels = np.frombuffer((await get(room, meta["data"], staff)).content, "<i2")
            assert np.array_equal(voxels.reshape(made.values.shape), made.values)
            broken = await get(room, "room2.json", staff)
            assert broken.status_code == 409
            assert "1 missing between" in broken.json()["error"]
            for name in ("room7.json", "room0.bin.part", "..%2froom.json", "room0"):
                assert (await get(room, name, staff)).status_code in (403, 404)
            assert (await get(room, "room0.json", None)).status_code == 401

            invited = room.invite()
            guest = httpx.Cookies()
            await enter(room, invited["url"].partition("#")[2], guest)
            async with page(room, cookies=guest, guest=True) as remote:
                await wall.until(lambda: knocking(wall, invited["id"]))
                for name in ("room0.json", "room1.json", "room1.bin"):
                    assert (await get(room, name, guest)).status_code == 403, "nobody let them in"
                await wall.say("admit", invited["id"])
                await remote.message("hello")
                sent = await get(room, "room1.bin", guest)
                assert sent.status_code == 200
                assert sent.headers["content-encoding"] == "gzip"
                told = np.frombuffer(sent.content, "<i2").reshape(made.values.shape)
                assert np.array_equal(told, made.values), "the very voxels that the room sees"
                assert PATIENT.encode() not in sent.content
                for name in ("room3.json", "room3.bin"):
                    withheld = await get(room, name, guest)
                    assert withheld.status_code == 403
                    assert "text may be burnt" in withheld.json()["error"]
                assert (await get(room, "room3.json", staff)).status_code == 200
                assert (await get(room, "room4.json", guest)).status_code == 200
                assert (await get(room, "room0.bin", guest)).status_code == 403
            engineer = httpx.Cookies()
            await enter(room, room.invite(role="engineer")["url"].partition("#")[2], engineer)
            assert (await get(room, "room1.json", engineer)).status_code == 403
        refused = [row for row in room.audit if row["what"] == "volume"]
        assert {row["outcome"] for row in refused} == {"failure"}
        assert len(refused) >= 6, "each refused try is in the audit"
