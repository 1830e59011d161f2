"""A device for tests of the page that says nothing by itself: a test speaks with its key.

Its names are what a careless or hostile maker may send.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from scot.provider import DeviceContext, Numeric, Pose, Provider, ProviderInfo, Waveform
from scot.sample import NumericValue, Sample

MARKUP = "<img src=x onerror=window.hit=1><b>HR</b>"
# Right to left, an override, zero width characters, and combining marks that climb out of a line.
STRANGE = "\u05d3\u05d5\u05e4\u05e7 \u202e321\u202c\u200b\u200d" + "Z" + "\u0335\u0321" * 40


class Liar(Provider["Liar.Options"]):
    """Numbers, traces and a pose, as many as a test wants."""

    info = ProviderInfo(id="test.liar", label={"en": MARKUP, "ja": STRANGE})

    class Options(BaseModel):
        """How much it offers."""

        model_config = ConfigDict(extra="forbid", frozen=True)
        more: Annotated[int, Field(ge=0, description="further numerics")] = 0

    hr = Numeric("hr", unit="{beat}/min", label={"en": MARKUP}, rate_hz=5.0, lower=50, upper=120)
    spo2 = Numeric("spo2", unit="%", label={"en": STRANGE}, rate_hz=5.0)
    ecg = Waveform("ecg", unit="mV", label={"en": "ECG"}, rate_hz=250.0)
    fast = Waveform("fast", unit="mV", label={"en": "Fast"}, rate_hz=10_000.0)
    probe = Pose("probe", label={"en": "Probe"}, rate_hz=20.0)

    async def run(self, device: DeviceContext[Options]) -> AsyncIterator[Sample]:
        """Offer the channels with one value, and say nothing more."""
        for number in range(device.options.more):
            device.offer(Numeric(f"n{number}", unit="1", label={"en": f"<i>{number}"}, rate_hz=1.0))
        yield device.sample(self.spo2, NumericValue(97.0))
        await asyncio.Event().wait()
