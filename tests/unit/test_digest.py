"""Equal digests mean equal samples; nothing else may change them, and any change must."""

from __future__ import annotations

import hashlib
import random

import msgpack
import pytest

from scot.codec import Frame, read_header
from scot_replay.digest import Digest, in_digest, whole
from tests.golden.recording_frames import case

FRAMES = case(3.0)


def digest(frames: list[Frame]) -> dict[str, str]:
    taken = Digest()
    for frame in frames:
        taken.add(frame)
    return taken.result()


def test_a_stranger_can_compute_it_from_the_description() -> None:
    expected: dict[str, str] = {}
    for address in {frame.address for frame in FRAMES}:
        if not in_digest(address):
            continue
        channel = hashlib.sha256()
        mine = [frame for frame in FRAMES if frame.address == address]
        for frame in sorted(mine, key=lambda f: msgpack.unpackb(f.header)[1:3]):
            fields = msgpack.unpackb(frame.header)
            del fields[1]  # the epoch
            channel.update(msgpack.packb(fields) + frame.payload)
        expected[address] = channel.hexdigest()
    lines = "".join(f"{address} {expected[address]}\n" for address in sorted(expected))
    expected[""] = hashlib.sha256(lines.encode()).hexdigest()
    assert digest(FRAMES) == expected


def test_order_between_channels_and_small_disorder_within_one_do_not_matter() -> None:
    shuffled = list(FRAMES)
    random.Random(1).shuffle(shuffled)
    assert digest(shuffled) == digest(FRAMES)


def test_a_sample_that_comes_twice_counts_once() -> None:
    assert digest(FRAMES + FRAMES[:50]) == digest(FRAMES)


@pytest.mark.parametrize("place", [0, 40, len(FRAMES) - 1])
def test_one_byte_changes_the_channel_and_the_whole_and_no_other_channel(place: int) -> None:
    counted = [frame for frame in FRAMES if in_digest(frame.address)]
    place = min(place, len(counted) - 1)
    frame = counted[place]
    changed = frame._replace(payload=frame.payload[:-1] + bytes([frame.payload[-1] ^ 1]))
    before, after = digest(counted), digest([*counted[:place], changed, *counted[place + 1 :]])
    assert {a for a in before if before[a] != after[a]} == {"", frame.address}


def test_a_missing_sample_changes_it() -> None:
    assert digest(FRAMES[:-1])[""] != digest(FRAMES)[""]


def test_the_rooms_own_channels_and_health_do_not_count() -> None:
    assert not any(
        in_digest(address)
        for address in ("or1/room/clock", "or1/recorder/alarms", "or1/monitor/health")
    )
    assert in_digest("or1/monitor/hr")
    assert in_digest("or1/roomy/hr")


def test_a_new_start_of_a_publisher_comes_after_the_old_one() -> None:
    frame = next(frame for frame in FRAMES if frame.address == "or1/monitor/hr")
    header = read_header(frame)
    fields = msgpack.unpackb(frame.header)
    fields[1] = header.epoch + 1
    again = frame._replace(header=msgpack.packb(fields))
    assert digest([frame, again]) == digest([again, frame])
    assert digest([frame, again]) != digest([frame])


def test_the_whole_does_not_depend_on_the_order_of_channels() -> None:
    assert whole({"a": "1", "b": "2"}) == whole({"b": "2", "a": "1"})
