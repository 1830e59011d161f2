"""Which samples the disk still has room for: video stops being recorded before signals do.

At the rates of an operating room video takes fifty times what all signals take. So when the disk
has three minutes left, the recorder gives up video and keeps the signals for hours; it begins again
by itself, with a keyframe, once there is room. Sans-IO: it is told the time and what is left.
"""

from __future__ import annotations

from scot.channel import BULK, Kind
from scot.codec import Header
from scot.sample import Flags

WARN_LEFT_S = 600.0  # a technical alarm
STOP_VIDEO_S = 180.0
RESUME_VIDEO_S = 300.0
STOP_VIDEO_BYTES = 64 << 20  # whatever the rate
RESUME_VIDEO_BYTES = 128 << 20
VIDEO_FIRST = "video-first"  # why a sample was not written
RATE_NS = 5_000_000_000
LOOK_NS = 1_000_000_000
_KEYFRAME = int(Flags.KEYFRAME)


class Budget:
    """Decides for each sample whether it is recorded; never refuses a signal.

    Args:
        now_ns: monotonic, as everywhere here.

    Attributes:
        signals_hz, bulk_hz: bytes a second that came lately, whether they were recorded or not.
        sparing: video and images are given up, so that signals last.
        left: bytes that were left on the disk at the last look; -1 when it could not say.
    """

    def __init__(self, now_ns: int) -> None:
        self.signals_hz = self.bulk_hz = 0.0
        self.sparing = False
        self.left = -1
        self._came = [0, 0]  # bytes of signals, of video and images
        self._since_ns = now_ns
        self._looked_ns = now_ns - LOOK_NS
        self._known = False
        self._awaits_key: set[bytes] = set()

    def takes(self, topic: bytes, kind: Kind, header: Header, size: int) -> bool:
        """Say whether a sample of `size` bytes is to be recorded, and count it."""
        bulk = kind in BULK
        self._came[bulk] += size
        if not bulk:
            return True
        if self.sparing:
            self._awaits_key.add(topic)
            return False
        if topic in self._awaits_key and kind is Kind.VIDEO and not header.flags & _KEYFRAME:
            return False  # nobody could decode it
        self._awaits_key.discard(topic)
        return True

    def due(self, now_ns: int) -> bool:
        """Say whether it is time to look at the disk again."""
        return now_ns - self._looked_ns >= LOOK_NS

    def look(self, now_ns: int, left: int) -> None:
        """Learn how many bytes are left; decide."""
        self._looked_ns, self.left = now_ns, left
        spent_ns = now_ns - self._since_ns
        if spent_ns >= RATE_NS:
            self.signals_hz, self.bulk_hz = (came * 1e9 / spent_ns for came in self._came)
            self._came, self._since_ns, self._known = [0, 0], now_ns, True
        if left < 0:
            return
        rate = self.signals_hz + self.bulk_hz
        seconds, floor = STOP_VIDEO_S, STOP_VIDEO_BYTES
        if self.sparing:
            seconds, floor = RESUME_VIDEO_S, RESUME_VIDEO_BYTES
        self.sparing = left < max(floor, rate * seconds if self._known else 0)
