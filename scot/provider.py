"""What a plug-in author needs: `Provider`, `ProviderInfo`, `DeviceContext` and the declarations.

A provider declares what it offers and yields samples; it owns no bus, no clock and no thread it
does not need. Its host calls `run` again, with back-off, whenever it raises `DeviceError`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict

from scot.channel import (
    Alarm,
    Annotation,
    Argument,
    ArgumentType,
    Channel,
    Command,
    Device,
    Event,
    Kind,
    Lifecycle,
    Numeric,
    Pose,
    Risk,
    Text,
    Video,
    Waveform,
)
from scot.clock.clock import Clock
from scot.clock.latency import Latency, Lateness, described
from scot.clock.stamping import Base, Stamping
from scot.errors import CommandFailedError, DeviceError, LocalProtocolError
from scot.sample import Flags, Sample, Value

__all__ = [
    "Alarm",
    "Annotation",
    "Argument",
    "ArgumentType",
    "Channel",
    "Command",
    "CommandFailedError",
    "DeviceContext",
    "DeviceError",
    "Event",
    "Kind",
    "Lifecycle",
    "NoOptions",
    "Numeric",
    "Pose",
    "Provider",
    "ProviderInfo",
    "Risk",
    "Text",
    "Video",
    "Waveform",
]


log = logging.getLogger(__name__)


class NoOptions(BaseModel):
    """Options of a provider that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


OptionsT = TypeVar("OptionsT", bound=BaseModel)


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who a provider is: a dotted id, labels by language, the standard it speaks."""

    id: str
    label: dict[str, str]
    source: str = ""


class DeviceContext(Generic[OptionsT]):
    """What a host hands to a provider: its options, its channels and the stamping of samples.

    Attributes:
        workspace, name: of the device; `address` joins them.
        options: checked against the provider's `Options`.
        simulated: marks every sample as not from a patient.
    """

    def __init__(
        self,
        workspace: str,
        name: str,
        options: OptionsT,
        clock: Clock,
        simulated: bool = False,
        latency: Latency | None = None,
    ) -> None:
        self.workspace = workspace
        self.name = name
        self.options = options
        self.simulated = simulated
        self._lateness = Lateness(latency)
        self._health: dict[str, int] = {}
        self.channels: dict[str, Channel] = {}
        self.commands: dict[str, Command] = {}
        self.state = Lifecycle.CREATED
        self.reason = ""
        self.version = 0
        self.epoch = clock.now()
        self._clock = clock
        self._seq: dict[str, int] = {}
        self._stamping = Stamping(clock)

    @property
    def health(self) -> dict[str, int]:
        """Counters a provider may add to (``health["bad_crc"] += 1``), and those of its clocks."""
        self._health.update(self._stamping.counts)
        return self._health

    @property
    def address(self) -> str:
        """``workspace/device``."""
        return f"{self.workspace}/{self.name}"

    @property
    def latency(self) -> Latency | None:
        """What is taken off the bus time of the samples it concerns; None: not calibrated."""
        return self._lateness.latency

    def calibrate(self, latency: Latency | None) -> None:
        """Take another latency off from the next sample on; the host announces it before that."""
        self._lateness.change(latency)
        self.offer(*self.channels.values())

    def offer(self, *offered: Channel | Command) -> None:
        """Add or replace channels and commands; announced before the next sample leaves."""
        for channel in offered:
            if isinstance(channel, Command):
                if self.commands.get(channel.name) != channel:
                    self.commands[channel.name] = channel
                    self.version += 1
                continue
            channel = described(channel, self.latency)  # noqa: PLW2901 - as it is announced
            if self.channels.get(channel.name) != channel:
                self.channels[channel.name] = channel
                self.version += 1

    def withdraw(self, *commands: str) -> None:
        """Offer commands of these names no longer."""
        for name in commands:
            if self.commands.pop(name, None) is not None:
                self.version += 1

    def move(self, state: Lifecycle, reason: str = "") -> None:
        """Say where the device stands; `reason` is one line for people."""
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self.version += 1

    def count(self, what: str, by: int = 1) -> None:
        """Count something that health shows, such as a broken message."""
        self._health[what] = self._health.get(what, 0) + by

    def arrived(self) -> int:
        """Return the host's monotonic reading, ns: take it as soon as bytes are there."""
        return self._clock.read()

    def heard(self, source_ns: int, arrived_ns: int) -> None:
        """Note a reading of the device's clock that came without a sample: now, not an old value.

        Args:
            source_ns: the device's time.
            arrived_ns: `arrived()` when it came.
        """
        self._stamping.heard(source_ns, arrived_ns)

    def new_epoch(self, reason: str, identity: str = "") -> None:
        """Say that the device's clock is another one now, such as after its restart.

        Args:
            reason: one line for people.
            identity: of this run of the device's clock, such as a boot id; the same one as last
                time begins nothing.
        """
        if self._stamping.new_epoch(identity):
            log.info("%s: a new epoch of its clock: %s", self.address, reason)

    def declare_accuracy(self, accuracy_s: float | None) -> None:
        """Take the device's own word for how far its clock is from UTC at most; None: none."""
        self._stamping.declare_accuracy(accuracy_s)

    @property
    def accuracy_ns(self) -> int | None:
        """What `declare_accuracy` took, ns; None: the device does not say."""
        return self._stamping.accuracy_ns

    def sample(
        self,
        channel: Channel,
        value: Value,
        *,
        source_ns: int | None = None,
        base: Base = "device",
        arrived_ns: int | None = None,
        counter: int | None = None,
        flags: Flags = Flags(0),  # noqa: B008 - immutable
    ) -> Sample:
        """Return the sample to yield: stamped, numbered, checked against `offer`.

        Args:
            channel: one that was offered.
            value: of the channel's kind, see `scot.sample.Sample`.
            source_ns: the device's time, of a waveform's first value; None when it gave none
                (stamped at arrival, flagged).
            base: whose clock `source_ns` is: the device's own (any epoch), or this host's
                monotonic clock (`arrived`), as for frames this host captured itself.
            arrived_ns: `arrived()` when the bytes came; now when None.
            counter: of the device, at the first value; places a stream of constant `rate_hz`.
            flags: facts the provider knows.

        Raises:
            LocalProtocolError: the channel was not offered.
        """
        name, rate_hz = channel.name, channel.rate_hz
        if name not in self.channels:
            raise LocalProtocolError(
                f"{self.address}/{name} was never offered; call device.offer first"
            )
        if self.simulated:
            flags |= Flags.SIMULATED
        if arrived_ns is None:
            arrived_ns = self.arrived()
        stamping = self._stamping
        values = max(1, len(value)) if isinstance(value, np.ndarray) else 1
        if source_ns is not None:
            time = stamping.told(name, source_ns, base, arrived_ns, values, rate_hz, counter)
        elif rate_hz and (counter is not None or channel.kind is Kind.WAVEFORM):
            flags |= Flags.INFERRED if counter is None else Flags(0)
            time = stamping.paced(name, counter, values, rate_hz, arrived_ns)
        else:
            flags |= Flags.ARRIVAL
            time = stamping.arrival(arrived_ns)
        time, held = self._lateness.applied(name, time)
        if held:
            flags |= Flags.DOUBTFUL
        seq = self._seq.get(name, 0)
        self._seq[name] = seq + 1
        return Sample(f"{self.workspace}/{self.name}/{name}", self.epoch, seq, time, flags, value)

    def device(self, provider: str, label: dict[str, str]) -> Device:
        """Return the device's entry for the catalogue."""
        return Device(
            name=self.name,
            provider=provider,
            label=label,
            state=self.state,
            reason=self.reason,
            epoch=self.epoch,
            channels=dict(self.channels),
            commands=dict(self.commands),
        )


class Provider(ABC, Generic[OptionsT]):
    """Knows how to talk to one kind of device.

    Class attributes that are `Channel` or `Command` are offered before `run`; a provider that
    learns them from the device calls `device.offer`.
    """

    info: ClassVar[ProviderInfo]
    Options: ClassVar[type[BaseModel]] = NoOptions

    @classmethod
    def declared(cls) -> list[Channel]:
        """Return the channels declared on the class, in order."""
        found: dict[str, Channel] = {}
        for base in reversed(cls.__mro__):
            found.update({k: v for k, v in vars(base).items() if isinstance(v, Channel)})
        return list(found.values())

    @classmethod
    def declared_commands(cls) -> list[Command]:
        """Return the commands declared on the class, in order."""
        found: dict[str, Command] = {}
        for base in reversed(cls.__mro__):
            found.update({k: v for k, v in vars(base).items() if isinstance(v, Command)})
        return list(found.values())

    async def execute(
        self, device: DeviceContext[Any], command: Command, arguments: dict[str, Any]
    ) -> Any:
        """Let the device do it; called once for a command, beside `run`, while it yields samples.

        Args:
            device: as in `run`.
            command: one that was offered.
            arguments: by name, checked; numbers in the unit that was declared.

        Returns:
            Plain values for whoever asked, or None.

        Raises:
            CommandFailedError: the device itself said that it did not do it.
            Exception: anything else leaves the outcome unknown.
        """
        raise LocalProtocolError(f"{self.info.id} offers {command.name} and cannot execute it")

    @abstractmethod
    def run(self, device: DeviceContext[Any]) -> AsyncIterator[Sample]:
        """Connect and yield samples until the device is gone.

        Raises:
            DeviceError: the device cannot be reached or misbehaved; the host tries again.
        """
