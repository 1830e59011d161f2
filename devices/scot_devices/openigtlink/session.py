"""One connection's OpenIGTLink messages turned into samples. No I/O: bytes in, samples out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scot.channel import Channel, Lifecycle
from scot.errors import DeviceError, RemoteProtocolError
from scot.provider import DeviceContext
from scot.sample import Flags, Sample
from scot_devices.openigtlink import registration
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
from scot_devices.openigtlink.options import TrackerOptions
from scot_devices.openigtlink.protocol import ChecksumError, Connection, MessageError
from scot_devices.openigtlink.registration import Register
from scot_devices.openigtlink.rigid import RigidPose
from scot_devices.openigtlink.seen import INVISIBLE, seen
from scot_devices.openigtlink.tools import ToolBook, value_or_invisible

MAX_GARBAGE: Final = 256 << 10
"""Bytes of no message since the last sound one after which the connection is given up."""

FORGIVEN_AFTER: Final = 10
"""Sound messages that pay for one broken one."""


class Session:
    """One connection's messages turned into samples; no I/O of its own.

    Args:
        device: for stamping, offering and counting.
        status: the channel of STATUS lines.

    Attributes:
        heard_ns: `arrived` reading of the last sound message (at first, of the start).
    """

    def __init__(self, device: DeviceContext[TrackerOptions], status: Channel) -> None:
        options = device.options
        self.device = device
        self.heard_ns = device.arrived()
        self._status = status
        self._connection = Connection(options.max_body_bytes)
        self._debt = 0
        self._garbage_counted = 0
        self._garbage_at_message = 0
        self._framed: dict[str, str] = {}  # tool to the sender of the frames it comes in
        self._registered: tuple[Channel, Channel] | None = None
        self._register: Register | None = None
        if options.registration is not None:
            self._registered = registration.channels(options.registration, options.frame)
            self._register = Register(options.registration)
        own = [status, *(self._registered or ())]
        names = {channel.name for channel in own}
        self._book = ToolBook(options.tools, options.frame, options.discover, names)
        device.offer(*own, *self._book.channels)

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
        peer, pending = self.device.options.where, self._connection.pending
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
            yield from self._registration(message, arrived_ns)

    def _registration(self, message: Message, arrived_ns: int) -> Iterator[Sample]:
        """What the registration is worth, when that changed or was not told for a while."""
        if self._register is None or self._registered is None:
            return
        if not self._register.due(arrived_ns):
            return
        pose, line = self._registered
        changed = self._register.changed
        self._register.taken(arrived_ns)
        value = self._register.value
        flags = Flags(0) if value.visible else Flags.INVALID
        source_ns = message.time_ns
        yield self.device.sample(
            pose, value, source_ns=source_ns, arrived_ns=arrived_ns, flags=flags
        )
        if changed:
            yield self.device.sample(
                line, self._register.line, source_ns=source_ns, arrived_ns=arrived_ns
            )

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
                f"{self.device.options.where} sent more than {limit} broken messages; "
                f"the last: {error}"
            )

    def _count_garbage(self) -> None:
        garbage = self._connection.garbage_bytes
        if garbage != self._garbage_counted:
            self.device.count("garbage_bytes", garbage - self._garbage_counted)
            self._garbage_counted = garbage
        if garbage - self._garbage_at_message > MAX_GARBAGE:
            raise DeviceError(
                f"{self.device.options.where} sent {garbage - self._garbage_at_message} bytes "
                "that are no OpenIGTLink; is it the right port?"
            )

    def _samples(self, message: Message, arrived_ns: int) -> Iterator[Sample]:
        register = self._register
        match message:
            case Transform() if register and message.device == register.options.name:
                register.transform(message, arrived_ns)
            case Transform():
                yield from self._transform(message, arrived_ns)
            case TrackingData(tools=tools) | QuaternionTrackingData(tools=tools):
                yield from self._frame(message, tools, arrived_ns)
            case Status():
                yield from self._status_of(message, arrived_ns)
            case Reply(what="TDATA", ok=False):
                raise DeviceError(
                    f"{self.device.options.where} refused STT_TDATA; "
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
        if self._register is not None and wire_name == self._register.options.reference:
            still = RigidPose(value.position_mm, value.orientation, 0.0)
            self._register.reference(still if value.visible else None)
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
