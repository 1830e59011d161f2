"""How long a revoked key still receives, while others read the same stream.

    python benchmarks/revocation.py              # 20 revocations
    python benchmarks/revocation.py --rounds 5 --json

A broker in a process of its own, a publisher at 1,100 samples a second, an honest reader, and for
each round a new key that reads everything and is then revoked. The time runs from before the roster
is changed to the last sample the revoked reader got, and to the end of its last connection. The
honest reader's sequence numbers are compared with those that were sent. There is no peer: libzmq's
own authenticator never ends a connection. Exit code 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from scot.access import Grant, write_private
from scot.audit import read
from scot.bus.authority import Authority
from scot.bus.connection import Connection
from scot.bus.issuer import Issuer
from scot.bus.keys import PORTS, Link, issue
from scot.bus.subscriber import Delivery
from scot.bus.trail import TRAIL
from scot.channel import Device, Lifecycle, Numeric
from scot.clock import machine
from scot.clock.clock import Clock
from scot.config import RoomFile
from scot.room import free_ports
from scot.sample import Flags, NumericValue, Sample

LIMIT_S = 1.0
HZ = 1_100
N = Numeric("n", unit="1")
GRANTS = [
    Grant(name="source", publish=["or1/source/"], subscribe=["or1/room/"], devices=["source"]),
    Grant(name="honest", subscribe=["or1/"]),
]


class Last:
    """A sink that knows when the last sample came, and their numbers."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.at_ns = 0
        self.enough = asyncio.Event()

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Note them."""
        self.at_ns = machine.monotonic_ns()
        self.seqs += [d.header.seq for d in batch if d.frame.address == "or1/source/n"]
        if len(self.seqs) > HZ // 4:
            self.enough.set()

    def close(self) -> None:
        """Nothing to let go."""


async def publish(connection: Connection, sent: list[int], stop: asyncio.Event) -> None:
    """Publish at a steady rate until `stop`."""
    epoch, start_ns = connection.clock.now(), machine.monotonic_ns()
    await connection.announce(
        Device(
            name="source",
            provider="bench",
            state=Lifecycle.RUNNING,
            epoch=epoch,
            channels={"n": N},
        )
    )
    while not stop.is_set():
        seq = len(sent)
        await machine.until(start_ns + seq * 1_000_000_000 // HZ)
        time = connection.clock.stamp()
        sample = Sample("or1/source/n", epoch, seq, time, Flags.SIMULATED, NumericValue(1.0))
        connection.publish(sample, N)
        sent.append(seq)
    await connection.drained()


async def round_of(state: Path, number: int) -> tuple[float, float]:
    """Revoke one reader; return the seconds to its last sample and to its connections' end."""
    issuer = Issuer(Authority(state), "or1", "bench")
    name = f"reader{number}"
    issuer.add(Grant(name=name, subscribe=["or1/"]))
    file = issuer.issue(name, state / f"{name}.scotkey", None)
    reading = await Connection.join(file.link, 20.0)
    sink = Last()
    reading.subscribe(["or1/"], sink, fill=False)
    await sink.enough.wait()
    start_ns, start_utc_ns = machine.monotonic_ns(), machine.utc_ns()
    issuer.revoke(name)
    await asyncio.sleep(2 * LIMIT_S)
    last_s = max(0.0, (sink.at_ns - start_ns) / 1e9)
    rows = [r for r in read(state / TRAIL) if r.what == "cut" and (r.who or {}).get("id") == name]
    await reading.close()
    if not rows:
        return last_s, float("inf")
    cut_s = datetime.fromisoformat(rows[-1].recorded).timestamp() - start_utc_ns / 1e9
    return last_s, cut_s


async def measure(state: Path, rounds: int) -> dict[str, object]:
    """Run all rounds beside an honest reader."""
    source = await Connection.join(Link.load(state, "source"), 20.0)
    honest = await Connection.join(Link.load(state, "honest"), 20.0)
    sink, sent, stop = Last(), list[int](), asyncio.Event()
    honest.subscribe(["or1/"], sink, from_start=True)
    publishing = asyncio.create_task(publish(source, sent, stop))
    results = [await round_of(state, number) for number in range(rounds)]
    stop.set()
    await publishing
    await asyncio.sleep(1.0)
    lost = len(set(sent) - set(sink.seqs))
    twice = len(sink.seqs) - len(set(sink.seqs))
    await honest.close()
    await source.close()
    last, cut = [r[0] for r in results], [r[1] for r in results]
    return {
        "rounds": rounds,
        "last_sample_s": {"median": statistics.median(last), "max": max(last)},
        "cut_s": {"median": statistics.median(cut), "max": max(cut)},
        "honest": {"sent": len(sent), "lost": lost, "twice": twice},
    }


def main() -> int:
    """Print what was measured; 1 when a limit was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "or1"
        state.mkdir(mode=0o700)
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        issue(state, "127.0.0.1", ports, "or1", GRANTS)
        room = RoomFile.model_validate({"room": {"workspace": "or1"}})
        write_private(state / "room.json", room.model_dump_json().encode())
        write_private(state / "session.json", msgspec.json.encode(Clock.session().map))
        command = [sys.executable, "-m", "scot.host", "broker", "-", "--state", str(state)]
        with subprocess.Popen([*command, "--options", "{}"], stdout=subprocess.PIPE) as broker:
            assert broker.stdout is not None
            broker.stdout.readline()
            try:
                found = asyncio.run(measure(state, given.rounds))
            finally:
                broker.terminate()
    print(json.dumps(found) if given.json else msgspec.json.format(json.dumps(found), indent=1))
    worst, honest = found["last_sample_s"], found["honest"]
    assert isinstance(worst, dict)
    assert isinstance(honest, dict)
    return int(worst["max"] > LIMIT_S or honest["lost"] or honest["twice"])


if __name__ == "__main__":
    sys.exit(main())
