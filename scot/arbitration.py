"""What happens to a device's arbiter, and what it wants done. Values only."""

from __future__ import annotations

from typing import Any

import msgspec

from scot.channel import Command
from scot.command import Answer, Call, Caller, Outcome, State
from scot.timestamp import Timestamp

# -- events


class Restored(msgspec.Struct, frozen=True):
    """The first event: every row that the book holds, oldest first."""

    rows: list[Outcome]


class Offered(msgspec.Struct, frozen=True):
    """What the provider offers now; when it is not `ready`, `text` says why."""

    commands: dict[str, Command]
    ready: bool
    text: str = ""


class Received(msgspec.Struct, frozen=True):
    """A call; `id` is the broker's, for the answer; `stamp` is bus time now."""

    id: bytes
    caller: Caller
    call: Call
    stamp: Timestamp


class Written(msgspec.Struct, frozen=True):
    """A row that had to be durable is; `stamp` is bus time now."""

    key: str
    stamp: Timestamp


class NotWritten(msgspec.Struct, frozen=True):
    """A row that had to be durable is not, and will not be."""

    key: str
    text: str


class Ended(msgspec.Struct, frozen=True):
    """What came of an execution: `done`, `failed` when the device said so, else `unknown`."""

    key: str
    state: State
    value: Any = None
    text: str = ""


class Ticked(msgspec.Struct, frozen=True):
    """Time went on; `stamp` is bus time now."""

    stamp: Timestamp


Event = Restored | Offered | Received | Written | NotWritten | Ended | Ticked


# -- effects


class Reply(msgspec.Struct, frozen=True):
    """Answer the call `id`."""

    id: bytes
    answer: Answer


class Write(msgspec.Struct, frozen=True):
    """Append a row to the book; when `durable`, feed `Written` once it is on the disk."""

    row: Outcome
    durable: bool


class Execute(msgspec.Struct, frozen=True):
    """Let the device do it; feed `Ended` when it has."""

    key: str
    name: str
    arguments: dict[str, Any]
    limit_ns: int


class Audit(msgspec.Struct, frozen=True):
    """Publish a step on the device's channel ``commands``."""

    step: dict[str, Any]


Effect = Reply | Write | Execute | Audit
