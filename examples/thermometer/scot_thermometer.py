"""A provider in one file: skin temperature from a probe that sends one line a second over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from scot.channel import Numeric
from scot.errors import DeviceError
from scot.provider import DeviceContext, Provider, ProviderInfo
from scot.sample import NumericValue, Sample


class Thermometer(Provider["Thermometer.Options"]):
    """Skin temperature in °C at 1 Hz; the probe sends ``36.8`` and a line feed, and no time."""

    info = ProviderInfo(id="example.thermometer", label={"en": "Thermometer", "ja": "体温計"})

    class Options(BaseModel):
        """Where the probe listens."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        host: Annotated[str, Field(description="name or address of the probe")] = "127.0.0.1"
        port: Annotated[int, Field(ge=1, le=65535, description="TCP port of the probe")]

    skin = Numeric(
        "skin",
        unit="Cel",
        code="MDC_TEMP_SKIN",
        rate_hz=1.0,
        label={"en": "Skin temperature", "ja": "皮膚温"},
    )

    async def run(self, device: DeviceContext[Options]) -> AsyncIterator[Sample]:
        """Yield one sample a line, until the line closes."""
        reader, writer = await asyncio.open_connection(device.options.host, device.options.port)
        try:
            while line := await reader.readline():
                arrived_ns = device.arrived()
                try:
                    celsius = float(line)
                except ValueError:
                    raise DeviceError(f"{device.address} sent {line!r}, not a number") from None
                yield device.sample(self.skin, NumericValue(celsius), arrived_ns=arrived_ns)
        finally:
            writer.close()
