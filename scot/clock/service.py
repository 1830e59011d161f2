"""The clock service beside the broker: it estimates every client's clock from its probes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.estimator import Estimator
from scot.clock.probe import (
    BURST,
    BURST_EVERY_NS,
    ZMQ,
    Probe,
    Reply,
    Request,
    encode,
    read_request,
)
from scot.errors import ClockError, RemoteProtocolError
from scot.timestamp import ClockState

MAX_SOURCES = 1_000
MAX_OF_KEY = 64
MOST_EVERY_NS = BURST_EVERY_NS // 2  # over any longer time; each exchange becomes a row for all
AT_ONCE_NS = 2 * BURST * MOST_EVERY_NS
IDLE_NS = 30_000_000_000
UNDER_WAY = 64


class _Source:
    """One client's clock as far as it is known."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.estimator = Estimator()
        self.last: Probe | None = None  # comes again until the next answer is there
        self.maps = 0
        self.heard_ns = 0
        self.used_ns = -AT_ONCE_NS  # up to here its share of rows is used
        self.answered: dict[int, tuple[int, int, str]] = {}  # t1: t2, t3, way; not yet returned

    def answer(self, t1_ns: int, t2_ns: int, t3_ns: int, way: str) -> None:
        """Note an answer that was given."""
        self.answered[t1_ns] = t2_ns, t3_ns, way
        if len(self.answered) > UNDER_WAY:
            del self.answered[next(iter(self.answered))]

    def returned(self, probe: Probe, now_ns: int) -> str | None:
        """Return by which way a returned answer was asked; None when it does not count.

        It is not ours then, or older than one that counted, or one too many.
        """
        answered = self.answered
        t2_ns, t3_ns, way = answered.get(probe.t1_ns, (-1, -1, ""))
        used_ns = max(self.used_ns, now_ns - AT_ONCE_NS) + MOST_EVERY_NS
        if (t2_ns, t3_ns) != (probe.t2_ns, probe.t3_ns) or used_ns > now_ns:
            return None
        while next(iter(answered)) != probe.t1_ns:  # an older answer that comes now is too late
            del answered[next(iter(answered))]
        del answered[probe.t1_ns]
        self.last = probe
        self.used_ns = used_ns
        return way


class ClockService:
    """Answers probes and keeps one `Estimator` a source.

    An exchange counts once, and only when its answer was this service's own to this source: one
    that is replayed, made up, overheard, or of a service before a restart is refused.

    A source is one process of one user. Of `MAX_SOURCES` the one that has been silent longest makes
    way for a new one, if that is longer than `IDLE_NS`; otherwise the new one gets no map. Of one
    user's `MAX_OF_KEY` it makes way at once, so that no key can use up the places of others. A
    source that completes exchanges faster than any client of ours gets no map for those.

    Attributes:
        refused: exchanges that got no map.
        refused_of: the same for each user.

    Args:
        clock: the session's clock; its map is exact by definition.
        report: gets one plain row a completed probe, to publish and record.

    Raises:
        ClockError: the clock has no map.
    """

    def __init__(self, clock: Clock, report: Callable[[dict[str, Any]], None]) -> None:
        if clock.map is None:
            raise ClockError("the clock service needs the session's own clock")
        self.clock = clock
        self._session = clock.map
        self.refused = 0
        self.refused_of: Counter[str] = Counter()
        self._report = report
        self._sources: dict[str, _Source] = {}  # longest silent first

    def pace(self, bus_ns: int | None, rate: float) -> BusMap:
        """Let bus time go on at another rate, or from a later time; return the session's new line.

        Only a replay does this (its player turns the clock); every source is told with its next
        map, whose epoch is another.

        Raises:
            ClockError: bus time would go back.
        """
        local_ns = self.clock.read()
        now_ns = self._session.at(local_ns)
        if bus_ns is not None and bus_ns < now_ns:
            raise ClockError(f"bus time would go back by {now_ns - bus_ns} ns; it never does")
        self._session = self.clock.map = BusMap(
            0,
            self._session.epoch + 1,
            local_ns,
            now_ns if bus_ns is None else bus_ns,
            rate,
            0,
            0,
            ClockState.LOCKED,
            drift_ppb=0,
            err_ppb=0,
        )
        return self._session

    def on_request(self, user: str, place: str, data: bytes, t2_ns: int, way: str = ZMQ) -> bytes:
        """Return the reply to one probe that came at `t2_ns`.

        Args:
            user: whose key it came with.
            place: names the process, unless its request does.
            data: the request.
            t2_ns: when it came; this clock's reading.
            way: by which it came, `ZMQ` or `UDP`.

        Raises:
            RemoteProtocolError: the probe is malformed, impossible, or from the future.
        """
        try:
            request = self._read(data, t2_ns)
        except RemoteProtocolError:
            self.refused += 1
            self.refused_of[user] += 1
            raise
        source = f"{user}-{request.instance.hex() or place}"
        row: BusMap | None = None
        known = self._known(source, user, t2_ns)
        probe = request.previous
        if known is not None and probe is not None and probe != known.last:
            row = self._believed(source, known, probe, t2_ns)
        t3_ns = self.clock.read()
        if known is not None:
            known.answer(request.t1_ns, t2_ns, t3_ns, way)
        return encode(Reply(request.t1_ns, t2_ns, t3_ns, row))

    def _read(self, data: bytes, now_ns: int) -> Request:
        request = read_request(data)
        probe = request.previous
        if probe is not None and probe.t3_ns > now_ns:
            raise RemoteProtocolError(
                f"clock probe says it was answered at {probe.t3_ns} ns; here it is {now_ns}"
            )
        return request

    def _believed(self, source: str, known: _Source, probe: Probe, now_ns: int) -> BusMap | None:
        """Return the map after an exchange, None when it does not count."""
        way = known.returned(probe, now_ns)
        if way is None:
            self.refused += 1
            self.refused_of[known.user] += 1
            return None
        return self._estimate(source, known, probe, way)

    def again(self, source: str, probe: Probe, *, first: bool, way: str | None = ZMQ) -> BusMap:
        """Return the map of a recorded probe, which `report` gets as it did then.

        Args:
            source: who probed.
            probe: the exchange, checked when it was recorded.
            first: begin with this source anew, as the service then did.
            way: by which it came; None when that was not recorded yet.
        """
        if first or source not in self._sources:
            self._sources[source] = _Source("")
        return self._estimate(source, self._sources[source], probe, way)

    def _known(self, source: str, user: str, now_ns: int) -> _Source | None:
        sources = self._sources
        known = sources.pop(source, None)
        if known is None:
            if not self._room_for(user, now_ns):
                self.refused += 1
                return None
            known = _Source(user)
        known.heard_ns = now_ns
        sources[source] = known
        return known

    def _room_for(self, user: str, now_ns: int) -> bool:
        """Make room for one more source of a user, if there is any to be had."""
        sources = self._sources
        theirs = [name for name, known in sources.items() if known.user == user]
        if len(theirs) >= MAX_OF_KEY:
            del sources[theirs[0]]
        elif len(sources) >= MAX_SOURCES:
            silent, oldest = next(iter(sources.items()))
            if now_ns - oldest.heard_ns < IDLE_NS:
                return False
            del sources[silent]
        return True

    def _estimate(self, source: str, known: _Source, probe: Probe, way: str | None) -> BusMap:
        estimator = known.estimator
        line = estimator.add(probe)
        session = self._session
        known.maps += 1
        row = BusMap(
            id=known.maps,
            epoch=estimator.epoch + session.epoch,
            local_ns=line.at_ns,
            bus_ns=session.at(line.at_ns + line.offset_ns),
            rate=session.rate * (1.0 + line.skew),
            bound_ns=round(line.bound_ns * session.rate),
            err_ns=round(line.err_ns * session.rate),
            state=estimator.state,
            drift_ppb=math.ceil(line.drift * session.rate * 1e9),
            err_ppb=math.ceil(line.err_drift * session.rate * 1e9),
        )
        self._report(as_row(source, probe, row, session, way))
        return row


def as_row(
    source: str, probe: Probe, given: BusMap, session: BusMap, way: str | None
) -> dict[str, Any]:
    """Return the plain row that is published and recorded: all that it takes to do it again."""
    row: dict[str, Any] = {
        "source": source,
        "t1_ns": probe.t1_ns,
        "t2_ns": probe.t2_ns,
        "t3_ns": probe.t3_ns,
        "t4_ns": probe.t4_ns,
        "map_id": given.id,
        "epoch": given.epoch,
        "local_ns": given.local_ns,
        "bus_ns": given.bus_ns,
        "rate": given.rate,
        "bound_ns": given.bound_ns,
        "err_ns": given.err_ns,
        "drift_ppb": given.drift_ppb,
        "err_ppb": given.err_ppb,
        "state": given.state.label,
        "session_local_ns": session.local_ns,
        "session_bus_ns": session.bus_ns,
        "session_rate": session.rate,
    }
    if way is not None:
        row["way"] = way
    return row
