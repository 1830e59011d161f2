"""What a gateway tells of itself and its pages: to them, to the bus, and as its own health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scot_dashboard import consult

if TYPE_CHECKING:
    from scot_dashboard.gateway import Gateway

COUNTED = (
    "viewers",
    "refused",
    "malformed",
    "left_out",
    "unshown",
    "queued_bytes",
    "slowest_bytes",
)


def each_second(gateway: Gateway) -> None:
    """Tell what was left out, and who sees what."""
    viewers, counters = gateway.viewers.values(), gateway.counters
    waiting = [viewer.outbox.size for viewer in viewers]
    counters["viewers"] = len(viewers)
    counters["queued_bytes"] = sum(waiting)
    counters["slowest_bytes"] = max(waiting, default=0)
    counters["malformed"] += gateway.fanout.malformed
    gateway.fanout.malformed = 0
    counters["unshown"] = gateway.unshown + sum(
        sum(viewer.outbox.unshown.values()) for viewer in viewers
    )
    for viewer in viewers:
        left_out = viewer.outbox.report()
        if left_out:
            counters["left_out"] += sum(left_out.values())
            viewer.say("conflated", left_out, replaces="conflated")
    changed = gateway.consult.views()
    for row in changed:
        gateway.publish(consult.VIEWS, row)
    if changed:
        gateway.tell_people()


def unshown(gateway: Gateway) -> None:
    """Tell each page that videos which it does not show go on: not asked for is not lost.

    Twice a second, so that a page notices a silent source as soon as if it saw it.
    """
    for viewer in gateway.viewers.values():
        outbox = viewer.outbox
        newest = outbox.report_unshown()
        if newest:
            told = {a: (outbox.unshown[a], item.header()) for a, item in newest.items()}
            viewer.say("unshown", told, replaces="unshown")
