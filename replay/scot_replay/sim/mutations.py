"""Bugs to plant in the production cores, each in one place, to see that the simulation finds them.

None of it is in production code: a mutation replaces one attribute of one class or module while a
simulation runs, and puts it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from scot.bus import desk, publisher
from scot.bus.client import Client
from scot.bus.desk import Desk
from scot.bus.filler import Filler
from scot.bus.relay import Relay
from scot.bus.session import Session
from scot.clock.estimator import Estimator
from scot.errors import ConfigError
from scot.gap import GapDetector, Missing, Verdict
from scot.health.report import Reports
from scot.history import History, HistoryReply
from scot_replay import journal
from scot_replay.facts import Safe
from scot_replay.index import Seen
from scot_replay.losses import GivenUp
from scot_replay.open_journal import OpenJournal
from scot_replay.sim import recording
from scot_replay.sim.world import S


class Mutation(NamedTuple):
    """One bug.

    Attributes:
        text: what is wrong then.
        of: class or module.
        name: of the attribute that is replaced.
        make: returns the replacement, given the original.
    """

    text: str
    of: Any
    name: str
    make: Callable[[Any], Any]


def _begins_late(original: Any) -> Any:
    def miss(self: GapDetector, gap: Missing) -> None:
        original(self, Missing(gap.epoch, min(gap.first + 1, gap.last), gap.last))

    return miss


def _lets_twice(original: Any) -> Any:
    def on(self: GapDetector, epoch: int, seq: int) -> Verdict:
        verdict: Verdict = original(self, epoch, seq)
        return Verdict.NEXT if verdict is Verdict.DUPLICATE else verdict

    return on


def _forgets_soon(original: Any) -> Any:
    def add(self: History, *more: Any) -> None:
        self.keep_ns = 1_000_000_000
        original(self, *more)

    return add


def _asks_once(original: Any) -> Any:
    def settle(self: Filler, fill: Any, now_ns: int) -> None:
        self._end(fill)

    return settle


def _keeps_all(original: Any) -> Any:
    def put(self: publisher.Lane, *more: Any) -> Any:
        kept, self._keep_bytes = self._keep_bytes, 1 << 60
        frames = original(self, *more)
        self._keep_bytes = kept
        return frames

    return put


def _asks_where_it_was(original: Any) -> Any:
    def hear(self: Desk, identity: bytes, user: str, now_ns: int) -> None:
        original(self, self._place.get(user, identity), user, now_ns)

    return hear


def _tells_no_new_broker(original: Any) -> Any:
    def on_welcome(self: Session, welcome: Any, now_ns: int) -> Any:
        self._told = welcome.broker
        return original(self, welcome, now_ns)

    return on_welcome


def _serves_disk_alone(original: Any) -> Any:
    def own_history(self: Client, ask: Any) -> HistoryReply:
        return HistoryReply() if self._serving else original(self, ask)

    return own_history


def _believes_sync(original: Any) -> Any:
    def end_sync(self: OpenJournal, error: OSError | None = None) -> None:
        original(self, None)

    return end_sync


def _safe_at_once(original: Any) -> Any:
    def written(self: OpenJournal, *more: Any) -> None:
        original(self, *more)
        self.safe = Safe(self.part.number, self._end)

    return written


def _takes_without_end(original: Any) -> Any:
    def put(self: OpenJournal, arrivals: Any) -> None:
        limit, self.max_waiting = self.max_waiting, 1 << 60
        original(self, arrivals)
        self.max_waiting = limit

    return put


def _always_true(original: Any) -> Any:
    return lambda self, *more: True


def _never_true(original: Any) -> Any:
    return lambda self, *more: False


def _nothing(original: Any) -> Any:
    return lambda self, *more: None


def _no_map(original: Any) -> Any:
    return lambda self, *more: {}


def _no_list(original: Any) -> Any:
    return lambda self, *more: []


def _any_crc(original: Any) -> Any:
    class Same:
        """A CRC that fits whatever it is compared with."""

        @staticmethod
        def iscsi(data: bytes) -> Any:
            return _Equal(original.iscsi(data))

    return Same


class _Equal(int):
    def __ne__(self, other: object) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


MUTATIONS = {
    "gap-begins-late": Mutation(
        "a gap of several samples is noted without its first", GapDetector, "_miss", _begins_late
    ),
    "duplicate-passes": Mutation(
        "a sample that came before is delivered again", GapDetector, "on", _lets_twice
    ),
    "history-forgets": Mutation(
        "a publisher keeps one second of what it sent", History, "add", _forgets_soon
    ),
    "asks-once": Mutation(
        "a gap whose holder cannot be reached is not asked for again", Filler, "_settle", _asks_once
    ),
    "lane-unbounded": Mutation(
        "a publisher keeps all that waits", publisher.Lane, "put", _keeps_all
    ),
    "no-heads": Mutation(
        "health does not say how far the channels have come", Reports, "heads", _no_map
    ),
    "open-door": Mutation("any key may publish any address", Relay, "_judge", _always_true),
    "silence-unseen": Mutation("the desk notices no silent host", Desk, "tick", _no_list),
    "silence-late": Mutation(
        "a silent host is given two seconds, and a tick", desk, "SILENT_NS", lambda original: 2 * S
    ),
    "old-place": Mutation(
        "a holder is asked where it was first heard", Desk, "_hear", _asks_where_it_was
    ),
    "told-no-more": Mutation(
        "a new broker is not told of devices and servers",
        Session,
        "_on_welcome",
        _tells_no_new_broker,
    ),
    "own-samples-lost": Mutation(
        "who serves History for others forgets its own", Client, "own_history", _serves_disk_alone
    ),
    "step-unseen": Mutation("a clock's step is no step", Estimator, "_begin_anew", _nothing),
    "sync-believed": Mutation(
        "a sync that failed is taken for one that did not", OpenJournal, "end_sync", _believes_sync
    ),
    "safe-at-once": Mutation(
        "what was written is taken to be on the disk", OpenJournal, "_written", _safe_at_once
    ),
    "sync-rare": Mutation(
        "the journal is forced down each second and a half",
        recording,
        "SYNC_S",
        lambda original: 1.5,
    ),
    "flush-rare": Mutation(
        "the journal is written twice a second", recording, "FLUSH_S", lambda original: 0.5
    ),
    "loss-unsaid": Mutation("what the disk did not take is not counted", GivenUp, "lose", _nothing),
    "waiting-unbounded": Mutation(
        "all may wait for the disk", OpenJournal, "put", _takes_without_end
    ),
    "crc-ignored": Mutation("a damaged record is read all the same", journal, "crc32", _any_crc),
    "rot-ends-reading": Mutation(
        "what stands behind a damaged record is not read", journal.JournalReader, "_next", _nothing
    ),
    "written-twice": Mutation(
        "a recorder forgets what its last life wrote", Seen, "has", _never_true
    ),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a bug for as long as the context lasts; none when the name is empty.

    Raises:
        ConfigError: there is no such bug.
    """
    if not name:
        yield
        return
    if name not in MUTATIONS:
        raise ConfigError(
            "--mutate", name, "there is no such bug", f"one of {', '.join(MUTATIONS)}"
        )
    bug = MUTATIONS[name]
    original = getattr(bug.of, bug.name)
    setattr(bug.of, bug.name, bug.make(original))
    try:
        yield
    finally:
        setattr(bug.of, bug.name, original)
