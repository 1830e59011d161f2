"""A provider of a depth-of-anaesthesia monitor: a waveform, numbers and a state in words.

Nobody wrote a pane for it. What the page shows (labels in English and Japanese, units, scale,
limits, colour, the words of each state) is what is declared here.

The monitor sends lines over TCP::

    E 3840 12.1,13.0,…     EEG: number of the first value since the monitor started, values in µV
    N 46.2 97 28.4 0 adequate   once a second: index, signal quality %, EMG dB, suppression %, state
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scot.channel import Numeric, Sensitivity, Text, Waveform
from scot.errors import DeviceError
from scot.provider import DeviceContext, Provider, ProviderInfo
from scot.sample import Flags, NumericValue, Sample

EEG_HZ = 128.0
MOST_VALUES = 1_024
LINE_B = 16_384
POOR_QUALITY_PCT = 50.0
COLOUR = "#d6a8ff"


@dataclass(frozen=True)
class Eeg:
    """A block of EEG: `first` counts values since the monitor started; µV."""

    first: int
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Second:
    """One second's numbers."""

    index: float
    quality_pct: float
    emg_db: float
    suppression_pct: float
    state: str


def parse(line: bytes) -> Eeg | Second:
    """Return what a line says.

    Raises:
        ValueError: it says nothing that this monitor sends.
    """
    kind, _, rest = line.decode("ascii").strip().partition(" ")
    if kind == "E":
        first, _, values = rest.partition(" ")
        block = np.array([float(value) for value in values.split(",")], np.float32)
        if not 0 < len(block) <= MOST_VALUES or int(first) < 0 or not np.isfinite(block).all():
            raise ValueError(f"a block of 1 to {MOST_VALUES} finite values is needed")
        return Eeg(int(first), block)
    if kind == "N":
        index, quality, emg, suppression, state = rest.split()
        said = Second(float(index), float(quality), float(emg), float(suppression), state)
        numbers = (said.index, said.quality_pct, said.emg_db, said.suppression_pct)
        if not all(map(math.isfinite, numbers)):
            raise ValueError("a number is not finite")
        return said
    raise ValueError(f"lines begin with E or N, not {kind[:20]!r}")


class AnaesthesiaDepth(Provider["AnaesthesiaDepth.Options"]):
    """EEG at 128 Hz and an index of the depth of anaesthesia at 1 Hz."""

    info = ProviderInfo(
        id="example.anaesthesia_depth", label={"en": "Depth of anaesthesia", "ja": "麻酔深度モニタ"}
    )

    class Options(BaseModel):
        """Where the monitor listens."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        host: Annotated[str, Field(description="name or address of the monitor")] = "127.0.0.1"
        port: Annotated[int, Field(ge=1, le=65535, description="TCP port of the monitor")]

    eeg = Waveform(
        "eeg",
        unit="uV",
        rate_hz=EEG_HZ,
        scale_min=-60.0,
        scale_max=60.0,
        numeric_of=["index"],
        label={"en": "EEG", "ja": "脳波"},
        attrs={"colour": COLOUR},
    )
    index = Numeric(
        "index",
        unit="{score}",
        rate_hz=1.0,
        lower=40.0,
        upper=60.0,
        label={"en": "Depth index", "ja": "麻酔深度"},
        attrs={"colour": COLOUR, "resolution": 1},
    )
    quality = Numeric(
        "quality",
        unit="%",
        rate_hz=1.0,
        lower=50.0,
        label={"en": "Signal quality", "ja": "信号品質"},
        attrs={"resolution": 1},
    )
    emg = Numeric(
        "emg", unit="dB", rate_hz=1.0, label={"en": "EMG", "ja": "筋電"}, attrs={"resolution": 1}
    )
    suppression = Numeric(
        "suppression",
        unit="%",
        rate_hz=1.0,
        upper=10.0,
        label={"en": "Suppression", "ja": "抑制比"},
        attrs={"resolution": 1},
    )
    state = Text(
        "state",
        rate_hz=1.0,
        sensitivity=Sensitivity.CLINICAL,
        label={"en": "State", "ja": "状態"},
        attrs={
            "values": {
                "awake": {"en": "awake", "ja": "覚醒"},
                "light": {"en": "light", "ja": "浅い"},
                "adequate": {"en": "adequate", "ja": "適切"},
                "deep": {"en": "deep", "ja": "深い"},
            }
        },
    )

    async def run(self, device: DeviceContext[Options]) -> AsyncIterator[Sample]:
        """Yield the monitor's blocks and numbers until it hangs up."""
        reader, writer = await asyncio.open_connection(
            device.options.host, device.options.port, limit=LINE_B
        )
        try:
            while line := await reader.readline():
                arrived_ns = device.arrived()
                try:
                    said = parse(line)
                except ValueError as error:
                    raise DeviceError(f"{device.address} sent {line[:60]!r}: {error}") from None
                if isinstance(said, Eeg):
                    yield device.sample(
                        self.eeg, said.values, counter=said.first, arrived_ns=arrived_ns
                    )
                    continue
                poor = said.quality_pct < POOR_QUALITY_PCT
                flags = Flags.DOUBTFUL if poor else Flags(0)
                for channel, value in (
                    (self.index, said.index),
                    (self.emg, said.emg_db),
                    (self.suppression, said.suppression_pct),
                ):
                    yield device.sample(
                        channel, NumericValue(value), arrived_ns=arrived_ns, flags=flags
                    )
                quality = NumericValue(said.quality_pct)
                yield device.sample(self.quality, quality, arrived_ns=arrived_ns)
                yield device.sample(self.state, said.state, arrived_ns=arrived_ns)
        finally:
            writer.close()
