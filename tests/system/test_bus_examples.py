"""The examples do what they say, run as their reader would run them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import BusProcess, StartPeer, child

pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_a_client_without_scot_reads_headers_and_values(
    bus: BusProcess, start_peer: StartPeer
) -> None:
    publisher = await start_peer(bus, "publish", "monitor")
    await publisher.hear()
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / "foreign_client.py"), str(bus.state)),
        *("--prefix", "or1/monitor/n", "--count", "20"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    publisher.tell("stream", 100, 5)
    async with asyncio.timeout(20):
        rows: list[dict[str, Any]] = [json.loads(line) async for line in client.stdout]
        assert await client.wait() == 0
    assert len(rows) == 20
    first = round(rows[0]["value"][0])
    for place, row in enumerate(rows):
        number = first + place
        assert row["address"] == f"or1/monitor/n{number % 10}"
        assert (row["seq"], row["value"]) == (number // 10, [float(number), "Vld"])
        assert (row["version"], row["flags"], row["source_ns"]) == (1, 8, None)
        assert row["state"] in ("locked", "converging")
        assert 0 <= row["err_ns"] <= row["bound_ns"]
    times = [row["bus_ns"] for row in rows]
    assert 0.1e9 < times[-1] - times[0] < 5e9


def test_the_client_uses_nothing_of_scot() -> None:
    text = (EXAMPLES / "foreign_client.py").read_text()
    assert "import scot" not in text
    assert "from scot" not in text


@pytest.fixture
def probe_port() -> Iterator[int]:
    """A thermometer that sends a reading each 50 ms to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stopping = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    while not stopping.wait(0.05):
                        connection.sendall(b"36.8\n")
                except OSError:
                    return  # it hung up

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        stopping.set()


def check(*more: str) -> tuple[int, dict[str, Any]]:
    command = [*child("scot.cli", "", signal.SIGTERM), "provider", "check", *more, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES / "thermometer")}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    return done.returncode, json.loads(done.stdout)


def test_the_thermometer_keeps_every_rule_of_a_provider() -> None:
    code, report = check("scot_thermometer:Thermometer")
    assert (code, report["failed"]) == (0, [])
    assert len(report["passed"]) >= 8


def test_the_thermometer_keeps_them_with_a_probe_too(probe_port: int) -> None:
    options = json.dumps({"port": probe_port})
    code, report = check("scot_thermometer:Thermometer", "--options", options, "--seconds", "1")
    assert (code, report["failed"]) == (0, [])
    assert 5 <= report["samples"] <= 25


def test_a_thermometer_without_its_probe_is_said_to_have_none(free_port: int) -> None:
    options = json.dumps({"port": free_port})
    code, report = check("scot_thermometer:Thermometer", "--options", options, "--seconds", "1")
    assert code == 1
    assert [line for line in report["failed"] if line.startswith("yields samples")]
