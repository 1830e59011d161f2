"""The room's alarms: what devices say and how their sources fare, as one state on the bus.

The gateway is the one place that keeps it (`scot.alarm.Board`). What comes out are two channels of
the device ``alarms``: ``log``, every change, and ``state``, all that matters now; so every display
shows the same, the recorder keeps it and a replay draws it. No I/O and no clock.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import msgspec

from scot.alarm import Board
from scot.channel import Catalogue, Channel, Device, Event, Kind, Lifecycle, Sensitivity
from scot.condition import ROOM, Activation, Entry, Snapshot, Why
from scot.health.fields import declare
from scot.sample import AlarmValue, Flags, NumericValue, Validity
from scot.timestamp import ClockState

if TYPE_CHECKING:
    from scot.bus.subscriber import Delivery

log = logging.getLogger(__name__)

DEVICE = "alarms"
STATE = Event(
    "state",
    label={"en": "Alarms now", "ja": "現在のアラーム"},
    sensitivity=Sensitivity.CLINICAL,
    latched=True,
    stale_after_s=3600.0,
)
LOG = Event(
    "log",
    label={"en": "Alarm log", "ja": "アラーム記録"},
    sensitivity=Sensitivity.CLINICAL,
    stale_after_s=3600.0,
    attrs={"log": True},
)
HEALTH = declare()
FEEDS = frozenset({Kind.NUMERIC, Kind.WAVEFORM, Kind.POSE, Kind.VIDEO, Kind.IMAGE})
NO_SOURCES = frozenset({"room", "consult", DEVICE, "dashboard"})
SECOND_NS = 1_000_000_000
LEAST_SILENT_NS = 2 * SECOND_NS
MOST_SILENT_NS = 10 * SECOND_NS
HOST_SILENT_NS = 5 * SECOND_NS
GRACE_NS = 10 * SECOND_NS
SETTLE_NS = 2 * SECOND_NS
APART_NS = 5 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS
AGAIN_NS = SECOND_NS // 10
GONE = frozenset({Lifecycle.DISCONNECTED, Lifecycle.FAULT})
WORDS = {
    Why.LOST: {"en": "no data", "ja": "データなし"},
    Why.CLOCK: {"en": "time in doubt", "ja": "時刻不確か"},
    Why.INVALID: {"en": "not valid", "ja": "無効"},
}


def device(epoch: int) -> Device:
    """Return what the gateway announces on the bus."""
    return Device(
        name=DEVICE,
        provider="scot.dashboard",
        label={"en": "Alarms", "ja": "アラーム"},
        state=Lifecycle.RUNNING,
        epoch=epoch,
        channels={channel.name: channel for channel in (STATE, LOG, HEALTH)},
    )


@dataclass
class Debounce:
    """A fact that counts once it has stood for two seconds, either way."""

    stands: bool = False
    since_ns: int | None = None

    def take(self, fact: bool, now_ns: int) -> bool:
        """Take what is so now; return what counts."""
        if fact == self.stands:
            self.since_ns = None
        elif self.since_ns is None:
            self.since_ns = now_ns
        elif now_ns - self.since_ns >= SETTLE_NS:
            self.stands, self.since_ns = fact, None
        return self.stands


@dataclass
class Source:
    """One device as a source of alarms and data.

    Attributes:
        limit_ns: silence after which it counts as lost.
        streams: it has channels with a rate; its health alone is then no sign of life.
        heard_ns: when something came last.
        epoch: of its publisher.
    """

    limit_ns: int
    streams: bool
    heard_ns: int
    label: dict[str, str]
    epoch: int | None = None
    gone: bool = False
    clock: Debounce = field(default_factory=Debounce)
    valid: dict[str, Debounce] = field(default_factory=dict)


class Alarms:
    """Feeds the board with what the bus delivers, and says what is to be published."""

    def __init__(self) -> None:
        self.board = Board()
        self.sources: dict[str, Source] = {}
        self._catalogue = Catalogue(workspace="")
        self._told: dict[tuple[str, str], tuple[int, int]] = {}
        self._entries: list[Entry] = []
        self._shown_ns = 0

    # -- what comes

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that an earlier gateway of this room published.

        Raises:
            msgspec.ValidationError: it is none.
        """
        snapshot = msgspec.convert(state, Snapshot)
        self.board = Board.restore(snapshot)
        log.info("%d alarm conditions known from before", len(snapshot.conditions))

    def follow(self, catalogue: Catalogue, now_ns: int) -> None:
        """Learn which sources there are."""
        if catalogue is self._catalogue:
            return
        self._catalogue = catalogue
        for name, known in catalogue.devices.items():
            if name in NO_SOURCES:
                continue
            rates = [c.rate_hz for c in known.channels.values() if c.kind in FEEDS and c.rate_hz]
            limit_ns = HOST_SILENT_NS
            if rates:
                limit_ns = min(MOST_SILENT_NS, max(LEAST_SILENT_NS, int(3e9 / max(rates))))
            source = self.sources.get(name)
            if source is None:
                heard_ns = now_ns + GRACE_NS - limit_ns
                source = self.sources[name] = Source(limit_ns, bool(rates), heard_ns, known.label)
                self._doubt_again(name, source)
            source.limit_ns, source.streams, source.label = limit_ns, bool(rates), known.label
            source.gone = known.state in GONE

    def take(self, delivery: Delivery, now_ns: int) -> None:
        """Take one sample of the bus.

        Raises:
            CodecError: an alarm or a numeric cannot be read.
        """
        frame, header, flags, channel = delivery
        name = frame.address.split("/")[1]
        source = self.sources.get(name)
        if source is None:
            return
        live = not flags & Flags.BACKFILLED
        if live and (channel.kind in FEEDS or not source.streams):
            source.heard_ns = now_ns
        if channel.kind is Kind.ALARM:
            self._report(name, source, delivery, now_ns)
        elif live and channel.kind in FEEDS:
            apart = abs(header.bus_ns - now_ns) > APART_NS
            wrong = apart or header.state == ClockState.UNSYNCED
            if wrong or source.clock.stands or source.clock.since_ns is not None:
                self._doubt(Why.CLOCK, name, source, source.clock.take(wrong, now_ns), now_ns)
            if channel.kind in (Kind.NUMERIC, Kind.WAVEFORM):
                self._judge(name, source, channel, _invalid(delivery), now_ns)

    def tick(self, now_ns: int) -> None:
        """Find out who is silent, and what is over."""
        for name, source in self.sources.items():
            lost = source.gone or now_ns - source.heard_ns > source.limit_ns
            self._doubt(Why.LOST, name, source, lost, now_ns)
        self._entries += self.board.tick(now_ns)

    # -- what people do

    def act(self, do: str, seen: list[tuple[str, int]], by: str, now_ns: int) -> bool:
        """Acknowledge, pause, switch off or on; say whether anything changed."""
        if do == "ack":
            entries = self.board.acknowledge(seen, by, now_ns)
        else:
            how = {"pause": Activation.PAUSED, "off": Activation.OFF}.get(do, Activation.ON)
            entries = self.board.signal(how, by, now_ns)
        self._entries += entries
        return bool(entries)

    # -- what goes out

    def due(self, now_ns: int) -> list[tuple[Channel, dict[str, Any]]]:
        """Return what is to be published now: log lines, then the state; at most ten a second."""
        if not self._entries or now_ns - self._shown_ns < AGAIN_NS:
            return []
        entries, self._entries, self._shown_ns = self._entries, [], now_ns
        lines = [(LOG, cast(dict[str, Any], msgspec.to_builtins(entry))) for entry in entries]
        return [*lines, (STATE, msgspec.to_builtins(self.board.snapshot(now_ns)))]

    # -- the rules

    def _report(self, name: str, source: Source, delivery: Delivery, now_ns: int) -> None:
        header = delivery.header
        alarm = cast(AlarmValue, delivery.sample().value)
        key = (delivery.frame.address, alarm.id)
        order = header.epoch, header.seq  # and not its time: a clock that ran ahead is put right
        if order < self._told.get(key, (0, 0)):
            return  # from before what is known, asked back late
        self._told[key] = order
        while len(self._told) > 4 * 256:
            del self._told[next(iter(self._told))]
        if source.epoch is not None and header.epoch > source.epoch:
            self._entries += self.board.restarted(name, header.epoch, now_ns)
        source.epoch = max(source.epoch or 0, header.epoch)
        at_ns = header.bus_ns if now_ns - DAY_NS < header.bus_ns <= now_ns else now_ns
        flags = int(delivery.flags)
        self._entries += self.board.report(name, alarm, at_ns, epoch=header.epoch, flags=flags)
        self._judge(name, source, delivery.channel, bool(flags & Flags.INVALID), now_ns)

    def _judge(self, name: str, source: Source, channel: Channel, bad: bool, now_ns: int) -> None:
        known = source.valid.get(channel.name)
        if known is None:
            if not bad:
                return
            known = source.valid[channel.name] = Debounce()
        stands = known.take(bad, now_ns)
        self._doubt(Why.INVALID, name, source, stands, now_ns, channel)

    def _doubt_again(self, name: str, source: Source) -> None:
        """Go on doubting what an earlier gateway did, so that it ends when it is over."""
        for one in self.board.conditions.values():
            if one.own and one.device == name and one.said.holds:
                if one.channel:
                    source.valid[one.channel] = Debounce(stands=True)
                elif one.id.startswith(f"{ROOM}/{Why.CLOCK}/"):
                    source.clock = Debounce(stands=True)

    def _doubt(
        self,
        why: Why,
        name: str,
        source: Source,
        present: bool,
        now_ns: int,
        channel: Channel | None = None,
    ) -> None:
        text = {}
        if present:
            what = channel.label if channel is not None else {}
            for language, words in WORDS[why].items():
                named = [source.label.get(language) or name, what.get(language, "")]
                text[language] = f"{' '.join(part for part in named if part)}: {words}"
        where = channel.name if channel is not None else ""
        self._entries += self.board.doubt(why, name, present, now_ns, channel=where, text=text)


def _invalid(delivery: Delivery) -> bool:
    """Whether a device says of its own value that it must not be used."""
    if delivery.flags & Flags.INVALID:
        return True
    if delivery.channel.kind is not Kind.NUMERIC:
        return False
    return cast(NumericValue, delivery.sample().value).validity is Validity.INVALID
