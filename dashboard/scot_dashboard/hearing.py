"""What pages say, checked and done; what is not theirs to do is refused and counted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from scot.clock import machine
from scot.errors import BusError, RemoteProtocolError
from scot.transport import Answer
from scot_dashboard import consult, wire
from scot_dashboard.door import RefusedError
from scot_dashboard.roles import Act, may_act
from scot_dashboard.showing import Showing
from scot_dashboard.snapshots import TOOL, Snapshots
from scot_dashboard.viewer import MALFORMED, Viewer

if TYPE_CHECKING:
    from scot_dashboard.gateway import Gateway


MOST_WISHES = 32


class Hearing:
    """Reads one page after the other for a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._wishing: set[asyncio.Task[None]] = set()
        self._snapshots = Snapshots(gateway)

    async def read(self, viewer: Viewer) -> None:
        """Do what a page says, until it is gone or has sent something malformed.

        Raises:
            ConnectionError: the page is gone.
        """
        while True:
            data = await viewer.line.receive()
            now_ns = machine.utc_ns()
            try:
                if data is None:
                    raise RemoteProtocolError("the feed takes binary messages, this was text")
                if viewer.rate.take("", now_ns):
                    raise RemoteProtocolError("more than 200 messages a second")
                said = wire.read(data)
            except RemoteProtocolError as error:
                text = str(error)[:160]
                self.gateway.counters["malformed"] += 1
                self.gateway.audit.refused(
                    "feed", MALFORMED, text, viewer.address, now_ns, viewer.person
                )
                viewer.end(MALFORMED, f"{text}; reload the page")
                return
            self._hear(viewer, said, now_ns)

    def _hear(self, viewer: Viewer, said: wire.Inbound, now_ns: int) -> None:
        if isinstance(said, wire.Clock):
            bus_now_ns = self.gateway.time.now()
            viewer.say("clock", said.t1_page_ms, bus_now_ns, replaces="clock")
            return
        if isinstance(said, wire.Took):
            viewer.took(said.total_bytes)
            return
        if isinstance(said, wire.Show):  # counts from when the viewer is let in
            self.gateway.show(viewer, Showing.of(said.videos))
            return
        what = str(said.__struct_config__.tag)
        try:
            if not viewer.admitted:
                raise RefusedError(409, "the operating room has not let you in yet")
            self._do(viewer, said, now_ns)
        except RefusedError as refused:
            self.gateway.counters["refused"] += 1
            viewer.say("refused", what, _about(said), str(refused))
            if refused.status == 403:
                self.gateway.audit.refused(
                    what, 403, str(refused), viewer.address, now_ns, viewer.person
                )

    def _do(self, viewer: Viewer, said: wire.Inbound, now_ns: int) -> None:
        person = viewer.person
        egress = self.gateway.fanout.audiences[person.role].egress
        bus_now_ns = self.gateway.time.now()
        if isinstance(said, wire.SeenReport):
            self.gateway.consult.saw(person, said.seen, egress, bus_now_ns)
        elif isinstance(said, wire.Annotate) and said.stroke.tool == TOOL:
            self._snapshots.take(viewer, said.stroke)
        elif isinstance(said, wire.Annotate):
            note = self.gateway.consult.note(person, said.stroke, egress, bus_now_ns, now_ns)
            if not self.gateway.publish(consult.NOTES, note):
                raise RefusedError(503, "the room takes no notes now; tell its staff")
        elif isinstance(said, wire.Play):
            self._play(viewer, said)
        elif isinstance(said, wire.Question):
            if not viewer.ask(said):
                raise RefusedError(429, "too many questions wait; ask again when one is answered")
        elif isinstance(said, wire.Admit | wire.Refuse):
            yes = isinstance(said, wire.Admit)
            self.gateway.act(person, Act.ADMIT, said.person, viewer.address, yes=yes)
        elif isinstance(said, wire.AlarmAct):
            wish = said.wish
            self.gateway.alarms.act(person, wish.do, wish.seen, viewer.address)
        elif isinstance(said, wire.Revoke):
            self.gateway.act(person, Act.REVOKE, said.person, viewer.address)

    def _play(self, viewer: Viewer, said: wire.Play) -> None:
        """Pass a wish on to the player of this replay; a refusal goes back to its page.

        Raises:
            RefusedError: not theirs to do, or too many wishes wait.
        """
        if not may_act(viewer.person.role, Act.PLAY):
            raise RefusedError(403, "only the room and engineers may move the player")
        if len(self._wishing) >= MOST_WISHES:
            raise RefusedError(429, "the player has not yet done what was wished before")
        task = asyncio.create_task(self._wish(viewer, said))
        self._wishing.add(task)
        task.add_done_callback(self._wishing.discard)

    async def _wish(self, viewer: Viewer, said: wire.Play) -> None:
        try:
            body = msgspec.msgpack.encode(said.wish)
            reply, *_ = await self.gateway.connection.request(b"play", body)
            answer = msgspec.msgpack.decode(reply, type=Answer)
            error = answer.error
            if not error and answer.transport is not None:
                viewer.say("played", said.id, answer.transport.bus_ns)
        except (BusError, msgspec.DecodeError) as caught:
            error = str(caught)
        if error:
            self.gateway.counters["refused"] += 1
            viewer.say("refused", "play", said.id, error)


def _about(said: wire.Inbound) -> int | str:
    """Return what a page will know its message by."""
    if isinstance(said, wire.Annotate):
        return said.stroke.id
    if isinstance(said, wire.Question | wire.Play):
        return said.id
    return getattr(said, "person", "")
