"""A device for tests of commands: it writes down each thing that it really does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from scot.errors import DeviceError
from scot.provider import (
    Argument,
    Command,
    CommandFailedError,
    DeviceContext,
    Numeric,
    Provider,
    ProviderInfo,
    Risk,
)
from scot.sample import NumericValue, Sample


class Pump(Provider["Pump.Options"]):
    """A pump with a rate, a slow rinse and two ways to go wrong."""

    info = ProviderInfo(id="test.pump", label={"en": "Pump"})

    class Options(BaseModel):
        """Where it writes what it did."""

        model_config = ConfigDict(extra="forbid", frozen=True)
        done: Annotated[Path, Field(description="a line for each thing done")]
        go: Annotated[Path, Field(description="the rinse ends when this is there")]

    rate = Numeric("rate", unit="mL/h", label={"en": "Rate"}, rate_hz=20.0)
    pulse = Command("pulse", Risk.MEDIUM, label={"en": "One pulse"})
    rinse = Command("rinse", Risk.MEDIUM, label={"en": "Rinse"})
    jam = Command("jam", Risk.LOW, label={"en": "Say no"})
    vanish = Command("vanish", Risk.LOW, label={"en": "Say nothing"})
    set_rate = Command(
        "set_rate",
        Risk.HIGH,
        [Argument("to", unit="mL/h", lower=0, upper=100, label={"en": "Rate"})],
        {"en": "Set the rate"},
    )

    def __init__(self) -> None:
        self._rate = 5.0

    async def run(self, device: DeviceContext[Options]) -> AsyncIterator[Sample]:
        """Yield the rate."""
        while True:
            yield device.sample(self.rate, NumericValue(self._rate))
            await asyncio.sleep(0.05)

    async def execute(
        self, device: DeviceContext[Options], command: Command, arguments: dict[str, Any]
    ) -> Any:
        """Do it, and write down that it was done."""
        with device.options.done.open("a") as file:
            file.write(f"{command.name} {arguments}\n")
        if command.name == "jam":
            raise CommandFailedError("the wheel is stuck")
        if command.name == "vanish":
            raise DeviceError("the cable is out")
        if command.name == "set_rate":
            self._rate = arguments["to"]
        for _ in range(1_000):
            if command.name != "rinse" or device.options.go.exists():
                break
            await asyncio.sleep(0.02)
        return {"rate": self._rate}
