"""Every error SCOT raises, one tree.

::

    ScotError
    ├── ConfigError            a room file, an option or a key is wrong; its writer can fix it
    ├── RoomError              the room cannot start or stop (busy port, no such room)
    ├── CodecError             bytes are not a SCOT frame
    ├── AccessError            a key asked for what its grants do not hold
    ├── CommandRefusedError    a command was not accepted: surely nothing happened
    ├── BusError               the broker cannot be reached, or refused
    │   └── BusTimeoutError    … within the time allowed (also a TimeoutError)
    ├── RingError              raw frames in shared memory cannot be reached
    │   └── OverwrittenError   … newer ones have taken their place
    ├── ClockError             a time was asked for that the clock cannot know
    ├── DeviceError            a device misbehaved; its host reconnects
    │   ├── DeviceTimeoutError a device stayed silent (also a TimeoutError)
    │   └── CommandFailedError a device said that it did not do what it was told to
    ├── RemoteProtocolError    the peer broke its protocol
    ├── LocalProtocolError     we would have broken it
    └── RecordingError         a recording cannot be read, whole or in part
"""

from __future__ import annotations

from pathlib import Path

import msgspec

UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""All that msgspec raises on bytes somebody else sent."""


class ScotError(Exception):
    """Base of all errors that SCOT raises on purpose; its text is one line and names the fix."""


class ConfigError(ScotError):
    """A setting is wrong.

    Args:
        where: file (or command line) that holds the setting.
        key: dotted path of the setting, empty for the file as a whole.
        problem: what is wrong, with the value.
        allowed: what would be right.
    """

    def __init__(self, where: str | Path, key: str, problem: str, allowed: str) -> None:
        place = f"{where}: {key}" if key else f"{where}"
        super().__init__(f"{place}: {problem}; {allowed}")
        self.where = str(where)
        self.key = key
        self.problem = problem
        self.allowed = allowed


class RoomError(ScotError):
    """A room cannot start, stop or be found."""


class CodecError(ScotError):
    """Bytes that are not a SCOT frame, or exceed its bounds."""


class AccessError(ScotError):
    """A key asked for what its grants do not hold."""


class CommandRefusedError(ScotError):
    """A command, or control of a device, was not accepted; surely nothing happened.

    Args:
        why: a word of `scot.command.Why`.
        text: one line for people.
    """

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text)
        self.why = why


class BusError(ScotError):
    """The broker cannot be reached or refused a request."""


class BusTimeoutError(BusError, TimeoutError):
    """The broker did not answer within the time allowed."""

    def __init__(self, what: str, endpoint: str, limit_s: float) -> None:
        super().__init__(
            f"no answer to {what} from {endpoint} within {limit_s:g} s; "
            "is the room up? `scot doctor` says what is missing"
        )
        self.endpoint = endpoint
        self.limit_s = limit_s


class RingError(ScotError):
    """Raw frames in shared memory are not there (any more)."""


class OverwrittenError(RingError):
    """Newer frames have taken a raw frame's place; the reader is too slow."""

    def __init__(self, count: int, slots: int) -> None:
        super().__init__(
            f"raw frame {count} is overwritten: its reader was {slots} frames late; read the "
            "newest descriptor only, or give the ring more slots"
        )
        self.count = count


class ClockError(ScotError):
    """A time was asked for that the clock cannot know."""


class DeviceError(ScotError):
    """A device misbehaved; its host shows the reason and connects again."""


class DeviceTimeoutError(DeviceError, TimeoutError):
    """A device stayed silent for longer than allowed."""

    def __init__(self, device: str, silent_s: float, limit_s: float) -> None:
        super().__init__(f"{device} silent for {silent_s:.1f} s (limit {limit_s:g} s)")
        self.device = device
        self.silent_s = silent_s
        self.limit_s = limit_s


class CommandFailedError(DeviceError):
    """A device said no, or that it could not: surely nothing is under way.

    A provider raises it only on the device's own word. Whatever else it raises from `execute`
    leaves the command's outcome unknown.
    """


class RemoteProtocolError(ScotError):
    """The peer broke its protocol; what it sent is counted and not used."""


class LocalProtocolError(ScotError):
    """We were about to break a protocol; nothing was sent."""


class RecordingError(ScotError):
    """A recording cannot be read, whole or in part."""
