"""What a device's key may publish is its own device's: recorder, gateway and readers survive it.

The broker forwards these frames, for address and key are right. Everything behind it must take an
absurd header, payload or count without stopping, and record the honest stream to the end.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

import scot
from scot.bus.keys import Link
from scot.channel import Kind
from scot.codec import read_header
from tests.attacks.bombs import BOMBS
from tests.attacks.conftest import Target
from tests.attacks.honest import ADDRESS, Honest, Memory
from tests.attacks.test_attack_device_key import NOW, announcement, ask, desk, header, pack
from tests.attacks.zmtp import Attacker

pytestmark = pytest.mark.system

MB = 1 << 20
KINDS = {kind.value: kind.value for kind in Kind}
LEAST, MOST = -(2**63), 2**63 - 1
SERVICES = {"recorder": "or1/recorder/health", "dashboard": "or1/consult/health"}


class Behind:
    """Recorder and gateway: that they go on is seen by their health; their memory is bounded."""

    def __init__(self, target: Target, honest: Honest) -> None:
        self.target = target
        self.honest = honest
        self.memory = {name: Memory(target.services[name].pid) for name in SERVICES}
        self.counts = {name: honest.others.get(SERVICES[name], 0) for name in SERVICES}

    def unharmed(self, most: int = 96 * MB) -> None:
        for name, address in SERVICES.items():
            self.honest.seen(address, self.honest.others.get(address, 0) + 2)
            assert self.memory[name].grown_bytes < most, name
            assert "Traceback" not in self.target.logged(name), self.target.logged(name)
        self.honest.unharmed()


@pytest.fixture
def behind(target: Target, honest: Honest) -> Behind:
    return Behind(target, honest)


def announced(link: Link) -> None:
    """Announce the key's device with a channel of each kind."""
    with desk(link) as asking:
        status, text = ask(asking, b"announce", announcement(link, **KINDS))
        assert status == b"ok", text


def topic(link: Link, channel: str) -> bytes:
    return f"or1/{link.name}/{channel}".encode() + b"\0"


def test_payloads_that_are_bombs(thief: Link, behind: Behind, memory: Memory) -> None:
    """Every kind of channel, health among them, with every bomb and with noise."""
    announced(thief)
    rng = random.Random(1)
    noise = [rng.randbytes(size) for size in (1, 2, 7, 64, 4096, 65_536)]
    seq = itertools.count()
    bulk = {Kind.VIDEO.value, Kind.IMAGE.value}
    with Attacker(thief, "ctl_in") as ctl, Attacker(thief, "bulk_in") as pictures:
        for channel in (*KINDS, "health"):
            lane = pictures if channel in bulk else ctl
            for payload in (*BOMBS.values(), *noise):
                lane.say(topic(thief, channel), header(next(seq)), payload)
        for channel in KINDS:  # in each other's lanes too
            lane = ctl if channel in bulk else pictures
            lane.say(topic(thief, channel), header(next(seq)), BOMBS["depth 9"])
        ctl.say(topic(thief, "numeric"), header(next(seq)), pack([1.0, "Vld"]))
        behind.honest.seen(f"or1/{thief.name}/numeric")
    behind.unharmed()
    assert memory.grown_bytes < 32 * MB


VALUES: dict[str, list[Any]] = {
    "numeric": [[float("nan"), "Vld"], [1e308, "Vld"], [2**63, "Vld"], [None, "x" * 9_000]],
    "waveform": [b"\xff" * 4 * 100_000, b"\x00\x00\x80\x7f" * 1000, b"\x01"],
    "pose": [
        [[1e308] * 3, [0.0, 0.0, 0.0, 0.0], None, True, None],
        [[float("nan")] * 3, [float("inf")] * 4, -1e308, True, -1.0],
    ],
    "text": [b"\xff", b"a" * 900_000, "\u202e\u0000\n".encode() * 1000],
    "event": [{"": "", "a" * 9_000: [{}] * 5_000}, {"heads": {"x": [MOST, MOST]}}],
    "alarm": [
        {"id": f"{n}" * 50, "kind": "?", "priority": "?", "present": True, "value": float("nan")}
        for n in range(400)
    ],
    "annotation": [
        {"id": f"{n}", "channel": "", "at_ns": MOST, "author": "x", "tool": "ink", "ttl_s": 1e308}
        for n in range(400)
    ],
    "image": [
        {"media_type": "image/png", "data": b"\x89PNG", "width_px": 2**31, "height_px": 2**31}
    ],
    "video": [b"\0\0\1\x67", b"\0\0\0\1" * 50_000, b"\0\0\1\x65" + b"\xff" * 9_999],
}


def test_values_that_no_device_has(thief: Link, behind: Behind, memory: Memory) -> None:
    announced(thief)
    with Attacker(thief, "ctl_in") as ctl, Attacker(thief, "bulk_in") as pictures:
        for channel, values in VALUES.items():
            lane = pictures if channel in {"image", "video"} else ctl
            for seq, value in enumerate(values):
                payload = value if isinstance(value, bytes) else pack(value)
                lane.say(topic(thief, channel), header(seq), payload)
        ctl.say(topic(thief, "numeric"), header(9), pack([1.0, "Vld"]))
        behind.honest.seen(f"or1/{thief.name}/numeric")
    behind.unharmed()
    assert memory.grown_bytes < 32 * MB


TIMES = [LEAST, LEAST + 1, -1, 0, 1, NOW - 10**18, NOW + 10**18, MOST - 1, MOST]


def test_times_and_numbers_at_their_ends(thief: Link, behind: Behind, memory: Memory) -> None:
    """A header is in bounds with any int64; who indexes by it must not believe it."""
    announced(thief)
    with Attacker(thief, "ctl_in") as ctl:
        for epoch, bus_ns in itertools.product([0, NOW, MOST], TIMES):
            for seq in (0, 5, MOST):
                for source_ns, bound_ns in ((None, None), (LEAST, MOST), (MOST, 0)):
                    odd = [1, epoch, seq, source_ns, bus_ns, bound_ns, bound_ns, 4, 0xFFFF]
                    ctl.say(topic(thief, "numeric"), pack(odd), pack([1.0, "Vld"]))
                    ctl.say(topic(thief, "event"), pack(odd), pack({"a": 1}))
        behind.honest.seen(f"or1/{thief.name}/numeric")
    behind.unharmed()
    assert memory.grown_bytes < 32 * MB


def test_a_rewound_and_a_torn_count(thief: Link, behind: Behind, memory: Memory) -> None:
    """Thousands of gaps that nobody can fill: honest gaps are filled all the same."""
    announced(thief)
    with Attacker(thief, "ctl_in") as ctl:
        for seq in range(0, 8_000, 2):
            ctl.say(topic(thief, "numeric"), header(seq), pack([1.0, "Vld"]))
        for seq in (*range(100), 2**40, 3, 2**62, 2**62 - 5, 0, MOST):
            ctl.say(topic(thief, "numeric"), header(seq), pack([1.0, "Vld"]))
            ctl.say(topic(thief, "pose"), header(MOST - seq), b"\xc0")
            ctl.say(topic(thief, "health"), header(seq), pack({"heads": {"numeric": [NOW, MOST]}}))
        behind.honest.seen(f"or1/{thief.name}/numeric", 1_000)
    behind.unharmed()
    assert memory.grown_bytes < 32 * MB


def test_the_honest_stream_is_recorded_whole(target: Target, honest: Honest) -> None:
    """A recording that is still being made opens as far as it is; it has every sample by then."""
    came = len(honest.seqs)
    honest.unharmed()
    for _ in range(20):
        seqs = recorded(target.recording)
        if len(seqs) >= came:
            break
        honest.unharmed()  # a tenth of a second, in which the recorder writes
    assert seqs[:came] == list(range(came))


def recorded(path: Path) -> list[int]:
    """Return the seqs of the honest stream in a recording, in order of time."""
    recording = scot.open(path)
    try:
        frames = recording.frames(addresses=[ADDRESS])
        return [read_header(frame).seq for frame in frames]
    finally:
        recording.close()
