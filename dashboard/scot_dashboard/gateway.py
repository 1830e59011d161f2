"""The gateway: one sink of the bus, many viewers. Puts door, feed, lanes and consultation together.

Runs on one event loop. `handle` takes what the bus delivers; `serve` runs one page; `run` keeps
house four times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from scot.bus.connection import Connection
from scot.bus.subscriber import Delivery
from scot.channel import Catalogue, Channel
from scot.clock import machine
from scot.errors import BusError, ScotError
from scot.health import HEALTH, HealthWatch
from scot.sample import Flags, Sample, Value
from scot_dashboard import consult, reporting, wire
from scot_dashboard.answers import Answers
from scot_dashboard.archive import Archive
from scot_dashboard.audit import Audit
from scot_dashboard.backfill import Backfill
from scot_dashboard.consult import Consult
from scot_dashboard.door import Door, Person, RefusedError, State
from scot_dashboard.feed import UNUSABLE, Fanout
from scot_dashboard.hearing import Hearing
from scot_dashboard.keeper import AlarmKeeper
from scot_dashboard.lanes import Lanes
from scot_dashboard.layouts import Layouts
from scot_dashboard.recorded import Recorded
from scot_dashboard.roles import Act, Role, may_act
from scot_dashboard.showing import Showing
from scot_dashboard.viewer import (
    ELSEWHERE,
    FORBIDDEN,
    FULL,
    RESTARTING,
    TOO_SLOW,
    UNKNOWN,
    Line,
    Viewer,
)

log = logging.getLogger(__name__)

BATCH_NS = 15_000_000
TICK_S = 0.25
GOODBYE_S = 1.0
FILL_S = 2.0
TICKS_A_SECOND = 4
UNSHOWN_TICKS = 2
MAX_VIEWERS = 64
OLDEST_NS = 72 * 3_600_000_000_000  # as the lanes; a sample of 1970 must not stretch the scrubber


class Gateway:
    """Serves the pages of one workspace.

    Args:
        connection: joined; the gateway subscribes to everything.
        door: who may enter.
        audit: where rows go.
        playout_ms: fixed delay of live on the page.

    Attributes:
        time: of the page: the recording's own in a replay.
        viewers: the pages that are open.
        unshown: pictures that pages which are gone did not ask for.
        counters: refused, malformed, queues; shown in the device's ``health``.
        health: of every device of the room, for metrics.
        alarms: the room's, which this gateway keeps for everybody.
        layouts: the room's, in memory until somebody gives it a file.
        remember: called whenever what the door knows may have changed.
    """

    def __init__(self, connection: Connection, door: Door, audit: Audit, playout_ms: int) -> None:
        self.connection = connection
        self.door = door
        self.audit = audit
        self.playout_ms = playout_ms
        self.fanout = Fanout(connection.catalogue)
        self.lanes = Lanes()
        self.time = Recorded(connection)
        self.archive = Archive(connection, self.time)
        self.consult = Consult(door)
        self.health = HealthWatch()
        self.alarms = AlarmKeeper(self)
        self.layouts = Layouts()
        self.viewers: dict[Any, Viewer] = {}  # by outbox
        self.unshown = 0
        self.counters = dict.fromkeys(reporting.COUNTED, 0)
        self.remember: Callable[[], None] = lambda: None
        self.started_ns = connection.clock.now()
        self._answers = Answers(self.archive, self.lanes, self.fanout, self.time)
        self._backfill = Backfill(
            self.archive, self.lanes, self.fanout, self.time, self.alarms.take
        )
        self._hearing = Hearing(self)
        self._names_version = 0
        self._flushed_ns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._filling: asyncio.Task[None] | None = None
        self._seqs: dict[str, int] = {}
        self._announced = False

    # -- the bus

    async def start(self) -> None:
        """Announce the consultation, unless this is a replay, and listen to the bus.

        Returns when what was before is known, for whoever opens a page now, or after 2 s.
        """
        if not self.connection.catalogue.replay:
            try:
                await self.connection.announce(consult.device(self.started_ns))
                self._announced = True
                await self.alarms.start()
            except ScotError as error:
                log.warning("what this room notes and acknowledges reaches nobody: %s", error)
        self.connection.counters[consult.DEVICE] = self.counters
        self.connection.subscribe([f"{self.connection.workspace}/"], self)
        self.connection.on_catalogue.append(self._follow)
        self.time.follow(self.connection.catalogue)
        self._follow(self.connection.catalogue)
        self._filling = asyncio.create_task(self._backfill.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FILL_S):
                await self._backfill.done()

    async def run(self, stopping: asyncio.Event) -> None:
        """Keep house until `stopping`, then tell every page to come back later."""
        ticks = 0
        waiting = asyncio.create_task(stopping.wait())
        while not stopping.is_set():
            await asyncio.wait({waiting}, timeout=TICK_S)
            ticks += 1
            self._follow(self.connection.catalogue)
            self._look_after(machine.utc_ns())
            self.alarms.tick()
            if self.fanout.due:
                self._schedule(False)
            if ticks % UNSHOWN_TICKS == 0:
                reporting.unshown(self)
            if ticks % TICKS_A_SECOND == 0:
                reporting.each_second(self)
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
        for viewer in [*self.viewers.values()]:
            viewer.end(RESTARTING, "the room is closing this page; it connects again by itself")

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries of the bus (a `Sink`)."""
        self._follow(self.connection.catalogue)
        batch, turned = self.time.take(batch)
        if turned:
            self.fanout.turn()
        urgent = self.fanout.add(batch)
        for delivery in batch:
            self.alarms.take(delivery)
            if delivery.channel.name == HEALTH.name:
                self.health.take(delivery.frame)
            try:
                self.lanes.add(delivery)
            except UNUSABLE as error:  # counted by the fan-out
                log.info("%s", error)
        if self.fanout.names.version != self._names_version:
            self._names_version = self.fanout.names.version
            self._renew()
        self.alarms.tell()
        if self.fanout.due:
            self._schedule(urgent)

    def close(self) -> None:
        """No more will come (a `Sink`)."""

    def _follow(self, catalogue: Catalogue) -> None:
        if catalogue is not self.fanout.catalogue:
            self.time.follow(catalogue)
            self.fanout.follow(catalogue)
            self.door.case = catalogue.case
            self._tell_catalogue()
        self.alarms.follow(catalogue)
        self._backfill.want(catalogue)

    def _renew(self) -> None:
        """Make every role's view anew after a word was learnt that must not leave."""
        self.fanout.follow(self.fanout.catalogue)
        self._tell_catalogue()

    def _tell_catalogue(self) -> None:
        for role, audience in self.fanout.audiences.items():
            if audience.outboxes:
                data = wire.message("catalogue", audience.egress.catalogue())
                for outbox in audience.outboxes:
                    outbox.say(data, "catalogue")
                    self.viewers[outbox].wake()
                log.debug("catalogue %d to %s", self.fanout.catalogue.version, role)

    def _schedule(self, urgent: bool) -> None:
        """Flush now, or when the batch before is 15 ms old."""
        wait_ns = 0 if urgent else self._flushed_ns + BATCH_NS - machine.monotonic_ns()
        if wait_ns <= 0:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait_ns / 1e9, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flushed_ns = machine.monotonic_ns()
        self._wake(self.fanout.flush(self.time.now()))

    def _wake(self, outboxes: Sequence[Any]) -> None:
        for outbox in outboxes:
            viewer = self.viewers.get(outbox)
            if viewer is not None:
                viewer.wake()
                if outbox.overflowed:
                    viewer.end(TOO_SLOW, "this page is too slow to show every alarm")

    def publish(self, channel: Channel, value: Value, device: str = consult.DEVICE) -> bool:
        """Publish on a channel of the gateway's; False when the bus does not take it."""
        if not self._announced:
            return False
        address = f"{self.connection.workspace}/{device}/{channel.name}"
        seq = self._seqs.get(address, 0)
        self._seqs[address] = seq + 1
        time = self.connection.clock.stamp()
        self.connection.publish(
            Sample(address, self.started_ns, seq, time, Flags(0), value), channel
        )
        return True

    # -- people

    async def serve(self, line: Line, person: Person, address: str) -> None:
        """Run one page from its first message to its last."""
        viewer = Viewer(line, person, address)
        if len(self.viewers) >= MAX_VIEWERS:
            viewer.end(FULL, f"{MAX_VIEWERS} pages are open already; close one")
            await self._finish(viewer)
            return
        try:
            state = self.door.connect(person, machine.utc_ns())
        except RefusedError as refused:
            viewer.end(FORBIDDEN if refused.status == 403 else UNKNOWN, str(refused))
            await self._finish(viewer)
            return
        self._only_newest(viewer)
        self.viewers[viewer.outbox] = viewer
        if state is State.ADMITTED:
            self._let_in(viewer)
        self.tell_people()
        tasks = [
            asyncio.create_task(viewer.write(self.time.now)),
            asyncio.create_task(self._hearing.read(viewer)),
            asyncio.create_task(self._answers.serve(viewer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if viewer.ending is not None:
                await asyncio.wait(tasks[:1], timeout=GOODBYE_S)
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                    log.error("page of %s", person.id, exc_info=result)
            self._gone(viewer)

    async def _finish(self, viewer: Viewer) -> None:
        try:
            await viewer.write(self.time.now)
        except ConnectionError:
            pass

    def _only_newest(self, viewer: Viewer) -> None:
        """A guest looks through one window; staff may open many."""
        if viewer.person.role is not Role.OR_STAFF:
            for other in self.viewers.values():
                if other.person is viewer.person:
                    other.end(ELSEWHERE, "this room was opened in another window")

    def _let_in(self, viewer: Viewer) -> None:
        """Say hello and start the flow."""
        role = viewer.person.role
        bus_now_ns = self.time.now()
        viewer.admitted = True
        self.audit.viewed(viewer.person, viewer.address, machine.utc_ns())
        hello = {
            "protocol": wire.PROTOCOL,
            "role": role.value,
            "author": viewer.person.author,
            "catalogue": self.fanout.audiences[role].egress.catalogue(),
            "bus_now_ns": bus_now_ns,
            "utc_offset_ns": machine.TAI_MINUS_UTC_NS,
            "playout_ms": self.playout_ms,
            "oldest_ns": max(self.archive.first_ns or self.started_ns, bus_now_ns - OLDEST_NS),
            "session_id": viewer.person.id,
        }
        viewer.say("hello", hello)
        if may_act(role, Act.ARRANGE):
            viewer.say("layouts", self.layouts.newest(), replaces="layouts")
        self._wake(self.fanout.join(role, viewer.outbox, bus_now_ns))

    def show(self, viewer: Viewer, showing: Showing) -> None:
        """Send a page the videos that it shows from now on, and no others."""
        role = viewer.person.role
        self._wake(self.fanout.show(role, viewer.outbox, showing, self.time.now()))

    def _gone(self, viewer: Viewer) -> None:
        self.fanout.leave(viewer.outbox)
        if self.viewers.pop(viewer.outbox, None) is not None:
            self.unshown += sum(viewer.outbox.unshown.values())
        if not any(other.person is viewer.person for other in self.viewers.values()):
            self.door.leave(viewer.person, machine.utc_ns())
            self.consult.left(viewer.person)
        self.tell_people()

    def tell_people(self) -> None:
        """Send everybody the list of people that they may know of; keep it for a restart."""
        self.remember()
        now_ns = machine.utc_ns()
        for viewer in self.viewers.values():
            viewer.say("people", self.consult.people(viewer.person, now_ns), replaces="people")

    def act(
        self, by: Person | None, what: Act, whom: str, address: str, *, yes: bool = True
    ) -> Person:
        """Admit, refuse or revoke somebody, at once and for every page they have open.

        Args:
            by: who wants it; None for the command line, which holds the wall's secret.
            what: `ADMIT` (with `yes` False: turn away) or `REVOKE`.
            whom: a person's id.
            address: where the wish came from.
            yes: see `what`.

        Raises:
            RefusedError: not theirs to do, nobody of that name, or nothing to do.
        """
        now_ns = machine.utc_ns()
        if by is not None and not may_act(by.role, what):
            raise RefusedError(403, f"only the operating room may {what.value} people")
        if what is Act.REVOKE:
            person = self.door.revoke(whom, now_ns)
        else:
            person = (self.door.admit if yes else self.door.refuse)(whom, now_ns)
        verb = what.value if yes else "refuse"
        self.audit.acted(by, verb, whom, address, now_ns)
        for viewer in [*self.viewers.values()]:
            if viewer.person is person and person.state is State.ADMITTED:
                self._let_in(viewer)
            elif viewer.person is person:
                self.fanout.leave(viewer.outbox)
                text = "the operating room has ended this consultation"
                viewer.end(FORBIDDEN, text if what is Act.REVOKE else "the room did not let you in")
        self.tell_people()
        return person

    # -- house-keeping

    def _look_after(self, now_ns: int) -> None:
        """End pages whose time is over or whose reader is not there any more."""
        for viewer in [*self.viewers.values()]:
            self.door.stay(viewer.person, now_ns)
            over = self.door.expired(viewer.person, now_ns)
            if over is not None:
                self.fanout.leave(viewer.outbox)
                viewer.end(FORBIDDEN if over.status == 403 else UNKNOWN, str(over))
            elif viewer.stuck:
                viewer.end(TOO_SLOW, "this page has not read anything for too long")

    async def settle(self) -> None:
        """Wait until the broker has what was published.

        Raises:
            BusError: it went away.
        """
        try:
            async with asyncio.timeout(1.0):
                await self.connection.drained()
        except TimeoutError:
            raise BusError("the broker did not take the last notes") from None
