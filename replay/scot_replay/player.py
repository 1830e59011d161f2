"""The player: a recording comes back onto the bus, and nothing downstream can tell (DESIGN §2).

A service of a replay room (entry points ``scot.services``). It turns the room's clock: bus time
flows at the chosen rate, stands still when it is paused, and never goes back; the player publishes
each frame when the clock reaches its bus time. Deadlines are absolute, so it never drifts. What is
not plain playing on begins the next lap, see `scot.transport`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from scot import channel as declare
from scot.bus.connection import Connection
from scot.channel import Device, Lifecycle
from scot.errors import ConfigError, ScotError
from scot.history import HistoryReply, HistoryRequest
from scot.host import Service
from scot.sample import Flags, Sample
from scot.transport import FLAT_OUT, PLAYER, STATE, Answer, Laps, Transport, Wish
from scot_replay.cast import Cast, Played, ours, published
from scot_replay.compare import Comparison
from scot_replay.found import Found
from scot_replay.laps import Lap, laps_of
from scot_replay.options import Options, opened
from scot_replay.outlet import Outlet
from scot_replay.standing import Standing
from scot_replay.steps import step_to
from scot_replay.wishes import pictures, target

log = logging.getLogger(__name__)

TRANSPORT = declare.Event(
    STATE,
    label={"en": "Transport", "ja": "再生状態"},
    latched=True,
    sensitivity=declare.Sensitivity.CLINICAL,
)

AHEAD, FLAT_AHEAD = 512, 4_096
BACK_EVERY_NS = 100_000_000
"""Playing backwards goes in strides of so long, each shown whole."""
LEAST_LAP_NS = 100_000_000
"""A shorter loop turns no more often: laps are many, not endless."""
WHOLE_GROUPS = 1.0
"""Up to this rate a stride back shows the picture of its instant; faster, only keyframes."""
MOVE_EVERY_NS = 50_000_000
SAY_EVERY_S = 1.0


async def serve(service: Service) -> None:
    """Play until `service.stopping`; at the end of the recording History goes on answering.

    Raises:
        ConfigError: the options are not those of a player.
        RecordingError: the recording cannot be opened.
    """
    try:
        options = msgspec.convert(service.options, Options)
        Wish(rate=options.rate, loop=options.stretch).check()
    except msgspec.ValidationError as error:
        allowed = ", ".join(Options.__struct_fields__)
        raise ConfigError("player", "options", str(error), f"allowed: {allowed}") from None
    recording = await asyncio.to_thread(opened, options, service.connection.workspace)
    player = Player(service.connection, recording, options)
    try:
        await player.announce()
        await service.connection.serve_history(player.answer)
        service.ready(
            recording=options.recording,
            beside=options.beside,
            first_ns=recording.first_ns,
            last_ns=recording.last_ns,
            damage=recording.damage,
        )
        playing = asyncio.create_task(player.run())
        stopping = asyncio.create_task(service.stopping.wait())
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()  # an error of ours ends the service
            await stopping
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
    finally:
        recording.close()


class Player:
    """Plays one recording onto one connection.

    Args:
        connection: joined to the replay room.
        recording: to play.
        options: see `Options`.

    Attributes:
        lap: the one that is played.
        rate, playing, loop, again: as in `scot.transport.Transport`.
    """

    def __init__(self, connection: Connection, recording: Played, options: Options) -> None:
        self.connection = connection
        self.recording = recording
        self.rate = options.rate
        self.playing = options.playing
        self.again = options.loop
        self.loop = list(options.stretch)
        self.lap = Lap(0, Laps(origin_ns=recording.first_ns, period_ns=1))
        self._at_ns = options.from_ns if options.from_ns is not None else recording.first_ns
        self._flows = False  # the room's clock goes on by itself: the position is what it reads
        self._ended = False
        self._addresses = published(recording)
        self._standing = Standing(recording, self._addresses)
        self._cast = Cast(recording, lambda one: connection.announce(one, health=False))
        self._wishes: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self._outlet = Outlet(connection, recording, self._cast, self.lap)
        self._moved_ns = 0
        self._begun_ns = 0  # this lap, by the machine's clock
        self._epoch = connection.clock.now()
        self._seq = 0
        connection.on_wish = lambda key, body: self._wishes.put_nowait((key, body))

    # -- how it stands

    def position(self) -> int:
        """Return the recorded instant that it plays now."""
        if not self._flows:
            return self._at_ns
        here_ns = self.connection.clock.now() - self.lap.shift_ns
        return min(max(here_ns, self._at_ns), self._bounds()[1])

    def transport(self) -> Transport:
        """Return how it stands now."""
        return Transport(
            lap=self.lap.number,
            bus_ns=self.connection.clock.now(),
            position_ns=self.position(),
            rate=self.rate,
            playing=self.playing,
            loop=self.loop,
            again=self.again,
            ended=self._ended,
            first_ns=self.recording.first_ns,
            last_ns=self.recording.last_ns,
            laps=self.lap.laps,
        )

    def _bounds(self) -> tuple[int, int]:
        first_ns, last_ns = self.recording.first_ns, self.recording.last_ns
        if self.loop:
            return max(first_ns, self.loop[0]), min(last_ns, self.loop[1])
        return first_ns, last_ns

    # -- on the bus

    async def announce(self) -> None:
        """Announce ourselves, and every recorded device as it stood at the beginning."""
        state = await asyncio.to_thread(self._standing.at, self.recording.first_ns)
        laps = laps_of(self.recording, [one.frame for one in state])
        self._outlet.lap = self.lap = Lap(self.lap.number, laps)
        attrs = msgspec.to_builtins(laps)
        if isinstance(self.recording, Comparison):
            attrs["sides"] = self.recording.layout()
        channel = msgspec.structs.replace(TRANSPORT, attrs=attrs)
        await self.connection.announce(
            Device(
                name=PLAYER,
                provider=PLAYER,
                label={"en": "Player", "ja": "再生"},
                state=Lifecycle.RUNNING,
                epoch=self._epoch,
                channels={STATE: channel},
            ),
            health=False,
        )
        await self._cast.stand(self._at_ns, everyone=True)

    async def run(self) -> None:
        """Publish what was true at the beginning, then each frame at its time, as it is wished."""
        behind_ns = self.connection.clock.now() - self._at_ns
        if behind_ns > 0:  # this room has played before us: its time never goes back
            number = self.lap.laps.number(self.connection.clock.now())
            self._outlet.lap = self.lap = Lap(number, self.lap.laps)
            await self._begin(self._at_ns)
        else:
            self._outlet.send(await asyncio.to_thread(self._standing.at, self._at_ns - 1))
            await self._flow(None)
        wished = asyncio.create_task(self._wishes.get())
        saying = asyncio.create_task(self._saying())
        going = asyncio.create_task(asyncio.sleep(0))
        try:
            while True:
                self._say()
                going = asyncio.create_task(self._go())
                await asyncio.wait({going, wished}, return_when=asyncio.FIRST_COMPLETED)
                if not wished.done():
                    try:
                        going.result()
                        await self._turn()
                    except ConfigError as error:  # no lap is left: what is asked is still answered
                        log.warning("%s", error)
                        self.playing, self._ended = False, True
                        await self._flow(None)
                    continue
                self._at_ns = self.position()
                going.cancel()
                await asyncio.gather(going, return_exceptions=True)
                key, body = wished.result()
                wished = asyncio.create_task(self._wishes.get())
                self.connection.granted(key, msgspec.msgpack.encode(await self._grant(body)))
        finally:
            for task in (wished, saying, going):
                task.cancel()
            await asyncio.gather(wished, saying, going, return_exceptions=True)
            self._outlet.close()

    async def answer(self, ask: HistoryRequest) -> HistoryReply:
        """Answer History from the file, off the event loop."""
        addresses = [a for a in ask.addresses if ours(a)]
        ask = msgspec.structs.replace(ask, addresses=addresses)
        return await asyncio.to_thread(self.lap.answer, ask, self.recording)

    async def _saying(self) -> None:
        """Say how it stands, for who comes late."""
        while True:
            await asyncio.sleep(SAY_EVERY_S)
            self._say()

    def _say(self) -> None:
        value = msgspec.to_builtins(self.transport())
        address = f"{self.connection.workspace}/{PLAYER}/{STATE}"
        time = self.connection.clock.stamp()
        sample = Sample(address, self._epoch, self._seq, time, Flags(0), value)
        self._seq += 1
        self.connection.publish(sample, TRANSPORT)

    # -- wishes

    async def _grant(self, body: bytes) -> Answer:
        try:
            wish = msgspec.msgpack.decode(body, type=Wish).check()
            await self._do(wish)
        except (msgspec.DecodeError, UnicodeDecodeError, ScotError) as error:
            return Answer(error=str(error), transport=self.transport())
        return Answer(transport=self.transport())

    async def _do(self, wish: Wish) -> None:
        """Do as wished; nothing is sent meanwhile.

        Raises:
            ConfigError: the wish is outside the recording, or names what is not in it.
        """
        to_ns = target(wish, self.recording.first_ns, self.recording.last_ns)
        if wish.step:
            of = wish.of or pictures(self.recording, self._addresses)
            to_ns = await asyncio.to_thread(step_to, self.recording, of, self._at_ns, wish.step)
            self.playing = False
        if wish.loop is not None:
            self.loop = list(wish.loop)
        self.again = self.again if wish.again is None else wish.again
        turned = wish.rate is not None and (wish.rate < 0) != (self.rate < 0)
        was_flat_out = self.rate >= FLAT_OUT
        self.rate = self.rate if wish.rate is None else wish.rate
        if wish.playing is not None:
            self.playing = wish.playing
        if wish.playing and self._ended and to_ns is None:
            to_ns = self._bounds()[0 if self.rate > 0 else 1]
        elif self.loop and to_ns is None and not self.loop[0] <= self._at_ns <= self.loop[1]:
            to_ns = self.loop[0]
        if to_ns is None and (turned or self.rate < 0):
            to_ns = self._at_ns
        if to_ns is not None:
            await self._begin(to_ns)
        else:
            await self._flow(self.lap.out(self._at_ns) if was_flat_out else None)

    # -- laps

    async def _begin(self, at_ns: int, *, pictures: bool = True) -> None:
        """Begin the next lap at a recorded instant, with what stood there.

        Raises:
            ConfigError: there is no next lap.
        """
        if self.lap.last:
            said = "no move is left: each has used bus time, which has an end"
            raise ConfigError("player", "laps", said, "start the replay again")
        if self._flows:
            await self.connection.pace(None, 0.0)  # no time passes while we look
        found = await asyncio.to_thread(self._standing.at, at_ns, pictures=pictures)
        self._flows, self._at_ns, self._ended = False, at_ns, False
        self._outlet.lap = self.lap = Lap(self.lap.number + 1, self.lap.laps)
        await self._cast.stand(at_ns)
        await self._flow(self.lap.out(at_ns))
        self._say()
        self._outlet.send(found)
        self._begun_ns = self.connection.clock.read()
        self._outlet.last = max(found, key=lambda one: one[:4], default=None)

    async def _turn(self) -> None:
        """Nothing more follows: begin again, or stand still."""
        first_ns, last_ns = self._bounds()
        if self.loop or self.again:
            await self._outlet.local(self._begun_ns + LEAST_LAP_NS)
            await self._begin(first_ns if self.rate > 0 else last_ns)
            return
        flat_out = self.rate >= FLAT_OUT
        self._at_ns = last_ns if self.rate > 0 else first_ns
        self.playing, self._ended = False, True
        await self._flow(self.lap.out(last_ns) if flat_out else None)

    async def _flow(self, bus_ns: int | None) -> None:
        """Let the room's clock go on as we play: from `bus_ns`, or from where it stands."""
        flows = self.playing and 0 < self.rate < FLAT_OUT
        await self.connection.pace(bus_ns, self.rate if flows else 0.0)
        if self._flows and not flows and bus_ns is None:
            here_ns = self.connection.clock.now() - self.lap.shift_ns
            self._at_ns = min(max(here_ns, self._at_ns), self._bounds()[1])
        self._flows = flows

    async def _go(self) -> None:
        """Play on until nothing more follows, or until cancelled."""
        if not self.playing:
            await asyncio.Event().wait()
        elif self.rate < 0:
            await self._backwards()
        else:
            await self._forwards()

    async def _forwards(self) -> None:
        last = self._outlet.last
        after = last[:4] if last is not None else (0, "", 0, 0)
        from_ns = last.bus_ns if last is not None else self._at_ns
        stream = self.recording.stream(self._addresses, (from_ns, self._bounds()[1] + 1))
        flat_out = self.rate >= FLAT_OUT
        count = FLAT_AHEAD if flat_out else AHEAD
        ahead = asyncio.create_task(_next(stream, count))
        try:
            while batch := await ahead:
                if not flat_out:
                    ahead = asyncio.create_task(_next(stream, count))
                if batch[0][:4] <= after:
                    batch = [one for one in batch if one[:4] > after]
                if flat_out:  # one after the other: two threads would take turns at each sample
                    await self._flat_out(batch)
                    ahead = asyncio.create_task(_next(stream, count))
                else:
                    await self._outlet.in_time(batch)
            if self.loop and not flat_out:
                await self._outlet.wait(self._bounds()[1])
        finally:
            ahead.cancel()

    async def _flat_out(self, batch: Sequence[Found]) -> None:
        """Send frames as credit comes, and set the clock to where we are twenty times a second."""
        await self._outlet.flat_out(batch)
        if batch:
            self._at_ns = batch[-1].bus_ns
        now_ns = self.connection.clock.read()
        if now_ns - self._moved_ns >= MOVE_EVERY_NS:
            self._moved_ns = now_ns
            await self.connection.pace(self.lap.out(self._at_ns), 0.0)

    async def _backwards(self) -> None:
        """Go back in strides, each a lap of its own that shows what stood there."""
        first_ns = self._bounds()[0]
        begun_ns, from_ns = self.connection.clock.read(), self._at_ns
        while self._at_ns > first_ns:
            due_ns = self.connection.clock.read() + BACK_EVERY_NS
            gone_ns = due_ns - begun_ns
            to_ns = max(first_ns, from_ns - round(gone_ns * -self.rate))
            await self._outlet.local(due_ns)
            await self._begin(to_ns, pictures=-self.rate <= WHOLE_GROUPS)


async def _next(stream: Iterator[Found], count: int) -> list[Found]:
    return await asyncio.to_thread(lambda: list(islice(stream, count)))
