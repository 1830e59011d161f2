"""The simulated tracker as a stranger meets it: a program, its port, and what comes out of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from scot.clock import machine
from scot.clock.clock import Clock
from scot.errors import DeviceError, DeviceTimeoutError
from scot.provider import DeviceContext
from scot.sample import Flags, PoseValue, Sample
from scot.testing.conformance import check_run
from scot_devices.openigtlink import messages as m
from scot_devices.openigtlink.options import TrackerOptions
from scot_devices.openigtlink.protocol import Connection, encode
from scot_devices.openigtlink.provider import OpenIGTLinkProvider
from scot_devices.simulators.surgery import Surgery
from scot_devices.simulators.tracker import DeviceClock, Tracker, parser
from scot_devices.simulators.tracker_scene import Scene

PROGRAM = [sys.executable, "-m", "scot_devices.simulators.tracker"]
S = 1_000_000_000
SCENE = Scene(7)
HIDDEN = next(t / 50.0 for t in range(9000) if not SCENE.visible("Probe", t / 50.0))
"""First second at which the probe is lost."""


@contextlib.asynccontextmanager
async def simulator(*arguments: str) -> AsyncIterator[int]:
    """The running program; ends with code 0 when it is told to stop."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "--port", "0", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(json.loads(await process.stdout.readline())["listening"])
    finally:
        process.terminate()
        assert await process.wait() == 0


def context(port: int, **options: Any) -> DeviceContext[TrackerOptions]:
    checked = TrackerOptions.model_validate({"host": "127.0.0.1", "port": port, **options})
    return DeviceContext("or1", "tracker", checked, Clock.session())


async def take(
    device: DeviceContext[TrackerOptions], count: int, found: list[Sample] | None = None
) -> list[Sample]:
    """The first `count` samples of one connection, also in `found` while they come."""
    found = [] if found is None else found
    run = OpenIGTLinkProvider().run(device)
    try:
        async for sample in run:
            found.append(sample)
            if len(found) == count:
                break
    finally:
        await run.aclose()  # type: ignore[attr-defined]
    return found


def pose(sample: Sample) -> PoseValue:
    assert isinstance(sample.value, PoseValue)
    return sample.value


async def test_the_provider_keeps_the_rules_of_every_provider() -> None:
    async with simulator() as port:
        options = {"host": "127.0.0.1", "port": port}
        report = await check_run(OpenIGTLinkProvider, options, 1.0)
    assert report.failed == []
    assert report.samples > 50


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version", "1"),
        ("--version", "2", "--mode", "tdata"),
        ("--version", "3"),
        ("--version", "3", "--mode", "tdata"),
    ],
)
async def test_every_mode_and_version_shows_the_surgery(arguments: tuple[str, ...]) -> None:
    start_ns = machine.utc_ns() - 100 * S
    async with simulator(*arguments, "--no-occlusion", "--start-utc-ns", str(start_ns)) as port:
        device = context(port, frame="mni152")
        found = await take(device, 60)
    assert {sample.channel for sample in found} >= {"probe", "reference", "scope"}
    assert device.health == {}
    for sample in found:
        if sample.channel == "probe":
            assert sample.time.source_ns is not None
            tip_mm = Surgery(7).tip_mm((sample.time.source_ns - start_ns) / S)
            np.testing.assert_allclose(pose(sample).position_mm, tip_mm, atol=0.001)


async def test_rate_and_clock_are_what_was_asked_for() -> None:
    """300 Hz where 60 is usual, and a clock an hour ahead."""
    clock = ("--clock-offset-s", "3600")
    async with simulator("--rate", "300", "--mode", "tdata", "--no-occlusion", *clock) as port:
        device = context(port)
        before_ns = machine.utc_ns()
        found = [sample for sample in await take(device, 700) if sample.channel == "probe"]
        after_ns = machine.utc_ns()
    times = np.array([sample.time.source_ns for sample in found], dtype=np.int64)
    assert before_ns < times[0] - 3600 * S < after_ns
    assert np.median(np.diff(times)) < S / 100
    assert np.all(np.diff(times) > 0)


def test_a_clock_that_gains_is_ahead_by_what_it_gained() -> None:
    clock = DeviceClock(3600.0, 1000.0)
    now_ns = machine.monotonic_ns()
    for later_ns in (0, S, 3600 * S):
        ahead_ns = clock.reading_ns(now_ns + later_ns) - clock.utc_ns(now_ns + later_ns)
        gained_ns = ahead_ns - (clock.reading_ns(now_ns) - clock.utc_ns(now_ns))
        assert gained_ns == pytest.approx(later_ns / 1000, abs=1)
        assert ahead_ns >= 3600 * S


async def test_no_time_is_no_time() -> None:
    async with simulator("--no-time") as port:
        found = await take(context(port), 10)
    assert all(sample.time.source_ns is None for sample in found)
    assert all(Flags.ARRIVAL in sample.flags for sample in found)


@pytest.mark.parametrize(
    "arguments", [("--version", "1"), ("--version", "3"), ("--version", "2", "--mode", "tdata")]
)
async def test_a_hidden_tool_is_told_of_and_never_held(arguments: tuple[str, ...]) -> None:
    start_ns = machine.utc_ns() - round((HIDDEN - 0.3) * S)
    options = parser().parse_args([*arguments, "--start-utc-ns", str(start_ns)])
    tracker = Tracker(options)
    server = await asyncio.start_server(tracker.serve, "127.0.0.1", 0)
    streaming = asyncio.create_task(tracker.stream())
    found = await take(context(server.sockets[0].getsockname()[1]), 250)
    streaming.cancel()
    server.close()
    probe = [sample for sample in found if sample.channel == "probe"]
    lost = next(sample for sample in probe if not pose(sample).visible)
    assert Flags.INVALID in lost.flags
    assert math.isnan(pose(lost).position_mm[0])
    texts = [str(sample.value) for sample in found if sample.channel == "status"]
    assert "Probe: tool not visible (device not present)" in texts
    assert "Tracker: tracking 2 of 3 tools" in texts
    seen_s = [
        (sample.time.source_ns - start_ns) / S
        for sample in probe
        if pose(sample).visible and sample.time.source_ns is not None
    ]
    assert all(SCENE.visible("Probe", second) for second in seen_s)


async def test_tracking_data_only_when_asked_for() -> None:
    async with simulator("--on-request", "--no-occlusion", "--rate", "200") as port:
        device = context(port, start_tdata=True, tdata_interval_ms=20)
        found = [sample for sample in await take(device, 60) if sample.channel == "probe"]
    times = np.array([sample.time.source_ns for sample in found], dtype=np.int64)
    assert len(found) == 20
    assert np.median(np.diff(times)) >= 0.019 * S, "50 frames a second, not 200"


async def test_queries_are_answered() -> None:
    async with simulator("--on-request", "--no-occlusion", "--version", "2") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        connection = Connection()

        async def ask(query: m.Query) -> m.Message:
            writer.write(encode(query))
            while (answer := connection.next_event()) is None:
                connection.receive_data(await reader.read(4096))
            return answer

        answer = await ask(m.Query(device="", verb="GET", what="TDATA"))
        assert isinstance(answer, m.TrackingData)
        assert [tool.name for tool in answer.tools] == ["Probe", "Reference", "Scope"]
        answer = await ask(m.Query(device="Q", verb="STP", what="TDATA"))
        assert isinstance(answer, m.Reply)
        assert (answer.device, answer.ok) == ("Q", True)
        answer = await ask(m.Query(device="", verb="STT", what="SENSOR"))
        assert isinstance(answer, m.Reply)
        assert not answer.ok
        answer = await ask(m.Query(device="", verb="GET", what="STATUS"))
        assert isinstance(answer, m.Status)
        writer.close()


async def test_many_clients_see_the_same() -> None:
    async with simulator("--no-occlusion", "--mode", "tdata") as port:
        runs = await asyncio.gather(*[take(context(port), 120) for _ in range(8)])
    by_time = [
        {sample.time.source_ns: sample.value for sample in run if sample.channel == "probe"}
        for run in runs
    ]
    shared = set.intersection(*map(set, by_time))
    assert len(shared) > 10
    for time_ns in shared:
        assert len({str(seen[time_ns]) for seen in by_time}) == 1


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("close-mid-message", "closed in mid-message"),
        ("bad-crc", "broken messages; the last: .* checksum"),
        ("garbage", "silent for"),
        ("silent", "silent for"),
    ],
)
async def test_each_fault_is_told_of_and_the_tracker_comes_back(fault: str, problem: str) -> None:
    arguments = ("--fault", fault, "--fault-after", "0.2", "--rate", "200")
    async with simulator(*arguments, "--no-occlusion") as port:
        device = context(port, silence_limit_s=0.2, reconnect_after_s=0.5, max_errors=5)
        before: list[Sample] = []
        with pytest.raises(DeviceError, match=problem):
            await take(device, 10_000, before)
        assert len(before) > 20, "what came before the fault is kept"
        again = await take(device, 30)
    assert next(sample.seq for sample in again if sample.channel == "probe") > 0
    if fault == "garbage":
        assert device.health["garbage_bytes"] > 1000
    if fault == "bad-crc":
        assert device.health["bad_crc"] >= 6


async def test_a_silent_tracker_is_a_timeout() -> None:
    async with simulator("--fault", "silent", "--fault-after", "0") as port:
        device = context(port, silence_limit_s=0.1, reconnect_after_s=0.2)
        with pytest.raises(DeviceTimeoutError):
            await take(device, 1)


async def test_a_client_that_sends_nonsense_is_dropped_and_the_others_stay() -> None:
    async with simulator("--no-occlusion") as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\xff" * 5000)
        await writer.drain()
        assert len(await take(context(port), 50)) == 50
        writer.close()


async def said(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a start that fails."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def test_a_busy_port_is_one_line_that_names_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = await said("--port", str(port))
    assert code == 1
    assert errors.count("\n") == 1
    assert f"127.0.0.1:{port}" in errors
    assert "--port" in errors


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--version", "1", "--mode", "tdata"), "use --version 2 or 3"),
        (("--rate", "0"), "must be 1 to 1000"),
    ],
)
async def test_wrong_options_are_refused(arguments: tuple[str, ...], problem: str) -> None:
    code, errors = await said(*arguments)
    assert code == 2
    assert problem in errors
