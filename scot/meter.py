"""How much one holder has taken of what its quota allows. No I/O, no clock."""

from __future__ import annotations

from scot.access import Rate

BURST_S = 1.0
MAX_STEP_S = 10.0


class Meter:
    """A bucket of messages and bytes that may be overdrawn, and then must be paid back.

    Overdrawing is how back-pressure stays lossless: what has come is taken, and its sender is told
    so only when it has been paid for.

    Attributes:
        rate: what it allows.
        over: it is overdrawn.
        unpaid: messages that came since it was.
    """

    def __init__(self, rate: Rate, now_ns: int | None = None) -> None:
        self.over = False
        self.unpaid = 0
        self.rate = rate
        self._messages = rate.messages_hz * BURST_S
        self._bytes = rate.bytes_hz * BURST_S
        self._filled_ns = now_ns

    def charge(self, size: int, messages: int = 1) -> None:
        """Take `messages` of `size` bytes together."""
        self._messages -= messages
        self._bytes -= size
        if self.over or self._messages < 0 or self._bytes < 0:
            self.over = True
            self.unpaid += messages

    def refill(self, now_ns: int) -> None:
        """Let the time since the last refill count; never more than a second's worth is saved."""
        before_ns, self._filled_ns = self._filled_ns, now_ns
        if before_ns is None:
            return
        passed_s = min(max(0.0, (now_ns - before_ns) / 1e9), MAX_STEP_S)
        rate = self.rate
        self._messages = min(self._messages + rate.messages_hz * passed_s, rate.messages_hz)
        self._bytes = min(self._bytes + rate.bytes_hz * passed_s, rate.bytes_hz)
        if self._messages >= 0 and self._bytes >= 0:
            self.over = False
            self.unpaid = 0

    @property
    def wait_s(self) -> float:
        """How long until it is paid, when nothing more comes."""
        rate = self.rate
        return max(0.0, -self._messages / rate.messages_hz, -self._bytes / rate.bytes_hz)
