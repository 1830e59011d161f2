"""What an attack costs honest peers: p99 of a pose stream with and without it, in the same run.

    python -m benchmarks.attacks                    # every attack, 5 rounds of 2 s each
    python -m benchmarks.attacks garbage 'announcements' --json

Honest: 8 tools at 60 Hz through `Connection`, CURVE and the broker, in a process of its own; an age
runs from just before a sample is made until it is decoded. Attackers: raw ZMTP over TCP from
processes of their own, as fast as they can. Each round measures without and with the attack, so
that both see the same machine. On few cores the attackers also take the processor from the honest
peers, which no broker can give back: the peer is therefore the same number of processes that only
burn the processor, and the ratio is with attack to with those. Exit code 1 when a median ratio
is above 2, when a sample was lost, or when the broker's memory grew by more than 64 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing as mp
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from scot.access import Grant, write_private
from scot.bus.connection import Connection
from scot.bus.keys import PORTS, KeyPair, Link, issue
from scot.bus.subscriber import Delivery
from scot.channel import Device, Lifecycle, Pose
from scot.clock import machine
from scot.clock.clock import Clock
from scot.config import RoomFile
from scot.room import free_ports
from scot.sample import Flags, PoseValue, Sample
from tests.attacks.honest import Memory
from tests.attacks.zmtp import Attacker, RefusedError, dial, framed, greeting, shout

TOOLS, TOOL_HZ = 8, 60
TARGET = 2.0
MAX_BYTES = 64 << 20
pack = msgspec.msgpack.Encoder().encode


# -- attacks: each does one thing once; it is done again and again


def burn(_: Link) -> None:
    """No attack: as much work as one, on nobody's sockets."""
    sum(range(20_000))


def garbage(thief: Link) -> None:
    shout(thief.endpoints, "ctl_in", os.urandom(4096))


def half_open(thief: Link) -> None:
    raws = [dial(thief.endpoints, PORTS[n % len(PORTS)]) for n in range(300)]
    for raw in raws:
        raw.sendall(greeting())
    for raw in raws:
        raw.close()


def elsewhere(thief: Link) -> None:
    """The same from an address of its own, as another machine would."""
    raws = []
    try:
        for n in range(300):
            raws.append(dial(thief.endpoints, PORTS[n % len(PORTS)], "127.0.0.66", 0.5))
            raws[-1].sendall(greeting())
    except OSError:
        pass  # it is shut out
    for raw in raws:
        raw.close()


def strangers(thief: Link) -> None:
    stranger = Link(endpoints=thief.endpoints, name="stranger", pair=KeyPair.new())
    try:
        Attacker(stranger, "ctl_in").raw.close()
    except RefusedError:
        pass


def declared(thief: Link) -> None:
    shout(thief.endpoints, "ctl_in", greeting() + framed(b"x", 4, 2**63))


class Kept:
    """Attacks over a connection that stays, made again when the broker ends it."""

    def __init__(self, name: str, kind: bytes, act: Callable[[Attacker], None]) -> None:
        self.name, self.kind, self.act = name, kind, act
        self.attacker: Attacker | None = None

    def __call__(self, thief: Link) -> None:
        """Do it once more."""
        try:
            self.attacker = self.attacker or Attacker(thief, self.name, self.kind)
            self.act(self.attacker)
        except (OSError, RefusedError):
            if self.attacker is not None:
                self.attacker.raw.close()
            self.attacker = None


def forge(attacker: Attacker) -> None:
    for _ in range(50):
        attacker.say(b"or1/monitor/tool0\0", b"h", b"p")


def subscribe(attacker: Attacker) -> None:
    for number in range(50):
        attacker.send(b"\1or1/monitor/%d" % number)


def announce(attacker: Attacker) -> None:
    name = attacker.link.name
    device = {"name": name, "provider": "x", "reason": os.urandom(4).hex()}
    attacker.send(b"1", b"announce", pack(device))
    attacker.receive()


def question(attacker: Attacker) -> None:
    addresses = ["or1/room/clock"] * 4_000
    attacker.send(b"1", b"history", pack({"addresses": addresses, "between": [0, 2**62]}))
    attacker.receive()


def bomb(attacker: Attacker) -> None:
    attacker.send(b"1", b"announce", b"\x91" * 60_000)
    attacker.receive()


def probe(attacker: Attacker) -> None:
    attacker.send(pack([machine.monotonic_ns(), None]))
    attacker.receive()


ATTACKS: dict[str, Callable[[Link], None]] = {
    "garbage": garbage,
    "half-open handshakes": half_open,
    "half-open elsewhere": elsewhere,
    "strangers' keys": strangers,
    "declared 2^63": declared,
    "forged frames": Kept("ctl_in", b"DEALER", forge),
    "subscriptions": Kept("ctl_out", b"SUB", subscribe),
    "announcements": Kept("query", b"DEALER", announce),
    "questions": Kept("query", b"DEALER", question),
    "bombs": Kept("query", b"DEALER", bomb),
    "probes": Kept("probe", b"DEALER", probe),
}


def attack(state: str, what: str, seconds: float) -> None:
    """Attack for so long."""
    thief = Link.load(Path(state), "thief")
    act = ATTACKS.get(what, burn)
    end_ns = machine.monotonic_ns() + round(seconds * 1e9)
    while machine.monotonic_ns() < end_ns:
        act(thief)


# -- the honest stream


class Ages:
    """A sink that notes how old each sample is, ns, and its number."""

    def __init__(self) -> None:
        self.ages: list[int] = []
        self.seqs: dict[str, list[int]] = {}

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take samples."""
        for delivery in batch:
            sample = delivery.sample()
            if sample.time.source_ns is not None and sample.address.startswith("or1/monitor/tool"):
                self.ages.append(machine.monotonic_ns() - sample.time.source_ns)
                self.seqs.setdefault(sample.address, []).append(sample.seq)

    def close(self) -> None:
        """Nothing to let go."""


async def stream(state: Path, pipe: Pipe) -> None:
    """Publish and read; answer each message with the ages since the last."""
    publisher = await Connection.join(Link.load(state, "monitor"), 20.0)
    reader = await Connection.join(Link.load(state, "console"), 20.0)
    ages, epoch = Ages(), publisher.clock.now()
    channels = {f"tool{n}": Pose(f"tool{n}") for n in range(TOOLS)}
    reader.subscribe(["or1/"], ages, from_start=True)
    await publisher.announce(
        Device(
            name="monitor",
            provider="bench",
            state=Lifecycle.RUNNING,
            epoch=epoch,
            channels=channels,
        )
    )
    await asyncio.sleep(1.0)
    pipe.send("ready")
    start_ns, seq = machine.monotonic_ns(), 0
    while True:
        await machine.until(start_ns + round(seq * 1e9 / TOOL_HZ))
        for name, channel in channels.items():
            time = msgspec.structs.replace(publisher.clock.stamp(), source_ns=None)
            made = msgspec.structs.replace(time, source_ns=machine.monotonic_ns())
            value = PoseValue((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0))
            publisher.publish(
                Sample(f"or1/monitor/{name}", epoch, seq, made, Flags(0), value), channel
            )
        seq += 1
        if pipe.poll():
            if pipe.recv() == "end":
                break
            pipe.send(ages.ages[:])
            ages.ages.clear()
    await publisher.drained()
    await asyncio.sleep(0.5)
    whole = all(seqs == list(range(seq)) for seqs in ages.seqs.values())
    pipe.send(whole and len(ages.seqs) == TOOLS and not reader.lost)
    await publisher.close()
    await reader.close()


def honest(state: str, pipe: Pipe) -> None:
    """Run the honest stream in this process."""
    asyncio.run(stream(Path(state), pipe))


# -- the run


def start_broker(state: Path) -> subprocess.Popen[str]:
    """Start a broker with the three keys of this run."""
    everything = Grant(name="console", subscribe=["or1/"])
    grants = [
        Grant(name=name, publish=[f"or1/{name}/"], subscribe=["or1/room/"], devices=[name])
        for name in ("monitor", "thief")
    ]
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    issue(state, "127.0.0.1", ports, "or1", [*grants, everything])
    room = RoomFile.model_validate({"room": {"workspace": "or1"}})
    write_private(state / "room.json", room.model_dump_json().encode())
    write_private(state / "session.json", msgspec.json.encode(Clock.session().map))
    command = [sys.executable, "-m", "scot.host", "broker", "-", "--state", str(state)]
    process = subprocess.Popen(
        [*command, "--options", "{}"],
        stdout=subprocess.PIPE,
        stderr=(state / "broker.log").open("a"),
        text=True,
    )
    assert process.stdout is not None
    assert "ready" in process.stdout.readline(), (state / "broker.log").read_text()
    return process


def measured(state: Path, pipe: Pipe, what: str, seconds: float) -> float:
    """Return the p99 age in ms while `what` goes on."""
    attacker = mp.get_context("spawn").Process(target=attack, args=(str(state), what, seconds + 2))
    attacker.start()
    wait_s(1.5)  # it imports
    pipe.send("forget")
    pipe.recv()
    wait_s(seconds)
    pipe.send("tell")
    ages: list[int] = pipe.recv()
    attacker.terminate()
    attacker.join()
    return float(np.percentile(ages, 99)) / 1e6 if ages else float("inf")


def wait_s(seconds: float) -> None:
    """Let the others work."""
    asyncio.run(asyncio.sleep(seconds))


def rounds(what: str, count: int, seconds: float) -> dict[str, Any]:
    """Measure one attack against its peer, alternating."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        state.chmod(0o700)
        broker = start_broker(state)
        ours, theirs = mp.Pipe()
        process = mp.get_context("spawn").Process(target=honest, args=(folder, theirs))
        process.start()
        ours.recv()
        memory = Memory(broker.pid)
        pairs = []
        for _ in range(count):
            without = measured(state, ours, "none", seconds)
            pairs.append((measured(state, ours, what, seconds), without))
        grown = memory.grown_bytes
        ours.send("end")
        whole = bool(ours.recv())
        process.join(10)
        broker.terminate()
        broker.wait(10)
        if broker.stdout is not None:
            broker.stdout.close()
    ratios = sorted(a / b for a, b in pairs)
    return {
        "attack": what,
        "with_ms": statistics.median(a for a, _ in pairs),
        "without_ms": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
        "whole": whole,
        "grown_mb": grown / (1 << 20),
    }


def met(row: dict[str, Any]) -> bool:
    """Whether an attack stayed within its targets."""
    return bool(row["ratio"] <= TARGET and row["whole"] and row["grown_mb"] * (1 << 20) < MAX_BYTES)


def main() -> int:
    parser = argparse.ArgumentParser(prog="attacks", description="p99 of honest peers under attack")
    parser.add_argument("attack", nargs="*", help=f"of: {', '.join(ATTACKS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    unknown = set(chosen.attack) - set(ATTACKS)
    if unknown:
        parser.error(f"no attack {', '.join(sorted(unknown))}: use {', '.join(ATTACKS)}")
    rows = []
    if not chosen.json:
        print(f"{'attack':22} {'p99 with':>9} {'without':>9} {'ratio':>6}  {'spread':11} memory")
    for what in chosen.attack or ATTACKS:
        row = rounds(what, chosen.rounds, chosen.seconds)
        rows.append(row)
        if not chosen.json:
            low, high = row["spread"]
            print(
                f"{what:22} {row['with_ms']:6.2f} ms {row['without_ms']:6.2f} ms"
                f" {row['ratio']:6.2f}  {low:4.2f}-{high:5.2f} {row['grown_mb']:5.1f} MB"
                f"  {'ok' if met(row) else 'MISSED'}{'' if row['whole'] else ', samples lost'}",
                flush=True,
            )
    if chosen.json:
        print(json.dumps({"target": TARGET, "attacks": rows}, indent=1))
    return int(not all(map(met, rows)))


if __name__ == "__main__":
    sys.exit(main())
