"""A registration over OpenIGTLink: told, judged, and void when the reference moved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from scot.channel import Kind
from scot.provider import DeviceContext
from scot.sample import Flags, Sample
from scot_devices.openigtlink import messages as m
from scot_devices.openigtlink.options import TrackerOptions
from scot_devices.openigtlink.protocol import encode
from scot_devices.openigtlink.provider import OpenIGTLinkProvider
from scot_devices.openigtlink.session import Session
from tests.unit.test_openigtlink_provider import UPRIGHT, context, pose

HALF = math.sqrt(0.5)
# A quarter turn about z and a shift: from the picture to the tracker's reference.
QUARTER: m.Matrix = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 10.0, 20.0, 30.0)
OTHER: m.Matrix = (*QUARTER[:9], 11.0, 20.0, 30.0)


class Peer:
    """A session, and what it yielded."""

    def __init__(self, **registration: Any) -> None:
        told = {"name": "ImageToReference", "frame": "patient", **registration}
        tools = [{"name": "Probe"}, {"name": "Star"}]
        self.device: DeviceContext[TrackerOptions] = context(
            frame="reference", tools=tools, registration=told
        )
        self.session = Session(self.device, OpenIGTLinkProvider.status)
        self.now_ns = 0

    def say(
        self, name: str, matrix: m.Matrix = UPRIGHT, after_s: float = 0.01, **metadata: str
    ) -> list[Sample]:
        self.now_ns += round(after_s * 1e9)
        message = m.Transform(device=name, matrix=matrix, metadata=metadata)
        return list(self.session.receive(encode(message, 2), self.now_ns))

    def worth(self, samples: list[Sample]) -> tuple[bool, str]:
        """Whether the last registration told holds, and the last line."""
        told = [s for s in samples if s.channel == "registration"][-1]
        line = [s for s in samples if s.channel == "registration_state"][-1]
        assert (Flags.INVALID in told.flags) is not pose(told).visible
        return pose(told).visible, str(line.value)


def test_a_registration_is_a_pose_from_the_tools_frame_to_the_pictures() -> None:
    peer = Peer(inverse=True, tre_mm=1.2, fre_mm=0.6)
    channel = peer.device.channels["registration"]
    assert (channel.kind, channel.frame, channel.err_mm) == (Kind.POSE, "patient", 1.2)
    assert channel.attrs == {"maps_from": "reference", "fre_mm": 0.6}
    first = peer.say("Probe")
    assert peer.worth(first) == (False, "not registered: not told yet")
    told = peer.say("ImageToReference", QUARTER)
    assert peer.worth(told) == (True, "registered · TRE 1.2 mm · FRE 0.6 mm")
    value = pose(told[0])
    assert value.position_mm == pytest.approx((-20.0, 10.0, -30.0)), "turned round"
    assert value.orientation == pytest.approx((0.0, 0.0, -HALF, HALF))
    assert value.err_mm == 1.2
    assert "image_to_reference" not in peer.device.channels, "it is no tool"
    assert [s.channel for s in peer.say("Probe")] == ["probe"]
    later = peer.say("Probe", after_s=0.6)
    assert [s.channel for s in later] == ["probe", "registration"], "a late page hears it too"


def test_a_transform_that_is_not_rigid_or_says_so_itself_registers_nothing() -> None:
    peer = Peer(tre_mm=1.0)
    scaled: m.Matrix = (1.02, *UPRIGHT[1:])
    good, why = peer.worth(peer.say("ImageToReference", scaled))
    assert (good, "not rigid: off by 0.04 (limit 0.001" in why) == (False, True)
    assert peer.worth(peer.say("ImageToReference"))[0]
    out = peer.say("ImageToReference", TransformStatus="MISSING")
    assert peer.worth(out) == (
        False,
        "not registered: the navigation system says that it is not valid",
    )
    assert peer.worth(peer.say("ImageToReference", TRE="0.7")) == (True, "registered · TRE 0.7 mm")


def moved(by_mm: float, degrees: float = 0.0) -> m.Matrix:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (c, s, 0.0, -s, c, 0.0, 0.0, 0.0, 1.0, 1.0 + by_mm, 2.0, 3.0)


@pytest.mark.parametrize(("by", "turn", "said"), [(1.2, 0.0, "1.2 mm and 0.0°"), (0, 0.7, "0.7°")])
def test_when_the_reference_moved_only_another_registration_counts(
    by: float, turn: float, said: str
) -> None:
    peer = Peer(reference="Star")
    assert not peer.worth(peer.say("ImageToReference", QUARTER))[0], "the reference is not seen"
    assert peer.worth(peer.say("Star"))[0]
    assert [s.channel for s in peer.say("Star", moved(0.4))] == ["star"]
    good, why = peer.worth(peer.say("Star", moved(by, turn)))
    assert not good
    assert said in why
    peer.say("Star")
    again = peer.say("ImageToReference", QUARTER, after_s=0.6)
    assert not pose(again[-1]).visible, "neither going back nor the same again heals it"
    peer.say("Star", moved(by, turn))
    assert peer.worth(peer.say("ImageToReference", OTHER))[0]


def test_a_hidden_reference_suspends_and_silence_ends_a_registration() -> None:
    peer = Peer(reference="Star", told_within_s=5.0)
    peer.say("Star")
    assert peer.worth(peer.say("ImageToReference", QUARTER))[0]
    hidden = peer.say("Star", TransformStatus="OUT_OF_VIEW")
    assert peer.worth(hidden) == (False, "not registered: the reference is not seen")
    assert peer.worth(peer.say("Star"))[0]
    silent = peer.say("Probe", after_s=6.0)
    assert peer.worth(silent) == (False, "not registered: not told for more than 5 s")
    assert peer.worth(peer.say("ImageToReference", QUARTER))[0]


def test_a_registration_from_a_file_holds_from_the_start_or_says_what_is_wrong(
    tmp_path: Path,
) -> None:
    file = tmp_path / "registration.txt"
    file.write_text("1 0 0 5  0 1 0 6  0 0 1 7  0 0 0 1")
    peer = Peer(name="", file=file)
    good, why = peer.worth(peer.say("Probe"))
    assert (good, why) == (True, "registered · error not told")
    file.write_text("1 0 0 5  0 2 0 6  0 0 1 7  0 0 0 1")
    bad = Peer(name="", file=file)
    assert "not rigid" in bad.worth(bad.say("Probe"))[1]
    gone = Peer(name="", file=tmp_path / "none.txt")
    assert gone.worth(gone.say("Probe"))[1] == "not registered: none.txt cannot be read"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"frame": "patient"}, "give name (TRANSFORM) or file"),
        ({"frame": "reference", "name": "A"}, "give each its own name"),
        ({"frame": "patient", "name": "A", "reference": "Star"}, "none of the tools"),
        ({"frame": "patient", "file": "a", "told_within_s": 3}, "a file is told once"),
    ],
)
def test_options_that_cannot_mean_anything_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrackerOptions(host="h", frame="reference", registration=more)
    assert said in str(caught.value)
