"""The simulated monitor under a consumer we did not write: sdc11073's own, with schema checks on.

And the other way round: our provider under the monitor as a process of its own, over real sockets,
while it bleeds, falls silent, is killed and comes back.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sdc11073 import observableproperties
from sdc11073.consumer.consumerimpl import SdcConsumer
from sdc11073.definitions_sdc import SdcV1Definitions
from sdc11073.mdib.consumermdib import ConsumerMdib

from scot.clock.clock import Clock
from scot.errors import DeviceError, DeviceTimeoutError
from scot.provider import DeviceContext
from scot.sample import AlarmValue, Flags, NumericValue, Sample
from scot_devices.archive import beats
from scot_devices.sdc.provider import SdcOptions, SdcProvider

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
BLEEDING_S = 76.0


@dataclass
class Monitor:
    """A running simulator and what it said when it was ready."""

    process: subprocess.Popen[str]
    address: str
    epr: str
    port: int
    discovery: bool


@contextmanager
def monitor(*arguments: str, announce: bool = False) -> Iterator[Monitor]:
    """The simulated monitor as a process of its own, ready; gone afterwards."""
    command = [sys.executable, "-m", "scot_devices.simulators.monitor", *arguments]
    if not announce:
        command.append("--no-discovery")
    path = os.pathsep.join([str(ROOT), str(ROOT / "devices")])
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield Monitor(process, ready["address"], ready["epr"], ready["port"], ready["discovery"])
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def consumer(address: str) -> Iterator[tuple[Any, Any]]:
    """sdc11073's consumer with its mirror of the MDIB."""
    client: Any = SdcConsumer(address, SdcV1Definitions, None, validate=True)
    client.start_all()
    try:
        mdib: Any = ConsumerMdib(client)
        mdib.init_mdib()
        yield client, mdib
    finally:
        client.stop_all()


def wait_for(mdib: Any, what: str, wanted: Callable[[dict[str, Any]], bool], limit_s: float) -> Any:
    """Return the first update of the mirror for which `wanted` holds."""
    seen: queue.Queue[dict[str, Any]] = queue.Queue()
    bind: Any = observableproperties.strongbind
    bind(mdib, **{what: seen.put})
    while True:
        update = seen.get(timeout=limit_s)
        if wanted(update):
            return update


def test_the_library_consumer_finds_the_whole_monitor() -> None:
    with monitor() as simulated, consumer(simulated.address) as (_, mdib):
        handles = {d.Handle for d in mdib.descriptions.objects}
        assert {"numeric.hr", "wave.ecg_ii", "alert.spo2.low", "alerts"} <= handles
        assert {"op.nibp.start", "op.nibp.stop", "op.limit.hr.high"} <= handles
        names = [s.CoreData.Familyname for s in mdib.context_states.objects if s.CoreData]
        assert names == ["DEMO"]

        metrics = wait_for(
            mdib, "metrics_by_handle", lambda update: "numeric.art_sys" in update, 5.0
        )
        systolic = float(metrics["numeric.art_sys"].MetricValue.Value)
        blocks: list[float] = []
        while len(blocks) < 4 * 125:
            update = wait_for(mdib, "waveform_by_handle", lambda u: "wave.art" in u, 5.0)
            blocks += [float(x) for x in update["wave.art"].MetricValue.Samples]
        measured = beats.pressure(np.array(blocks), 125.0)
        assert measured is not None
        assert systolic == pytest.approx(measured.sys, abs=4.0)


def test_the_library_consumer_sees_alarms_when_the_patient_bleeds() -> None:
    with monitor("--t0", str(BLEEDING_S)) as simulated, consumer(simulated.address) as (_, mdib):
        alerts = wait_for(mdib, "alert_by_handle", lambda u: "alert.art_mean.low" in u, 10.0)
        assert alerts["alert.art_mean.low"].Presence is True
        assert alerts["alert.art_mean.low"].Limits.Lower == 60
        assert str(alerts["alert.art_mean.low.visible"].Presence.value) == "On"
        system = mdib.states.descriptor_handle.get_one("alerts")
        assert "alert.art_mean.low" in system.PresentPhysiologicalAlarmConditions


def device(**options: Any) -> DeviceContext[SdcOptions]:
    return DeviceContext("or1", "monitor", SdcOptions(**options), Clock.session())


async def until(
    stream: AsyncIterator[Sample], wanted: Callable[[Sample], bool], limit_s: float = 15.0
) -> list[Sample]:
    """Everything up to and with the first sample for which `wanted` holds."""
    found: list[Sample] = []
    async with asyncio.timeout(limit_s):
        async for sample in stream:
            found.append(sample)
            if wanted(sample):
                return found
    raise AssertionError("the stream ended")


def values(samples: list[Sample], channel: str) -> list[float]:
    numbers = [s.value for s in samples if s.channel == channel]
    return [n.value for n in numbers if isinstance(n, NumericValue) and n.value is not None]


def times(samples: list[Sample], channel: str) -> list[int]:
    return [s.time.source_ns or 0 for s in samples if s.channel == channel]


async def test_waves_are_whole_and_agree_with_the_numbers_beside_them() -> None:
    with monitor("--t0", "20") as simulated:
        context = device(address=simulated.address)
        async with aclosing(SdcProvider().run(context)) as stream:  # type: ignore[type-var]
            samples = await until(stream, lambda s: s.channel == "rr" and s.seq == 6)
    assert context.health == {}
    for name, rate_hz in (("ecg_ii", 250.0), ("art", 125.0), ("resp", 62.5)):
        blocks = [s.value for s in samples if s.channel == name]
        starts = times(samples, name)
        step_ns = round(len(blocks[1]) * 1e9 / rate_hz)  # type: ignore[arg-type]
        assert {b - a for a, b in pairwise(starts[1:])} == {step_ns}
    art = np.concatenate([s.value for s in samples if s.channel == "art"])
    measured = beats.pressure(art.astype(np.float64), 125.0)
    assert measured is not None
    last = [values(samples, name)[-1] for name in ("art_sys", "art_dia", "art_mean")]
    assert last == pytest.approx([measured.sys, measured.dia, measured.mean], abs=3.0)
    assert all(s.flags & Flags.SIMULATED for s in samples if s.channel == "ecg_ii")
    assert [s.value for s in samples if s.channel == "patient"] == ["DEMO, Patient"]


async def test_our_numbers_are_the_librarys_numbers() -> None:
    with monitor() as simulated, consumer(simulated.address) as (_, mdib):
        theirs: dict[tuple[str, int], float] = {}

        def note(update: dict[str, Any]) -> None:
            for handle, state in update.items():
                at_ns = round(state.MetricValue.DeterminationTime * 1000) * 1_000_000
                name = handle.removeprefix("numeric.")
                theirs[name, at_ns] = float(state.MetricValue.Value)

        bind: Any = observableproperties.strongbind
        bind(mdib, metrics_by_handle=note)
        async with aclosing(SdcProvider().run(device(address=simulated.address))) as stream:  # type: ignore[type-var]
            samples = await until(stream, lambda s: s.channel == "temp_core" and s.seq == 3)
    ours = {
        (s.channel, s.time.source_ns or 0): s.value.value
        for s in samples
        if isinstance(s.value, NumericValue)
    }
    both = ours.keys() & theirs.keys()
    assert len(both) >= 18
    assert {key: ours[key] for key in both} == {key: theirs[key] for key in both}


async def test_alarms_fire_when_the_patient_bleeds() -> None:
    def is_low_pressure(sample: Sample) -> bool:
        value = sample.value
        return isinstance(value, AlarmValue) and value.present and value.channel == "art_mean"

    with monitor("--t0", str(BLEEDING_S)) as simulated:
        context = device(address=simulated.address)
        async with aclosing(SdcProvider().run(context)) as stream:  # type: ignore[type-var]
            samples = await until(stream, is_low_pressure)
    value = samples[-1].value
    assert isinstance(value, AlarmValue)
    assert (value.priority, value.presence, value.limit) == ("Hi", "On", 60.0)
    assert value.value is not None
    assert value.value < 60.0
    assert context.channels["art_mean"].lower == 60.0


async def test_a_monitor_silent_for_two_seconds_is_lost() -> None:
    with monitor("--fault", "silent", "--fault-after-s", "1") as simulated:
        context = device(address=simulated.address)
        arrivals: list[int] = []

        def note(_: Sample) -> bool:
            arrivals.append(context.arrived())
            return False

        with pytest.raises(DeviceTimeoutError, match=r"or1/monitor silent for 2\.0 s"):
            await until(SdcProvider().run(context), note)
        assert 1.5e9 < context.arrived() - arrivals[-1] < 30e9


async def test_a_killed_monitor_is_lost_and_found_again_on_the_same_port(free_port: int) -> None:
    context = device(address=f"http://127.0.0.1:{free_port}")
    with monitor("--port", str(free_port)) as simulated:
        stream = SdcProvider().run(context)
        before = await until(stream, lambda s: s.channel == "hr" and s.seq == 1)
        simulated.process.send_signal(signal.SIGKILL)
        killed_ns = context.arrived()
        with pytest.raises(DeviceError):
            await until(stream, lambda s: False)
        assert context.arrived() - killed_ns < 30e9, "found by itself, however busy the machine"
    with pytest.raises(DeviceError, match=rf"no SDC device answers at 127\.0\.0\.1:{free_port}"):
        await until(SdcProvider().run(context), lambda s: True)
    with monitor("--port", str(free_port)):
        async with aclosing(SdcProvider().run(context)) as again:  # type: ignore[type-var]
            after = await until(again, lambda s: s.channel == "hr")
    heard = [s.seq for s in before + after if s.channel == "hr"]
    assert heard == sorted(set(heard)), "numbering goes on over the reconnection"


async def test_a_stopping_monitor_says_so() -> None:
    with monitor() as simulated:
        stream = SdcProvider().run(device(address=simulated.address))
        await until(stream, lambda s: s.channel == "hr")
        simulated.process.terminate()
        with pytest.raises(DeviceError, match="the subscription ended"):
            await until(stream, lambda s: False)
        assert await asyncio.to_thread(simulated.process.wait, 10) == 0


async def test_a_fallen_off_electrode_is_a_technical_alarm_and_invalid_waves() -> None:
    def is_lead_off(sample: Sample) -> bool:
        value = sample.value
        return isinstance(value, AlarmValue) and value.present and value.kind == "Tec"

    with monitor("--fault", "lead_off", "--fault-after-s", "2") as simulated:
        async with aclosing(SdcProvider().run(device(address=simulated.address))) as stream:  # type: ignore[type-var]
            samples = await until(stream, is_lead_off)
            samples += await until(stream, lambda s: s.channel == "ecg_v5")
    assert samples[-1].flags & Flags.INVALID
    heart = [s.value for s in samples if s.channel == "hr"][-1]
    assert isinstance(heart, NumericValue)
    assert heart.value is None


async def test_pacing_is_marked_before_each_beat_on_both_leads() -> None:
    with monitor("--paced", "--validate") as simulated:
        async with aclosing(SdcProvider().run(device(address=simulated.address))) as stream:  # type: ignore[type-var]
            samples = await until(stream, lambda s: s.channel == "pacing" and s.seq == 5)
            samples += await until(stream, lambda s: s.channel == "ecg_v5")
    spikes = [s for s in samples if s.channel == "pacing"]
    by_lead = {
        lead: [s.time.source_ns or 0 for s in spikes if s.value["channel"] == lead]  # type: ignore[index, call-overload]
        for lead in ("ecg_ii", "ecg_v5")
    }
    assert by_lead["ecg_ii"] == by_lead["ecg_v5"]
    blocks = [
        (s.time.source_ns or 0, np.asarray(s.value)) for s in samples if s.channel == "ecg_ii"
    ]
    mv = np.concatenate([value for _, value in blocks])
    at_ns = np.concatenate([t + np.arange(value.size) * 4_000_000 for t, value in blocks])
    for spike_ns in by_lead["ecg_ii"][1:]:
        after = (at_ns >= spike_ns) & (at_ns < spike_ns + 100_000_000)
        peak = int(np.argmax(np.where(after, mv, -9.0)))
        assert mv[peak] > 0.8
        assert 44 <= (at_ns[peak] - spike_ns) / 1e6 <= 60, "from the spike to the R wave, ms"


async def test_a_monitor_whose_clock_is_wrong_is_still_placed_on_bus_time() -> None:
    with monitor("--clock-offset-s", "-3600") as simulated:
        context = device(address=simulated.address)
        async with aclosing(SdcProvider().run(context)) as stream:  # type: ignore[type-var]
            samples = await until(stream, lambda s: s.channel == "hr" and s.seq == 3)
    heart = [s for s in samples if s.channel == "hr"][-1]
    now = context.sample(context.channels["hr"], NumericValue(0.0))
    assert abs(now.time.bus_ns - heart.time.bus_ns) < 60e9, "a minute off, not an hour"
    assert heart.time.source_ns is not None
    assert heart.time.bus_ns - heart.time.source_ns > 3500e9


async def test_ws_discovery_finds_the_monitor_by_its_reference() -> None:
    with monitor("--seed", "31", announce=True) as simulated:
        assert simulated.discovery, "this machine's loopback takes no multicast"
        async with aclosing(SdcProvider().run(device(epr=simulated.epr))) as stream:  # type: ignore[type-var]
            samples = await until(stream, lambda s: s.channel == "ecg_ii")
    assert samples


async def test_something_else_behind_the_port_is_named(free_port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", free_port)
    async with server:
        stream = SdcProvider().run(device(address=f"http://127.0.0.1:{free_port}/abc"))
        with pytest.raises(DeviceError, match="does not answer as an SDC device"):
            await until(stream, lambda s: True)


def test_a_busy_port_is_one_clear_line(free_port: int) -> None:
    with monitor("--port", str(free_port)):
        path = os.pathsep.join([str(ROOT), str(ROOT / "devices")])
        second = subprocess.run(
            [sys.executable, "-m", "scot_devices.simulators.monitor", "--port", str(free_port)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{free_port}" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
