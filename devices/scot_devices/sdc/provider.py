"""A patient monitor or ventilator that speaks IEEE 11073 SDC, as a device.

Channels come from the device's own MDIB, and so do commands: of the remote operations it has, those
that the room file lists. None is listed unless somebody lists it. It is built on `sdc11073`, whose
authors do not release it for clinical use.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final
from xml.etree.ElementTree import Element

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scot.errors import (
    CommandFailedError,
    DeviceError,
    DeviceTimeoutError,
    RemoteProtocolError,
)
from scot.provider import Command, DeviceContext, Provider, ProviderInfo
from scot.sample import Sample
from scot_devices.sdc.link import Link, Report
from scot_devices.sdc.mapping import Mapping, Reading
from scot_devices.sdc.operations import Offer, limits

SILENCE_S: Final = 2.0
"""A monitor that streams waveforms has fallen silent after this."""

_CHANGES_OFFERS: Final = ("OperationalStateReport", "EpisodicAlertReport")
"""Reports after which other operations may be possible."""


class SdcOptions(BaseModel):
    """``[device.options]`` of provider ``sdc``: where the device is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: Annotated[
        str,
        Field(
            pattern=r"^(https?://[^/\s]+(/\S*)?)?$",
            description="http(s)://host:port/path; without a path the device is asked for it",
            examples=["http://127.0.0.1:6464"],
        ),
    ] = ""
    epr: Annotated[
        str,
        Field(
            max_length=200,
            description="endpoint reference, found by WS-Discovery when there is no address",
            examples=["urn:uuid:18a55a94-f10b-582a-9234-b63ba71c05ba"],
        ),
    ] = ""
    interface: Annotated[str, Field(description="own IPv4 address for WS-Discovery")] = "127.0.0.1"
    discovery_s: Annotated[float, Field(ge=1, le=60, description="wait for an answer, s")] = 5.0
    validate_schema: Annotated[bool, Field(description="check messages against BICEPS")] = True
    tls: Annotated[
        Path | None, Field(description="folder with userkey.pem, usercert.pem, cacert.pem")
    ] = None
    silence_s: Annotated[
        float | None, Field(gt=0, le=60, description="lost after; from the device when absent")
    ] = None
    operations: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]],
        Field(
            max_length=100,
            description="handles of remote operations to offer as commands, with * for any text",
            examples=[["op.nibp.start", "op.limit.*"]],
        ),
    ] = Field(default_factory=list)

    stops: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]],
        Field(
            max_length=100,
            description="of `operations`, those that only make the device safer: no control needed",
            examples=[["op.nibp.stop"]],
        ),
    ] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_way_to_it(self) -> SdcOptions:
        if not self.address and not self.epr:
            raise ValueError("give the device's `address` or its `epr`")
        if self.address.startswith("https:") and self.tls is None:
            raise ValueError("an https address needs `tls`, the folder with the keys")
        return self


class SdcProvider(Provider[SdcOptions]):
    """Subscribes to one SDC provider and yields its metrics, alarms and patient context."""

    info = ProviderInfo(
        id="scot.sdc",
        label={"en": "SDC device", "ja": "SDC機器"},
        source="ISO/IEEE 11073-20701, -10207, -10101",
    )
    Options = SdcOptions

    def __init__(self) -> None:
        self._link: Link | None = None
        self._mapping: Mapping | None = None

    async def execute(
        self,
        device: DeviceContext[SdcOptions],
        command: Command,
        arguments: dict[str, Any],
    ) -> Any:
        """Invoke the operation a command stands for; done when the device says that it is.

        Raises:
            CommandFailedError: the device refused or cancelled it, or was never asked.
        """
        link, mapping = self._link, self._mapping
        if link is None or mapping is None:
            raise CommandFailedError("the device is not connected")
        offer = _offers(device, mapping).get(command.name)
        if offer is None:
            raise CommandFailedError(f"the device does not offer {command.name} any more")
        operation, proposed = offer.operation, None
        if operation.kind == "SetAlertState":
            state = mapping.condition(operation.target)
            if state is None:
                raise CommandFailedError(f"the device has no condition {operation.target}")
            proposed = limits(operation, state, arguments)
        exactly = await link.invoke(operation.handle, proposed)
        return None if exactly else {"modified": True}

    async def run(self, device: DeviceContext[SdcOptions]) -> AsyncIterator[Sample]:
        """Connect, describe the device, then yield what it reports until it is gone.

        Raises:
            DeviceError: not there, not SDC, fell silent, ended the subscription or restarted.
        """
        options = device.options
        link = Link(
            device.address,
            device.arrived,
            options.validate_schema,
            options.tls,
            operated=bool(options.operations),
        )
        polite = False
        try:
            address = options.address or await link.find(
                options.epr, options.interface, options.discovery_s
            )
            mapping = _describe(await link.open(address))
            self._link, self._mapping = link, mapping
            _offer(device, mapping)
            now_ns = device.arrived()
            _follow_clock(device, mapping, now_ns)
            for reading in mapping.snapshot():
                yield _sample(device, reading, now_ns)
            polite = True
            limit_s = options.silence_s or silence_limit_s(mapping)
            while True:
                try:
                    report = await link.next(limit_s)
                except DeviceTimeoutError:
                    polite = False
                    raise
                if report.name == "DescriptionModificationReport":
                    mapping = self._mapping = _describe(await link.mdib())
                    _offer(device, mapping)
                for sample in self._samples(device, mapping, report):
                    yield sample
                _count(device, "dropped_reports", link.inbox.dropped)
        finally:
            self._link = self._mapping = None
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(link.close(polite))

    def _samples(
        self, device: DeviceContext[SdcOptions], mapping: Mapping, report: Report
    ) -> list[Sample]:
        """Turn one report into samples; a malformed one is counted and gives none."""
        try:
            readings = mapping.report(report.body)
        except RemoteProtocolError:
            device.count("bad_reports")
            return []
        _count(device, "missing_mdib_versions", mapping.missing)
        device.declare_accuracy(mapping.accuracy_s)
        if report.name in _CHANGES_OFFERS:
            _offer(device, mapping)
        else:
            device.offer(*mapping.channels.values())
        return [_sample(device, reading, report.arrived_ns) for reading in readings]


def _offers(device: DeviceContext[SdcOptions], mapping: Mapping) -> dict[str, Offer]:
    return mapping.offers(device.options.operations, device.options.stops)


def _offer(device: DeviceContext[SdcOptions], mapping: Mapping) -> None:
    """Offer the device's channels, and of its operations those that are listed and enabled."""
    commands = [offer.command for offer in _offers(device, mapping).values()]
    device.withdraw(*(device.commands.keys() - {command.name for command in commands}))
    device.offer(*mapping.channels.values(), *commands)


def _describe(message: Element) -> Mapping:
    """Read an MDIB; one that cannot be read is the device's fault, not ours."""
    try:
        return Mapping(message)
    except RemoteProtocolError as error:
        raise DeviceError(f"the device describes itself wrongly: {error}") from error


def silence_limit_s(mapping: Mapping) -> float:
    """How long a device may say nothing: a stream stops at once, a heartbeat may be slow."""
    if mapping.has_waves:
        return SILENCE_S
    return max(SILENCE_S, 1.5 * (mapping.self_check_s or 10.0) + 0.5)


def _count(device: DeviceContext[SdcOptions], what: str, total: int) -> None:
    """Show a running total in the device's health, once there is something to show."""
    if total:
        device.health[what] = total


def _follow_clock(device: DeviceContext[SdcOptions], mapping: Mapping, arrived_ns: int) -> None:
    """Say whose clock this is, and what it read when the MDIB came: its values may be old ones."""
    device.new_epoch("the device began a new MDIB sequence", identity=mapping.sequence)
    device.declare_accuracy(mapping.accuracy_s)
    if mapping.newest_ns is not None:
        device.heard(mapping.newest_ns, arrived_ns)


def _sample(device: DeviceContext[SdcOptions], reading: Reading, arrived_ns: int) -> Sample:
    """Stamp a reading by the device's clock, news or not."""
    return device.sample(
        reading.channel,
        reading.value,
        source_ns=reading.source_ns,
        arrived_ns=arrived_ns,
        flags=reading.flags,
    )
