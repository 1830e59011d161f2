"""A player under one's hands in a terminal: a line that says where it stands, and its keys."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from scot.bus.connection import Connection
from scot.bus.subscriber import Delivery
from scot.errors import UNREADABLE, BusError
from scot.timestamp import TAI_MINUS_UTC_NS
from scot.transport import FASTEST, FEW_LAPS, FLAT_OUT, PLAYER, STATE, Answer, Transport, Wish

SECOND_NS = 1_000_000_000
LINE_S = 0.1
KEYS = "space plays · ←→ 5 s · ,. a picture · [ ] loop · \\ no loop · + - rate · r back · q quits"
RATES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, FLAT_OUT)


class Line:
    """The player's newest word, and where it stands now.

    Args:
        connection: joined to the replay room.
        tell: called with each word.
    """

    def __init__(self, connection: Connection, tell: Callable[[Transport], None]) -> None:
        self.connection = connection
        self.newest: Transport | None = None
        self._tell = tell

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries (as a sink)."""
        for delivery in batch:
            if not delivery.frame.address.endswith(f"/{PLAYER}/{STATE}"):
                continue
            try:
                said = msgspec.msgpack.decode(delivery.frame.payload, type=Transport)
            except UNREADABLE:
                continue
            self.take(said)

    def take(self, said: Transport) -> None:
        """Take a word of the player."""
        if self.newest is None or (said.lap, said.rate, said.playing) != (
            self.newest.lap,
            self.newest.rate,
            self.newest.playing,
        ):
            self.connection.retime()
        self.newest = said
        self._tell(said)

    def close(self) -> None:
        """Nothing to let go."""

    def position(self) -> int:
        """Return the recorded instant that is played now."""
        said = self.newest
        if said is None:
            return 0
        if not said.playing or not 0 < said.rate < FLAT_OUT:
            return said.position_ns
        gone_ns = max(0, self.connection.clock.now() - said.bus_ns)
        return min(said.position_ns + gone_ns, said.last_ns)


def line_of(said: Transport, position_ns: int) -> str:
    """Return one line of where a player stands."""
    marks = "▶" if said.playing and said.rate > 0 else "◀" if said.playing else "‖"
    rate = "max" if said.rate >= FLAT_OUT else f"{said.rate:g}×"
    parts = [
        f"{marks} {span_text(position_ns - said.first_ns)} / "
        f"{span_text(said.last_ns - said.first_ns)}",
        f"{day_text(position_ns)} UTC",
        rate,
    ]
    if said.loop:
        a, b = (span_text(t - said.first_ns) for t in said.loop)
        parts.append(f"loop {a} to {b}")
    if said.ended:
        parts.append("at its end")
    if (left := said.laps.left(said.lap)) < FEW_LAPS:
        parts.append(f"{left} moves left, then start it again")
    return "  ".join(parts)


def span_text(ns: int) -> str:
    """Return a length of time as ``h:mm:ss.mmm``."""
    milli = max(0, ns) // 1_000_000
    seconds, milli = divmod(milli, 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milli:03}"


def day_text(bus_ns: int) -> str:
    """Return the time of day of a bus time, UTC."""
    return span_text((bus_ns - TAI_MINUS_UTC_NS) % (86_400 * SECOND_NS)).zfill(12)


class Keys:
    """What each key wishes, from where the player stands.

    Attributes:
        quit: somebody has had enough.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.quit = False
        self._a_ns: int | None = None

    def wish(self, key: str) -> Wish | None:
        """Return what a key wishes; None when it wishes nothing."""
        said = self.line.newest
        if key in {"q", "\x03", "\x04"}:
            self.quit = True
        if said is None or self.quit:
            return None
        here_ns = self.line.position()
        moves = {"\x1b[D": -5, "\x1b[C": 5, "\x1b[A": 60, "\x1b[B": -60}
        if key in moves:
            to_ns = here_ns + moves[key] * SECOND_NS
            return Wish(to_ns=min(max(to_ns, said.first_ns), said.last_ns))
        plain = {
            " ": Wish(playing=not said.playing),
            ",": Wish(step=-1),
            ".": Wish(step=1),
            "\\": Wish(loop=[]),
            "r": Wish(rate=_back(said.rate)),
            "0": Wish(to_ns=said.first_ns),
            "+": Wish(rate=_next(said.rate, 1)),
            "=": Wish(rate=_next(said.rate, 1)),
            "-": Wish(rate=_next(said.rate, -1)),
        }
        return plain.get(key) or self._loop(key, here_ns)

    def _loop(self, key: str, here_ns: int) -> Wish | None:
        if key == "[":
            self._a_ns = here_ns
        elif key == "]" and self._a_ns is not None and here_ns > self._a_ns:
            return Wish(loop=[self._a_ns, here_ns])
        return None


def _back(rate: float) -> float:
    return -min(rate, FASTEST)


def _next(rate: float, by: int) -> float:
    """Return the next faster or slower rate in the same direction."""
    rates = RATES if rate > 0 else RATES[:-1]
    place = min(range(len(rates)), key=lambda i: abs(rates[i] - abs(rate)))
    place = min(max(place + by, 0), len(rates) - 1)
    return rates[place] if rate > 0 else -rates[place]


async def ask(connection: Connection, wish: Wish) -> Answer:
    """Wish something of the player; return what it answers.

    Raises:
        BusError: nobody answers, or this key may not.
    """
    body, *_ = await connection.request(b"play", msgspec.msgpack.encode(wish))
    return msgspec.msgpack.decode(body, type=Answer)


@contextmanager
def pressed(take: Callable[[str], None]) -> Iterator[bool]:
    """Hand on each key that is pressed in the terminal; yields False where there is none."""
    if not sys.stdin.isatty():
        yield False
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        text = os.read(descriptor, 64).decode("utf-8", "replace")
        while text:
            size = 3 if text.startswith("\x1b[") else 1
            take(text[:size])
            text = text[size:]

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield True
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def drive(
    connection: Connection, stopping: asyncio.Event, *, as_json: bool, tell: Callable[[str], None]
) -> None:
    """Show where the player stands and do what keys wish, until `stopping`."""
    wishes: asyncio.Queue[str] = asyncio.Queue()
    line = Line(connection, _print_json if as_json else lambda said: None)
    keys = Keys(line)
    connection.subscribe([f"{connection.workspace}/{PLAYER}/"], line, fill=False)
    await _do(connection, Wish(), line, tell)
    with pressed(wishes.put_nowait) as there:
        if there and not as_json:
            tell(KEYS)
        drawn = there and not as_json and sys.stderr.isatty()
        while not stopping.is_set():
            try:
                async with asyncio.timeout(LINE_S):
                    wish = keys.wish(await wishes.get())
            except TimeoutError:
                wish = None
            if keys.quit:
                stopping.set()
            if wish is not None:
                await _do(connection, wish, line, tell)
            if drawn and line.newest is not None:
                sys.stderr.write(f"\r\x1b[2K{line_of(line.newest, line.position())}")
                sys.stderr.flush()
        if drawn:
            sys.stderr.write("\n")


async def _do(connection: Connection, wish: Wish, line: Line, tell: Callable[[str], None]) -> None:
    try:
        answer = await ask(connection, wish)
    except BusError as error:
        tell(f"\n{error}")
        return
    if answer.error:
        tell(f"\n{answer.error}")
    if answer.transport is not None:
        line.take(answer.transport)


def _print_json(said: Transport) -> None:
    print(json.dumps({"event": "player", **msgspec.to_builtins(said)}), flush=True)
