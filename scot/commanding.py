"""A device's host carries out commands: the arbiter's effects on a bus, a disk and a provider."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from scot.arbiter import Arbiter
from scot.arbitration import (
    Audit,
    Effect,
    Ended,
    Event,
    Execute,
    NotWritten,
    Offered,
    Received,
    Reply,
    Restored,
    Ticked,
    Write,
    Written,
)
from scot.book import Book
from scot.bus.connection import Connection
from scot.channel import Lifecycle
from scot.codec import check_bounds
from scot.command import COMMANDS, Answer, Call, Caller, Outcome, Standing, State, Why
from scot.errors import UNREADABLE, CodecError, CommandFailedError, RoomError
from scot.lease import sound
from scot.provider import DeviceContext, Provider

TICK_S: Final = 0.1
GRACE_S: Final = 30.0
"""An execution that has outlived its limit may still tell its end for so long."""
MAX_VALUE: Final = 4_096

log = logging.getLogger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_called = msgspec.msgpack.Decoder(tuple[Caller, Call])


class Commanding:
    """Runs the arbiter of one device.

    Args:
        connection: joined, of the device's host.
        device: the host's.
        book: path of the device's book of commands.
        provider: returns the provider that runs now, None between two runs.
    """

    def __init__(
        self,
        connection: Connection,
        device: DeviceContext[Any],
        book: Path,
        provider: Callable[[], Provider[Any] | None],
    ) -> None:
        self.connection = connection
        self.device = device
        self.provider = provider
        self._path = book
        self._book: Book | None = None
        self._arbiter: Arbiter | None = None
        self._unready = "its clock is not known yet"
        self._offered: Offered | None = None
        self._rows: asyncio.Queue[Write] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[None]] = {}
        connection.on_command = self._called

    async def run(self) -> None:
        """Serve until cancelled; what runs then is said to be unknown."""
        writing = asyncio.create_task(self._writing())
        try:
            while True:
                if self._arbiter is None:
                    self._begin()
                else:
                    self._offer()
                    self._feed(Ticked(self.connection.clock.stamp()))
                await asyncio.sleep(TICK_S)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            if self._book is not None:
                self._book.close()

    def _begin(self) -> None:
        """Start the arbiter once there are commands, bus time is known, and the book is ours."""
        if not self.device.commands:
            return
        self.device.offer(COMMANDS)
        start = self.connection.clock.stamp()
        if not sound(start):
            return
        try:
            self._book = Book(self._path)
        except RoomError as error:
            if str(error) != self._unready:
                log.error("%s: commands are refused: %s", self.device.address, error)
            self._unready = str(error)
            return
        if self._book.damaged:
            log.warning("%s: %d damaged lines passed over", self._path, self._book.damaged)
        self._arbiter = Arbiter(self.device.address, start)
        self._feed(Restored(self._book.rows))
        self._offer()

    def _offer(self) -> None:
        """Tell the arbiter what the device can do now."""
        device = self.device
        ready = device.state is Lifecycle.RUNNING and self.provider() is not None
        text = "" if ready else f"it is {device.state}: {device.reason}".rstrip(": ")
        offered = Offered(dict(device.commands), ready, text)
        if offered != self._offered:
            self._offered = offered
            self._feed(offered)

    def _called(self, key: bytes, body: bytes) -> None:
        """Take a call that the broker passed on."""
        try:
            check_bounds(body)
            caller, call = _called.decode(body)
        except (CodecError, *UNREADABLE) as error:
            log.warning("%s: a call that cannot be read: %s", self.device.address, error)
            return
        if self._arbiter is None:
            text = f"{self.device.address} takes no commands now: {self._unready}"
            refused = Standing(address=call.address, why=Why.NOT_READY, text=text)
            self._reply(Reply(key, refused))
            return
        self._offer()
        self._feed(Received(key, caller, call, self.connection.clock.stamp()))

    def _feed(self, event: Event) -> None:
        if self._arbiter is None:
            return
        for effect in self._arbiter.on(event, self.connection.clock.read()):
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, Reply):
            self._reply(effect)
        elif isinstance(effect, Write):
            self._rows.put_nowait(effect)
        elif isinstance(effect, Execute):
            task = asyncio.create_task(self._execute(effect))
            self._running[effect.key] = task
            task.add_done_callback(lambda _: self._running.pop(effect.key, None))
        else:
            self._publish(effect)

    def _reply(self, reply: Reply) -> None:
        answer: Answer = reply.answer
        self.connection.commanded(reply.id, _encode(answer))

    def _publish(self, audit: Audit) -> None:
        self.connection.publish(self.device.sample(COMMANDS, audit.step), COMMANDS)

    async def _writing(self) -> None:
        """Write rows in order; the disk may take its time, the loop does not wait for it."""
        while True:
            write = await self._rows.get()
            row = write.row
            try:
                await asyncio.shield(asyncio.to_thread(self._append, row, write.durable))
            except OSError as error:
                log.error("%s: a command cannot be noted: %s", self._path, error)
                if write.durable:
                    self._feed(NotWritten(row.key, str(error)))
            else:
                if write.durable:
                    self._feed(Written(row.key, self.connection.clock.stamp()))

    def _append(self, row: Outcome, durable: bool) -> None:
        if self._book is not None:
            self._book.append(row, durable=durable)

    async def _execute(self, effect: Execute) -> None:
        """Let the provider do it, once; whatever it does not tell us is unknown."""
        provider, command = self.provider(), self.device.commands.get(effect.name)
        state, value, text = State.UNKNOWN, None, ""
        try:
            if provider is None or command is None:
                raise CommandFailedError("the device was lost just before it began")
            async with asyncio.timeout(effect.limit_ns / 1e9 + GRACE_S):
                value = await provider.execute(self.device, command, effect.arguments)
            state, (value, text) = State.DONE, _plain(value)
        except CommandFailedError as error:
            state, text = State.FAILED, str(error)
        except asyncio.CancelledError:
            text = "the device's host was stopped while it ran; look at the device"
            raise
        except Exception as error:
            log.exception("%s: the outcome of %s is unknown", self.device.address, effect.name)
            text = f"{str(error) or type(error).__name__}; look at the device"
        finally:
            self._feed(Ended(effect.key, state, value, text))


def _plain(value: Any) -> tuple[Any, str]:
    """Return what a provider gave back as plain values, or nothing and why."""
    try:
        data = _encode(value)
        if len(data) > MAX_VALUE:
            return None, f"done; what it gave back has {len(data)} bytes (limit {MAX_VALUE})"
        check_bounds(data)
        return msgspec.msgpack.decode(data), ""
    except (TypeError, ValueError, CodecError, *UNREADABLE) as error:
        return None, f"done; what it gave back is not plain ({error})"
