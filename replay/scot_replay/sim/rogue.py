"""Somebody with a valid key who tries what that key may not."""

from __future__ import annotations

from typing import Any

import msgspec

from scot.bus.session import Answered
from scot.channel import Device
from scot.codec import Frame
from scot.history import HistoryRequest
from scot_replay.sim.nodes import WORKSPACE, Member
from scot_replay.sim.truth import BrokenPromiseError
from scot_replay.sim.wire import Parts
from scot_replay.sim.world import MS

EVERY_NS = 700 * MS
_encode = msgspec.msgpack.Encoder().encode


class RogueNode(Member):
    """Publishes others' addresses, announces their devices, asks, answers and listens for more.

    Attributes:
        tried: how many frames it sent that must not pass.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.tried = 0
        self._random = self.world.stream("rogue")

    def on_joined(self) -> None:
        """Listen to everything, and begin."""
        for name in ("ctl_out", "bulk_out"):
            port = self._open(name)
            for prefix in (b"", b"or1", b"or1/monitor/hr\0"):
                port.listen(prefix)
        self._try()

    def _take(self, name: str, parts: Parts) -> None:
        if name in ("ctl_out", "bulk_out") and not parts[0].startswith(b"or1/rogue/"):
            raise BrokenPromiseError(f"a key without a grant was sent {parts[0]!r}")
        super()._take(name, parts)

    def _try(self) -> None:
        self.world.after(EVERY_NS, self.life, self._try)
        now_ns = self.crystal.read()
        what = self._random.randrange(6)
        if what <= 1:
            self._forge(b"rogue" if what else b"")
        elif what == 2:
            self._ports["ctl_in"].send(self._random.choice(([b"x"], [b"", b""], [b"a"] * 9)))
        elif what == 3:
            device = Device(name="monitor", provider="rogue")
            self.request(self.client.announce(device, now_ns, health=False), self._refused)
            self.client.session._devices.clear()
        elif what == 4:
            ask = HistoryRequest(addresses=[f"{WORKSPACE}/monitor/hr"], between=(0, 1 << 62))
            self.request(self.client.ask_history(ask, now_ns), self._refused)
            self.request(self.client.request(b"serve", b"\xc0", now_ns, 1 << 31), self._refused)
        else:
            key = self._random.randrange(1, 40).to_bytes(8, "big")
            self._ports["query"].send([key, b"answer", _encode({"frames": [], "complete": True})])

    def _forge(self, payload: bytes) -> None:
        """Send another's newest sample with other content, or one it has not made yet."""
        known = [a for a in self.truth.frames if a.split("/")[1] in ("monitor", "tracker")]
        if not known:
            return
        address = self._random.choice(known)
        newest = next(reversed(self.truth.frames[address].values()))[-1]
        self._ports["ctl_in"].send(Frame(newest.topic, newest.header, payload or b"\x92\xcb"))
        self.tried += 1

    def _refused(self, answer: Answered) -> None:
        if answer.error is None:
            raise BrokenPromiseError("the desk answered a key what it may not ask")
