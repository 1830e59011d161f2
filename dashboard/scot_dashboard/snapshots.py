"""Snapshots to the recording: an annotation that names the very frame somebody saw.

A page never sends the picture: the frame is in the recording already, and what a page would send
could be anything. So the mark is checked to name a frame that exists, and the page is told whether
the recorder writes it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from scot.channel import Lifecycle
from scot.clock import machine
from scot.errors import BusError
from scot.sample import AnnotationValue
from scot_dashboard import consult
from scot_dashboard.door import RefusedError
from scot_dashboard.strokes import Stroke
from scot_dashboard.viewer import Viewer

if TYPE_CHECKING:
    from scot_dashboard.gateway import Gateway

TOOL: Final = "snapshot"
RECORDER: Final = "recorder"
MOST: Final = 16
NO_RECORDER: Final = "recorder"
UNANSWERED: Final = "unanswered"


class Snapshots:
    """Takes snapshots for a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._under: set[asyncio.Task[None]] = set()

    def take(self, viewer: Viewer, stroke: Stroke) -> None:
        """Check a snapshot, look for its frame, publish it, and tell its page.

        Raises:
            RefusedError: not theirs to make, or too many at once.
        """
        egress = self.gateway.fanout.audiences[viewer.person.role].egress
        bus_ns, utc_ns = self.gateway.time.now(), machine.utc_ns()
        note = self.gateway.consult.note(viewer.person, stroke, egress, bus_ns, utc_ns)
        if len(self._under) >= MOST:
            raise RefusedError(429, "too many snapshots at once; try again in a second")
        task = asyncio.create_task(self._publish(viewer, note.channel, note.at_ns, note))
        self._under.add(task)
        task.add_done_callback(self._under.discard)

    async def _publish(
        self, viewer: Viewer, channel: str, at_ns: int, note: AnnotationValue
    ) -> None:
        gateway = self.gateway
        try:
            found = await gateway.archive.at([channel], at_ns)
            exact: bool | None = any(
                one.frame.address == channel and one.header.bus_ns == at_ns for one in found
            )
        except BusError:
            exact = None  # nobody could say: the mark is made, and its page told
        refusal = ""
        if exact is False:
            refusal = f"nobody holds a frame of {channel} at {at_ns} ns any more"
        elif not gateway.publish(consult.NOTES, note):
            refusal = "the room takes no notes now; tell its staff"
        if refusal:
            gateway.counters["refused"] += 1
            viewer.say("refused", "annotate", note.id, refusal)
            return
        whom = f"{channel}@{at_ns}"
        gateway.audit.acted(viewer.person, TOOL, whom, viewer.address, machine.utc_ns())
        kept, why = self.recorded()
        if exact is None:
            kept, why = False, UNANSWERED
        viewer.say("snapshot", note.id, kept, why)

    def recorded(self) -> tuple[bool, str]:
        """Say whether the recorder writes video and notes now, and if it does not, why."""
        health = self.gateway.health.now(RECORDER, self.gateway.connection.clock.now())
        if health is None:
            return False, NO_RECORDER
        return health.state == Lifecycle.RUNNING.value, health.reason
