"""Provider `openigtlink`: poses and status of a tracker that is an OpenIGTLink server.

.. code-block:: toml

    [[device]]
    name = "tracker"
    provider = "openigtlink"
    [device.options]
    host = "192.0.2.7"
    port = 18944
    frame = "mni152"
    tools = [{ name = "Probe", channel = "probe", error_mm = 0.8, axis = "+z" }]

TRANSFORM, TDATA and QTDATA become poses, STATUS becomes the text channel `status`. Samples carry
the tracker's own time; where its header says 0, and the arrival stands in for it, the sample is
flagged `ARRIVAL`. A tool that the tracker does not see is reported as such and never held.

What the peer does wrong is counted under the device's health: ``bad_crc``, ``malformed``,
``garbage_bytes``, ``bad_pose``, ``unknown_messages``, ``ignored_tools``. After `max_errors` broken
messages with not ten sound ones between, or `MAX_GARBAGE` bytes that are no message, the
connection is closed and made anew. A closed, refused or dead connection is a `DeviceError`: the
host waits and calls again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scot.channel import Lifecycle
from scot.errors import DeviceError, DeviceTimeoutError, RemoteProtocolError
from scot.provider import DeviceContext, Provider, ProviderInfo, Text
from scot.sample import Flags, Sample
from scot_devices.openigtlink.messages import (
    Message,
    QuaternionTool,
    QuaternionTrackingData,
    Query,
    Reply,
    Status,
    StatusCode,
    Tool,
    TrackingData,
    Transform,
    Unknown,
)
from scot_devices.openigtlink.protocol import ChecksumError, Connection, MessageError, encode
from scot_devices.openigtlink.tools import (
    INVISIBLE,
    ToolBook,
    ToolOptions,
    seen,
    value_or_invisible,
)

READ_BYTES: Final = 64 << 10
MAX_GARBAGE: Final = 256 << 10
"""Bytes of no message since the last sound one after which the connection is given up."""

FORGIVEN_AFTER: Final = 10
"""Sound messages that pay for one broken one."""


class TrackerOptions(BaseModel):
    """``[device.options]`` of an OpenIGTLink tracker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Field(min_length=1, description="name or address of the server")]
    port: Annotated[int, Field(ge=1, le=65535)] = 18944
    tools: Annotated[list[ToolOptions], Field(max_length=64)] = Field(default_factory=list)
    discover: Annotated[bool, Field(description="give unknown tools a channel")] = True
    frame: Annotated[str, Field(description="frame of reference, such as mni152")] = ""
    start_tdata: Annotated[bool, Field(description="ask with STT_TDATA")] = False
    tdata_interval_ms: Annotated[int, Field(ge=0, le=60_000, description="0: every frame")] = 0
    tdata_frame: Annotated[str, Field(max_length=32, description="coordinate system")] = ""
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 3.0
    silence_limit_s: Annotated[float, Field(gt=0, le=600, description="DEGRADED after, s")] = 2.0
    reconnect_after_s: Annotated[
        float, Field(gt=0, le=3600, description="of silence, the connection is made anew")
    ] = 10.0
    max_errors: Annotated[int, Field(ge=1, le=10_000, description="then it is made anew")] = 20
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 8 << 20

    @model_validator(mode="after")
    def _names_differ(self) -> TrackerOptions:
        wire = [tool.name for tool in self.tools]
        channels = ["status", *(tool.channel for tool in self.tools if tool.channel)]
        for what, names in (("tool", wire), ("channel", channels)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is named twice; each needs its own name")
        return self


class OpenIGTLinkProvider(Provider[TrackerOptions]):
    """Tools of a surgical tracker, by OpenIGTLink 1 to 3 over TCP."""

    info = ProviderInfo(
        id="openigtlink",
        label={"en": "Navigation (OpenIGTLink)", "ja": "ナビゲーション(OpenIGTLink)"},
        source="OpenIGTLink protocol 3.0, 2017-01-20",
    )
    Options = TrackerOptions

    status = Text("status", label={"en": "Tracker status", "ja": "トラッカの状態"})

    async def run(self, device: DeviceContext[TrackerOptions]) -> AsyncIterator[Sample]:
        """Connect and yield samples until the peer goes, dies or errs too often.

        Raises:
            DeviceError: cannot connect, closed, too many errors; DeviceTimeoutError: silent.
        """
        options = device.options
        session = Session(device, self)
        reader, writer = await self._connect(device)
        try:
            if options.start_tdata:
                writer.write(encode(session.start()))
            while True:
                data = await self._read(reader, device, session)
                for sample in session.receive(data, device.arrived()):
                    yield sample
        except ConnectionError as error:
            raise DeviceError(f"{where(options)} broke the connection ({error})") from None
        finally:
            if options.start_tdata and not writer.transport.is_closing():
                writer.write(encode(Query(device="", verb="STP", what="TDATA")))
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()

    @staticmethod
    async def _connect(
        device: DeviceContext[TrackerOptions],
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        options = device.options
        device.move(Lifecycle.CONNECTING, device.reason)
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                streams = await asyncio.open_connection(
                    options.host, options.port, limit=READ_BYTES
                )
        except TimeoutError:
            raise DeviceTimeoutError(
                f"{where(options)} (connecting)",
                options.connect_timeout_s,
                options.connect_timeout_s,
            ) from None
        except OSError as error:
            raise DeviceError(
                f"{where(options)} cannot be reached ({error.strerror or error}); "
                "is the tracker on and its OpenIGTLink server started?"
            ) from None
        device.move(Lifecycle.CONNECTED)
        return streams

    @staticmethod
    async def _read(
        reader: asyncio.StreamReader, device: DeviceContext[TrackerOptions], session: Session
    ) -> bytes:
        """Return what came; tell of silence on the way.

        Raises:
            DeviceError: the peer closed. DeviceTimeoutError: silent for `reconnect_after_s`.
        """
        options = device.options
        while True:
            silent_s = (device.arrived() - session.heard_ns) / 1e9
            if silent_s >= options.reconnect_after_s:
                raise DeviceTimeoutError(where(options), silent_s, options.reconnect_after_s)
            wait_s = min(options.silence_limit_s, options.reconnect_after_s) - silent_s
            if silent_s >= options.silence_limit_s:
                limit_s = options.silence_limit_s
                device.move(Lifecycle.DEGRADED, f"no message for more than {limit_s:g} s")
                wait_s = options.reconnect_after_s - silent_s
            try:
                async with asyncio.timeout(wait_s) as limit:
                    data = await reader.read(READ_BYTES)
            except TimeoutError as error:
                if limit.expired():
                    continue
                raise DeviceError(f"{where(options)} no longer answers ({error})") from None
            if not data:
                raise DeviceError(session.farewell())
            return data


def where(options: TrackerOptions) -> str:
    """``host:port``, for people."""
    return f"{options.host}:{options.port}"


class Session:
    """One connection's messages turned into samples; no I/O of its own.

    Args:
        device: for stamping, offering and counting.
        provider: holds the declared channels.

    Attributes:
        heard_ns: `arrived` reading of the last sound message (at first, of the start).
    """

    def __init__(
        self, device: DeviceContext[TrackerOptions], provider: OpenIGTLinkProvider
    ) -> None:
        options = device.options
        self.device = device
        self.heard_ns = device.arrived()
        self._status = provider.status
        self._connection = Connection(options.max_body_bytes)
        self._debt = 0
        self._garbage_counted = 0
        self._garbage_at_message = 0
        self._framed: dict[str, str] = {}  # tool to the sender of the frames it comes in
        self._book = ToolBook(
            options.tools, options.frame, options.discover, {provider.status.name}
        )
        device.offer(provider.status, *self._book.channels)

    def start(self) -> Query:
        """Return the query that asks for tracking data."""
        options = self.device.options
        return Query(
            device="",
            verb="STT",
            what="TDATA",
            interval_ms=options.tdata_interval_ms,
            frame=options.tdata_frame,
        )

    def farewell(self) -> str:
        """Say how the peer closed."""
        peer, pending = where(self.device.options), self._connection.pending
        if pending:
            self.device.count("cut_messages")
            return f"{peer} closed in mid-message ({pending} bytes of it had come)"
        return f"{peer} closed the connection"

    def receive(self, data: bytes, arrived_ns: int) -> Iterator[Sample]:
        """Yield the samples that newly arrived bytes complete.

        Raises:
            DeviceError: the peer has erred too often.
        """
        self._connection.receive_data(data)
        while True:
            try:
                message = self._connection.next_event()
            except RemoteProtocolError as error:
                self._erred(error)
                continue
            self._count_garbage()
            if message is None:
                return
            self._debt = max(0, self._debt - 1)
            self.heard_ns = arrived_ns
            self.device.move(Lifecycle.RUNNING)
            self._garbage_at_message = self._connection.garbage_bytes
            yield from self._samples(message, arrived_ns)

    def _erred(self, error: RemoteProtocolError) -> None:
        if isinstance(error, ChecksumError):
            self.device.count("bad_crc")
        elif isinstance(error, MessageError):
            self.device.count("malformed")
        self._count_garbage()
        self._debt += FORGIVEN_AFTER
        limit = self.device.options.max_errors
        if self._debt > limit * FORGIVEN_AFTER:
            raise DeviceError(
                f"{where(self.device.options)} sent more than {limit} broken messages; "
                f"the last: {error}"
            )

    def _count_garbage(self) -> None:
        garbage = self._connection.garbage_bytes
        if garbage != self._garbage_counted:
            self.device.count("garbage_bytes", garbage - self._garbage_counted)
            self._garbage_counted = garbage
        if garbage - self._garbage_at_message > MAX_GARBAGE:
            raise DeviceError(
                f"{where(self.device.options)} sent {garbage - self._garbage_at_message} bytes "
                "that are no OpenIGTLink; is it the right port?"
            )

    def _samples(self, message: Message, arrived_ns: int) -> Iterator[Sample]:
        match message:
            case Transform():
                yield from self._transform(message, arrived_ns)
            case TrackingData(tools=tools) | QuaternionTrackingData(tools=tools):
                yield from self._frame(message, tools, arrived_ns)
            case Status():
                yield from self._status_of(message, arrived_ns)
            case Reply(what="TDATA", ok=False):
                raise DeviceError(
                    f"{where(self.device.options)} refused STT_TDATA; "
                    "set start_tdata to false if it pushes by itself"
                )
            case Unknown():
                self.device.count("unknown_messages")

    def _pose(
        self,
        message: Message,
        wire_name: str,
        source: Transform | Tool | QuaternionTool | None,
        arrived_ns: int,
    ) -> Sample | None:
        """Return the sample of one tool; `source` None means that it was not seen."""
        channel = self._book.channel(wire_name)
        if channel is None:
            self.device.count("ignored_tools")
            return None
        self.device.offer(channel)
        value, flags = INVISIBLE, Flags.INVALID
        if source is not None:
            element = source.matrix if isinstance(source, Transform) else source
            value, flags, good = value_or_invisible(element, channel.err_mm)
            if not good:
                self.device.count("bad_pose")
        return self.device.sample(
            channel, value, source_ns=message.time_ns, arrived_ns=arrived_ns, flags=flags
        )

    def _transform(self, message: Transform, arrived_ns: int) -> Iterator[Sample]:
        source = message if seen(message) else None
        sample = self._pose(message, message.device, source, arrived_ns)
        if sample is not None:
            yield sample

    def _frame(
        self,
        message: Message,
        tools: tuple[Tool, ...] | tuple[QuaternionTool, ...],
        arrived_ns: int,
    ) -> Iterator[Sample]:
        """Samples of one tracking frame: of its tools, and of those that its sender left out."""
        there = [tool.name for tool in tools]
        for tool in tools:
            sample = self._pose(message, tool.name, tool, arrived_ns)
            if sample is not None:
                self._framed[tool.name] = message.device
                yield sample
        for name, sender in self._framed.items():
            if sender == message.device and name not in there:
                sample = self._pose(message, name, None, arrived_ns)
                if sample is not None:
                    yield sample

    def _status_of(self, message: Status, arrived_ns: int) -> Iterator[Sample]:
        """The status line; and, when a tool's own status is bad, that it is not seen."""
        good = message.code == StatusCode.OK
        if not good and self._book.knows(message.device):
            sample = self._pose(message, message.device, None, arrived_ns)
            if sample is not None:
                yield sample
        yield self.device.sample(
            self._status,
            status_line(message),
            source_ns=message.time_ns,
            arrived_ns=arrived_ns,
            flags=Flags(0) if good else Flags.DOUBTFUL,
        )


def status_line(status: Status) -> str:
    """Return a STATUS as one line: who, what, and the code's name unless it is OK."""
    try:
        code = StatusCode(status.code).name.lower().replace("_", " ")
    except ValueError:
        code = f"code {status.code}"
    said = " ".join((status.text or status.name or code).split())
    line = f"{status.device}: {said}" if status.device else said
    return line if status.code == StatusCode.OK or said == code else f"{line} ({code})"
