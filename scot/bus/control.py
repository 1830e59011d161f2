"""To command a device from a program: take control, ask, follow, let go.

    async with Control(connection, "or1/monitor") as control:
        async for outcome in control.command("nibp_start", {}):
            print(outcome.state, outcome.value)

A key needs a grant for it; see `scot.access.Grant.command`.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec

from scot.bus.connection import Connection
from scot.bus.subscriber import Delivery
from scot.command import (
    COMMANDS,
    Answer,
    Call,
    Lease,
    Look,
    Outcome,
    Release,
    Request,
    Standing,
    Take,
    Why,
)
from scot.errors import UNREADABLE, BusError, CodecError, CommandRefusedError
from scot.issued import Begun, Event, Issued, Replied, Seen, Send, Ticked
from scot.lease import sound

LEASE_S: Final = 10.0
KEEP_EVERY_S: Final = 3.0
CALL_WITHIN_S: Final = 5.0
BEGIN_WITHIN_S: Final = 20.0
TICK_S: Final = 0.1

_LOST: Final = frozenset({Why.HELD, Why.GRANT, Why.REPLAY})

log = logging.getLogger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_answer = msgspec.msgpack.Decoder(Answer)


async def call(connection: Connection, what: Call, within_s: float = CALL_WITHIN_S) -> Answer:
    """Make one call and return its answer.

    Raises:
        BusError: there is no answer: what was asked for may or may not happen.
        CodecError: the answer cannot be read.
    """
    body, *_ = await connection.request(b"command", _encode(what), within_s)
    try:
        answer: Answer = _answer.decode(body)
    except UNREADABLE as error:
        raise CodecError(f"the answer to a command cannot be read: {error}") from None
    return answer


async def take(connection: Connection, address: str, for_s: float = LEASE_S) -> Lease:
    """Take control of a device, keep it, or accept an offer of it.

    Raises:
        CommandRefusedError: somebody else has it, or this key may not.
        BusError: nobody answers.
    """
    now_ns = connection.clock.now()
    answer = await call(
        connection,
        Take(
            address=address,
            id=str(uuid.uuid4()),
            for_ns=round(for_s * 1e9),
            expires_ns=now_ns + round(CALL_WITHIN_S * 1e9),
        ),
    )
    lease = answer.lease if isinstance(answer, Standing) else None
    if answer.why is not Why.NONE or lease is None:
        raise CommandRefusedError(answer.why or Why.NO_CONTROL, answer.text or "it was not given")
    return lease


async def look(connection: Connection, address: str) -> Standing:
    """Ask who controls a device, and what is open.

    Raises:
        BusError: nobody answers.
    """
    answer = await call(connection, Look(address=address))
    if not isinstance(answer, Standing):
        raise CodecError(f"{address} answered what was not asked")
    return answer


class _Steps:
    """A sink that hands on what the device's channel ``commands`` says of a key."""

    def __init__(self) -> None:
        self.listeners: dict[str, Callable[[Event], None]] = {}

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Tell whoever follows the command."""
        for delivery in batch:
            try:
                step: Any = delivery.sample().value
                listener = self.listeners.get(step.get("key", ""))
                if listener is not None and step.get("step") == "command":
                    listener(Seen(msgspec.convert(step, Outcome)))
            except (CodecError, msgspec.ValidationError) as error:
                log.warning("a step of a command that cannot be read: %s", error)

    def close(self) -> None:
        """Nothing to let go."""


_followed: WeakKeyDictionary[Connection, dict[str, _Steps]] = WeakKeyDictionary()


def _steps_of(connection: Connection, address: str) -> _Steps:
    """Return what follows a device's commands on a connection; subscribed once."""
    devices = _followed.setdefault(connection, {})
    if address not in devices:
        devices[address] = _Steps()
        connection.subscribe([f"{address}/{COMMANDS.name}"], devices[address])
    return devices[address]


class Control:
    """Control of one device, kept for as long as the block lasts.

    Args:
        connection: joined with a key that may command.
        address: ``or1/monitor``.
        taking: False to give only commands that stop something: they need no control.

    Attributes:
        lease: as the device's host last told it; None when control was lost.
        lost: set when control was lost.

    Raises:
        CommandRefusedError: on entering: it is not given; says who has control.
        BusError: nobody answers.
    """

    def __init__(self, connection: Connection, address: str, *, taking: bool = True) -> None:
        self.connection = connection
        self.address = address
        self.taking = taking
        self.lease: Lease | None = None
        self.lost = asyncio.Event()
        self._was_ours = False
        self._keeping: asyncio.Task[None] | None = None
        self._steps = _steps_of(connection, address)
        self._sending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Control:
        if not self.taking:
            return self
        before = (await look(self.connection, self.address)).lease
        self._was_ours = before is not None and before.holder == self.connection.link.name
        self.lease = await take(self.connection, self.address)
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        if self.lease is not None and not self._was_ours:  # another process of ours may need it
            try:
                await call(
                    self.connection, Release(address=self.address, term=self.lease.term), 2.0
                )
            except BusError as error:  # the lease ends by itself
                log.info("control of %s is left to expire: %s", self.address, error)

    async def command(
        self, name: str, arguments: dict[str, Any], within_s: float = BEGIN_WITHIN_S
    ) -> AsyncIterator[Outcome]:
        """Ask for a command and yield each outcome as it becomes known; the last one is final.

        It is sent once. When nobody answers, the outcome is `unknown`, and only asked about; stop
        iterating when you have waited long enough.

        Args:
            name: of the command.
            arguments: by name; a number with a unit as ``[value, unit]``.
            within_s: it must have begun by then.

        Raises:
            CommandRefusedError: our own clock cannot say when it expires.
        """
        issued = Issued(self._request(name, arguments, within_s))
        told: asyncio.Queue[Outcome] = asyncio.Queue()

        def feed(event: Event) -> None:
            for effect in issued.on(event, self.connection.clock.read()):
                if isinstance(effect, Send):
                    task = asyncio.create_task(self._send(effect.call, feed))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
                else:
                    told.put_nowait(effect.outcome)

        self._steps.listeners[issued.request.key] = feed
        ticking = asyncio.create_task(self._ticking(feed))
        feed(Begun())
        try:
            while not (issued.ended and told.empty()):
                yield await told.get()
        finally:
            ticking.cancel()
            del self._steps.listeners[issued.request.key]

    async def _send(self, what: Call, feed: Callable[[Event], None]) -> None:
        sent_ns = self.connection.clock.read()
        try:
            answer = await call(self.connection, what)
        except (BusError, CodecError) as error:
            log.info("%s", error)  # no answer says nothing; `Issued` asks again
        else:
            feed(Replied(answer, what, sent_ns))

    async def _ticking(self, feed: Callable[[Event], None]) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            feed(Ticked(self.connection.clock.stamp()))

    async def _keep(self) -> None:
        """Take control again and again: when we are gone, it is lost."""
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            try:
                self.lease = await take(self.connection, self.address)
            except CommandRefusedError as error:
                if error.why not in _LOST:
                    log.info("%s", error)  # its host, or the broker, is away for a while
                    continue
                log.warning("%s", error)
                self.lease = None
                self.lost.set()
                return
            except BusError as error:
                log.info("%s", error)

    def _request(self, name: str, arguments: dict[str, Any], within_s: float) -> Request:
        stamp = self.connection.clock.stamp()
        if not sound(stamp) or stamp.bound_ns is None:
            raise CommandRefusedError(
                "clock", f"bus time is {stamp.state.label} here; wait until it is locked"
            )
        return Request(
            address=f"{self.address}/{name}",
            key=str(uuid.uuid4()),
            arguments=arguments,
            term=0 if self.lease is None else self.lease.term,
            issued_ns=stamp.bus_ns,
            expires_ns=stamp.bus_ns - stamp.bound_ns + round(within_s * 1e9),
        )
