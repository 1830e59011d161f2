"""Keep only the last minutes until something happens: what triggers, and what is too old. Sans-IO.

Whole journals go, so between `keep_s` and a tenth more is on the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scot.bus.subscriber import Delivery
from scot.channel import Kind
from scot.errors import CodecError
from scot.sample import AnnotationValue
from scot_replay.parts import Part, bounds

TOOLS = frozenset({"pin", "chapter"})
SHARE = 10  # journals of a tenth of what is kept
SHORTEST_S = 5.0
FILE = "keep"  # in the room's state folder: `scot keep` made it


class PreTrigger:
    """Says when a recorder that keeps the last minutes is to keep all.

    Args:
        keep_s: how much; 0: all from the start.
        trigger: address of a channel, or its end: any sample of it triggers; when empty a pin or a
            chapter that somebody sets does.

    Attributes:
        armed: nothing has triggered yet.
    """

    def __init__(self, keep_s: float, trigger: str = "") -> None:
        self.keep_s = keep_s
        self.armed = keep_s > 0
        self._trigger = trigger

    def segment_s(self, usual_s: float) -> float:
        """Return how long a journal is to be."""
        return min(usual_s, max(SHORTEST_S, self.keep_s / SHARE)) if self.armed else usual_s

    def triggers(self, batch: Iterable[Delivery]) -> bool:
        """Say whether one of these samples is what was waited for."""
        return self.armed and any(map(self._is_trigger, batch))

    def _is_trigger(self, delivery: Delivery) -> bool:
        if self._trigger:
            address = delivery.frame.address
            return address == self._trigger or address.endswith(f"/{self._trigger}")
        if delivery.channel.kind is not Kind.ANNOTATION:
            return False
        try:
            value = delivery.sample().value
        except CodecError:
            return False
        return isinstance(value, AnnotationValue) and value.tool in TOOLS and value.ttl_s > 0

    def outdated(self, parts: Sequence[Part], now_ns: int) -> list[Part]:
        """Return the parts that ended before what is kept; `now_ns` is bus time."""
        old: list[Part] = []
        since_ns = now_ns - round(self.keep_s * 1e9)
        for part in sorted(parts, key=lambda part: part.number) if self.armed else ():
            held = bounds(part)
            if held is not None and held[1] >= since_ns:
                break
            old.append(part)
        return old
