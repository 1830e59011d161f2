"""The provider that the how-to shows works as it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import ValidationError

from examples.thermometer.scot_thermometer import Thermometer
from scot.clock.clock import Clock
from scot.errors import DeviceError
from scot.provider import DeviceContext
from scot.sample import Flags, NumericValue, Sample


@asynccontextmanager
async def probe(sends: bytes) -> AsyncIterator[int]:
    """A probe that sends these bytes to whoever connects and hangs up; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sends)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def samples(sends: bytes) -> list[Sample]:
    async with probe(sends) as port:
        options = Thermometer.Options(port=port)
        device: DeviceContext[Thermometer.Options] = DeviceContext(
            "or1", "thermometer", options, Clock.session()
        )
        device.offer(*Thermometer.declared())
        return [sample async for sample in Thermometer().run(device)]


async def test_each_line_becomes_one_sample_stamped_on_arrival() -> None:
    got = await samples(b"36.8\n36.9\n")
    assert [sample.value for sample in got] == [NumericValue(36.8), NumericValue(36.9)]
    assert [sample.seq for sample in got] == [0, 1]
    assert {sample.address for sample in got} == {"or1/thermometer/skin"}
    assert all(sample.flags & Flags.ARRIVAL for sample in got)
    assert got[0].time.bus_ns <= got[1].time.bus_ns


async def test_garbage_is_named_and_ends_the_connection() -> None:
    with pytest.raises(DeviceError, match=r"or1/thermometer sent b'ERR\\n', not a number"):
        await samples(b"36.8\nERR\n")


def test_a_port_is_needed() -> None:
    with pytest.raises(ValidationError, match="port"):
        Thermometer.Options.model_validate({"host": "probe"})
