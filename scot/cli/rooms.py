"""``scot demo``, ``scot up`` and ``scot record``: a room from its start to its end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import scot
from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.clock import machine
from scot.config import RecorderTable, RoomFile, load_room, parse
from scot.errors import ConfigError
from scot.room import CONSOLE, Room, free_ports

MIN_KEPT_S, MAX_KEPT_S = 10.0, 86_400.0
DEMO = Path(scot.__file__).parent / "rooms" / "demo.toml"

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE for each $NAME in the room file.")
]
Seconds = Annotated[float | None, typer.Option(min=1, help="End by itself after so many seconds.")]
Headless = Annotated[bool, typer.Option("--headless", help="No page.")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")
]
Record = Annotated[
    Path | None, typer.Option("--record", help="Directory of this recording.", show_default=False)
]


class Counter:
    """A sink that counts."""

    def __init__(self) -> None:
        self.samples: dict[str, int] = {}

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Count each sample by its channel."""
        for delivery in batch:
            address = delivery.frame.address
            self.samples[address] = self.samples.get(address, 0) + 1

    def close(self) -> None:
        """Nothing to let go."""


def demo(
    headless: Headless = False,
    seconds: Seconds = None,
    record: Record = None,
    port: Port = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same surgery.")] = 7,
    skip: Annotated[float, typer.Option(min=0, help="Begin the story so many seconds in.")] = 0.0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    as_json: Json = False,
) -> int:
    """Start a simulated operating room, live in the browser.

    A tracker, a patient monitor and an endoscope, each a program of its own behind the protocol
    a hospital's device speaks. The patient bleeds after a minute.
    """
    ports = free_ports(3)
    fill = {
        "seed": str(seed),
        "start_utc_ns": str(machine.utc_ns() - round(skip * 1e9)),
        "tracker_port": str(ports[0]),
        "monitor_port": str(ports[1]),
        "scope_port": str(ports[2]),
    }
    room = settle(load_room(DEMO, fill), port, headless)
    return run_room(room, DEMO, record, seconds, as_json, show=browser and not headless)


def up(
    room_file: Annotated[Path, typer.Argument(help="A room file (TOML).")],
    headless: Headless = False,
    seconds: Seconds = None,
    record: Record = None,
    port: Port = None,
    values: Set = None,
    as_json: Json = False,
) -> int:
    """Start the room of a room file."""
    room = settle(load_room(room_file, read_values(values)), port, headless)
    return run_room(room, room_file, record, seconds, as_json, show=False)


def record(
    room_file: Annotated[Path, typer.Argument(help="A room file (TOML).")],
    into: Annotated[Path, typer.Argument(help="Directory of the recording.")],
    seconds: Seconds = None,
    values: Set = None,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="With a key of its own, which scot shred destroys.")
    ] = False,
    keep_last: Annotated[
        str | None,
        typer.Option(
            "--keep-last", help="Keep only so much (5m) until a pin, a chapter or a trigger."
        ),
    ] = None,
    trigger: Annotated[
        str, typer.Option("--trigger", help="DEVICE/CHANNEL of which any sample triggers.")
    ] = "",
    as_json: Json = False,
) -> int:
    """Run a room without its page, to record it.

    With --keep-last only the last minutes are on the disk until somebody sets a pin or a chapter,
    a sample comes in the --trigger channel, or `scot keep` is run; from then on all is kept.
    """
    room = settle(load_room(room_file, read_values(values)), None, True)
    if encrypt:
        recorder = room.recorder.model_copy(update={"encrypt": True})
        room = room.model_copy(update={"recorder": recorder})
    if keep_last is not None:
        room = keeping(room, keep_last, trigger)
    elif trigger:
        raise ConfigError("--trigger", "", "is only of use with --keep-last", "add --keep-last 5m")
    return run_room(room, room_file, into, seconds, as_json, show=False)


def keeping(room: RoomFile, keep_last: str, trigger: str) -> RoomFile:
    """Return the room with a recorder that keeps the last minutes until it is triggered.

    Raises:
        ConfigError: the length or the channel is not allowed.
    """
    more = {"keep_last_s": read_length(keep_last), "trigger": trigger}
    table = {**room.recorder.model_dump(), **more}
    recorder = parse(RecorderTable, table, "--trigger", "recorder")
    return room.model_copy(update={"recorder": recorder})


def read_length(text: str) -> float:
    """Return a length of time such as ``90s``, ``5m`` or ``1h`` in seconds.

    Raises:
        ConfigError: it is none, or none that can be kept.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", text)
    if found is not None:
        seconds = float(found[1]) * {"m": 60, "min": 60, "h": 3600}.get(found[2] or "s", 1)
        if MIN_KEPT_S <= seconds <= MAX_KEPT_S:
            return seconds
    raise ConfigError("--keep-last", "", f"{text!r} is not allowed", "10s to 24h, as 90s, 5m, 1h")


def read_values(values: list[str] | None) -> dict[str, str]:
    """Return what ``--set NAME=VALUE`` says.

    Raises:
        ConfigError: one has no name or no value.
    """
    filled: dict[str, str] = {}
    for value in values or []:
        name, equals, text = value.partition("=")
        if not name or not equals:
            raise ConfigError("--set", "", f"{value!r} is not allowed", "write NAME=VALUE")
        filled[name] = text
    return filled


def settle(room: RoomFile, port: int | None, headless: bool) -> RoomFile:
    """Return the room with what the command line says about its page."""
    more: dict[str, Any] = {}
    if port is not None:
        more["port"] = port
    if headless:
        more["enabled"] = False
    return room.model_copy(update={"dashboard": room.dashboard.model_copy(update=more)})


def run_room(
    file: RoomFile,
    path: Path,
    recording: Path | None,
    seconds: float | None,
    as_json: bool,
    *,
    show: bool,
) -> int:
    """Run a room until it is told to stop; print what came."""
    room = Room(file, path=path)
    if recording is not None:
        room.services["recorder"] = {"directory": str(recording.absolute())}
    counted = asyncio.run(_run(room, seconds, as_json, show))
    if as_json:
        print(json.dumps(counted))
    else:
        tell(
            f"{counted['samples']} samples of {len(counted['channels'])} channels, "
            f"{counted['lost']} lost"
        )
        if counted["recording"]:
            tell(f"recording: {counted['recording']}")
    return 0


async def _run(room: Room, seconds: float | None, as_json: bool, show: bool) -> dict[str, Any]:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    tell("starting the room …")
    await room.start()
    console = await Connection.join(Link.load(room.state, CONSOLE))
    counter = Counter()
    console.subscribe([f"{console.workspace}/"], counter, fill_bulk=True, from_start=True)
    try:
        announce(room, show)
        try:
            async with asyncio.timeout(seconds):
                await stopping.wait()
        except TimeoutError:
            pass
        tell("stopping …")
        recording = str(room.facts.get("recorder", {}).get("recording", ""))
        await asyncio.sleep(0.3)  # gaps found just now are still being filled
        return summary(console, counter, recording)
    finally:
        await console.close()
        await room.stop()


def summary(console: Connection, counter: Counter, recording: str) -> dict[str, Any]:
    """Return what came over the bus, as plain values."""
    devices = {
        name: {"state": device.state.value, "reason": device.reason}
        for name, device in console.catalogue.devices.items()
        if name != "room"
    }
    return {
        "workspace": console.workspace,
        "channels": dict(sorted(counter.samples.items())),
        "samples": sum(counter.samples.values()),
        "lost": sum(console.lost.values()),
        "lost_by_channel": console.lost,
        "backfilled": sum(console.backfilled.values()),
        "devices": devices,
        "recording": recording,
    }


def announce(room: Room, show: bool) -> None:
    """Say where the page is, and open it where there is a screen."""
    url = room.facts.get("dashboard", {}).get("url")
    recording = room.facts.get("recorder", {}).get("recording")
    if recording:
        tell(f"recording into {recording}")
    if url:
        tell(f"the wall: {url}")
        tell("a professor: `scot invite` prints a link; the wall must admit them")
        if show and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(url)
    tell("Ctrl-C ends the room. Not a medical device, no primary alarm: look at the device.")


def tell(line: str) -> None:
    """Write progress for people to stderr."""
    print(line, file=sys.stderr, flush=True)
