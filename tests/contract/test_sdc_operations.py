"""The monitor operated from afar: by a consumer we did not write, and by ours through commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from scot.channel import Risk
from scot.errors import CommandFailedError
from scot.sample import AlarmValue, NumericValue, Sample
from scot_devices.sdc.provider import SdcProvider
from tests.contract.test_sdc_consumer import consumer, device, monitor, wait_for

pytestmark = pytest.mark.system

QUICK = ("--nibp-takes-s", "1.5", "--nibp-every-s", "3600")


def invocation(future: Any) -> tuple[str, str]:
    info = future.result(10).InvocationInfo
    return str(info.InvocationState.value), "".join(t.text for t in info.InvocationErrorMessage)


def test_a_strangers_consumer_can_measure_with_the_cuff_and_move_a_limit() -> None:
    with monitor(*QUICK) as simulated, consumer(simulated.address) as (client, mdib):
        before = mdib.states.descriptor_handle.get_one("numeric.nibp_sys").MetricValue
        started = client.set_service_client.activate("op.nibp.start")
        again = client.set_service_client.activate("op.nibp.start")
        assert invocation(again) == ("Fail", "the cuff is inflated already")
        assert invocation(started) == ("Fin", "")
        after = mdib.states.descriptor_handle.get_one("numeric.nibp_sys").MetricValue
        if after.DeterminationTime == before.DeterminationTime:  # its report is on its way
            wait_for(mdib, "metrics_by_handle", lambda u: "numeric.nibp_sys" in u, 5.0)
            after = mdib.states.descriptor_handle.get_one("numeric.nibp_sys").MetricValue
        assert after.DeterminationTime > before.DeterminationTime
        artery = mdib.states.descriptor_handle.get_one("numeric.art_sys").MetricValue.Value
        assert float(after.Value) == pytest.approx(float(artery) - 3.0, abs=3.0)
        stopped = client.set_service_client.activate("op.nibp.stop")
        assert invocation(stopped) == ("Fail", "the cuff is not inflated")

        state = mdib.entities.by_handle("alert.hr.high").state

        def move(upper: Any, lower: Any = None) -> tuple[str, str]:
            state.Limits.Upper, state.Limits.Lower = upper, lower
            call = client.set_service_client.set_alert_state("op.limit.hr.high", state)
            return invocation(call)

        assert move(Decimal(301)) == ("Fail", "301 is not within 15 to 300")
        assert move(Decimal(50)) == ("Fail", "the other limit of hr is 50")
        assert move(Decimal(90), Decimal(60))[0] == "Fail"
        assert move(None)[0] == "Fail"
        assert move(Decimal(65)) == ("Fin", "")  # below what the heart does: it must alarm
        present = wait_for(
            mdib,
            "alert_by_handle",
            lambda u: "alert.hr.high" in u and u["alert.hr.high"].Presence,
            10.0,
        )
        assert present["alert.hr.high"].Limits.Upper == 65


class Stream:
    """Our provider at work: what it yields, and a hand to wait for something in it."""

    def __init__(self, samples: AsyncIterator[Sample]) -> None:
        self.samples: list[Sample] = []
        self._stream = samples
        self._more = asyncio.Condition()

    async def read(self) -> None:
        async for sample in self._stream:
            async with self._more:
                self.samples.append(sample)
                self._more.notify_all()

    async def until(self, channel: str, count: int) -> Sample:
        """The sample of `channel` with this number."""
        async with asyncio.timeout(15), self._more:
            await self._more.wait_for(
                lambda: any(s.channel == channel and s.seq == count for s in self.samples)
            )
        return next(s for s in self.samples if s.channel == channel and s.seq == count)

    def count(self, channel: str) -> int:
        return sum(s.channel == channel for s in self.samples)


@asynccontextmanager
async def running(provider: SdcProvider, context: Any) -> AsyncIterator[Stream]:
    async with aclosing(provider.run(context)) as samples:  # type: ignore[type-var]
        stream = Stream(samples)
        reading = asyncio.create_task(stream.read())
        try:
            yield stream
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_the_devices_operations_are_commands_and_are_carried_out() -> None:
    provider = SdcProvider()
    with monitor(*QUICK) as simulated:
        context = device(
            address=simulated.address,
            operations=["op.nibp.*", "op.limit.hr.*"],
            stops=["op.nibp.stop"],
        )
        async with running(provider, context) as stream:
            await stream.until("hr", 1)
            offered = context.commands
            assert list(offered) == ["nibp_start", "nibp_stop", "limit_hr_high", "limit_hr_low"]
            assert [c.risk for c in offered.values()] == [
                Risk.MEDIUM, Risk.LOW, Risk.HIGH, Risk.HIGH
            ]  # fmt: skip
            assert [c.stops for c in offered.values()] == [False, True, False, False]
            assert offered["nibp_start"].label["ja"] == "血圧測定 開始"
            (upper,) = offered["limit_hr_high"].arguments
            assert (upper.name, upper.unit, upper.lower, upper.upper) == ("upper", "/min", 15, 300)

            seen = stream.count("nibp_sys")
            assert await provider.execute(context, offered["nibp_start"], {}) is None
            sample = await stream.until("nibp_sys", seen)
            assert isinstance(sample.value, NumericValue)
            assert sample.value.value == pytest.approx(118, abs=6)

            with pytest.raises(CommandFailedError, match="not inflated"):
                await provider.execute(context, offered["nibp_stop"], {})
            with pytest.raises(CommandFailedError, match="the other limit of hr is 50"):
                await provider.execute(context, offered["limit_hr_high"], {"upper": 40})
            alarms = stream.count("alarms")
            await provider.execute(context, offered["limit_hr_high"], {"upper": 65})
            await stream.until("alarms", alarms)
            await stream.until("hr", stream.count("hr") + 3)
            assert context.channels["hr"].upper == 65
            told = [s.value for s in stream.samples if s.channel == "alarms"]
            high = [v for v in told if isinstance(v, AlarmValue) and v.id == "alert.hr.high"]
            assert high[-1].present
            assert high[-1].limit == 65
