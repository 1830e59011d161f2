"""A patient monitor or ventilator that speaks IEEE 11073 SDC, as a device.

Channels come from the device's own MDIB. It reads only: no remote operation is offered to the room.
It is built on `sdc11073`, whose authors do not release it for clinical use.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final
from xml.etree.ElementTree import Element

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scot.errors import DeviceError, DeviceTimeoutError, RemoteProtocolError
from scot.provider import DeviceContext, Provider, ProviderInfo
from scot.sample import Sample
from scot_devices.sdc.link import Link, Report
from scot_devices.sdc.mapping import Mapping, Reading

SILENCE_S: Final = 2.0
"""A monitor that streams waveforms has fallen silent after this."""


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

    async def run(self, device: DeviceContext[SdcOptions]) -> AsyncIterator[Sample]:
        """Connect, describe the device, then yield what it reports until it is gone.

        Raises:
            DeviceError: not there, not SDC, fell silent, ended the subscription or restarted.
        """
        options = device.options
        link = Link(device.address, device.arrived, options.validate_schema, options.tls)
        polite = False
        try:
            address = options.address or await link.find(
                options.epr, options.interface, options.discovery_s
            )
            mapping = _describe(await link.open(address))
            device.offer(*mapping.channels.values())
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
                    mapping = _describe(await link.mdib())
                    device.offer(*mapping.channels.values())
                for sample in self._samples(device, mapping, report):
                    yield sample
                _count(device, "dropped_reports", link.inbox.dropped)
        finally:
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
        device.offer(*mapping.channels.values())
        return [_sample(device, reading, report.arrived_ns) for reading in readings]


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
