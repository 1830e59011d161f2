"""``/metrics``: the room's health for Prometheus, from the same events that everybody reads.

A program asks with the room's metrics token; people's sessions and the wall's secret do not open
it, and it opens nothing else. Labels name devices, classes, keys and counters: never a case, a
person or a reason. What a device said too long ago is left out, so that no old number looks new.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from scot import __version__
from scot.access import write_private
from scot.channel import Catalogue, Lifecycle
from scot.clock import machine
from scot.clock.clock import Clock
from scot.health import Health, HealthWatch, Lane, Times
from scot.timestamp import ClockState
from scot_dashboard.door import RefusedError
from scot_dashboard.gateway import Gateway
from scot_dashboard.recorded import Recorded

TOKEN_FILE = "metrics.token"  # noqa: S105 - the file's name
BEARER = "Bearer "
Family = CounterMetricFamily | GaugeMetricFamily
Value = float | int | None

_LANES: tuple[tuple[str, str, str], ...] = (
    ("samples_total", "samples", "Samples {way}."),
    ("bytes_total", "bytes", "Bytes {way}."),
)
_PLAIN: tuple[tuple[str, str, Callable[[Health], Value]], ...] = (
    ("scot_device_sample_age_seconds", "Age of the newest sample.", lambda h: h.age_s),
    ("scot_device_silent_channels", "Channels older than they may be.", lambda h: len(h.silent)),
    ("scot_device_reconnects_total", "Reconnects to the device.", lambda h: h.reconnects),
    ("scot_process_restarts_total", "Times the process was started again.", lambda h: h.restarts),
    ("scot_broker_changes_total", "Times it met a new broker.", lambda h: h.rejoined),
    ("scot_written_bytes_total", "Bytes recorded.", lambda h: h.bytes),
    ("scot_unwritten_bytes", "Bytes taken and not yet recorded.", lambda h: h.waiting_bytes),
    ("scot_unwritten_samples_total", "Samples that could not be recorded.", lambda h: h.lost),
    ("scot_unsealed_journals", "Journals to be sealed.", lambda h: h.sealing),
    ("scot_disk_free_bytes", "Disk left to the recorder.", lambda h: _left(h.disk_left_bytes)),
    ("scot_disk_left_seconds", "Disk left at the present rate.", lambda h: h.disk_left_s),
    ("scot_pages", "Open pages.", lambda h: h.viewers),
    ("scot_page_samples_left_out_total", "Not sent to slow pages.", lambda h: h.left_out),
    ("scot_page_pictures_unshown_total", "Not asked for by pages.", lambda h: h.unshown),
    ("scot_page_queue_bytes", "Bytes that wait for all pages.", lambda h: h.queued_bytes),
    ("scot_slowest_page_queue_bytes", "Bytes for the slowest page.", lambda h: h.slowest_bytes),
    ("scot_forwarded_samples_total", "Samples the broker forwarded.", lambda h: h.forwarded),
    ("scot_refused_total", "Requests, or connections, refused.", lambda h: h.refused),
    ("scot_admitted_total", "Connections with a key of the room.", lambda h: h.admitted),
    ("scot_misasked_total", "Requests to the desk refused.", lambda h: h.misasked),
    ("scot_subscriptions", "Prefixes that are listened to.", lambda h: h.subscriptions),
    ("scot_history_questions", "History questions under way.", lambda h: h.questions),
    ("scot_connections_cut_total", "Cut: revoked or expired keys.", lambda h: h.cuts),
    ("scot_half_open_ended_total", "Handshakes ended: too many.", lambda h: h.half_open_ended),
    ("scot_addresses_shut_out", "Addresses shut out now.", lambda h: h.shut_out),
    ("scot_audit_rows_lost_total", "Audit rows not written.", lambda h: h.audit_lost),
    ("scot_faults_total", "Messages the broker could not handle.", lambda h: h.faults),
)
_MISSED: tuple[tuple[str, str, str], ...] = (
    ("scot_missing_samples", "missing", "Samples missing now."),
    ("scot_backfilled_samples_total", "backfilled", "Samples asked back from History."),
    ("scot_duplicate_samples_total", "duplicates", "Samples that came twice, taken once."),
    ("scot_malformed_samples_total", "malformed", "Samples that could not be read."),
)


class RoomCollector(Collector):
    """Makes the families of one scrape.

    Args:
        watch: of the room's healths.
        catalogue: returns the newest.
        clock: bus time.
    """

    def __init__(
        self, watch: HealthWatch, catalogue: Callable[[], Catalogue], clock: Clock | Recorded
    ) -> None:
        self.watch = watch
        self.catalogue = catalogue
        self.clock = clock

    def collect(self) -> Iterator[Family]:
        """Yield every family that has a value now."""
        catalogue, now_ns = self.catalogue(), self.clock.now()
        labels = ["workspace", "replay", "version"]
        who = (catalogue.workspace, str(catalogue.replay).lower(), __version__)
        yield from _family("scot_room_info", "The room, and its SCOT.", labels, [(who, 1)])
        fresh = {
            name: health
            for name in catalogue.devices
            if (health := self.watch.now(name, now_ns)) is not None
        }
        yield from self._devices(catalogue, fresh, now_ns)
        for name, text, read in _PLAIN:
            yield from _family(name, text, ["device"], (((d,), read(h)) for d, h in fresh.items()))
        for name, field, text in _MISSED:
            rows = (((d,), getattr(h.received, field)) for d, h in fresh.items() if h.received)
            yield from _family(name, text, ["device"], rows)
        yield from _flows(fresh)
        yield from _clocks(fresh)
        yield from _counts(fresh)

    def _devices(
        self, catalogue: Catalogue, fresh: dict[str, Health], now_ns: int
    ) -> Iterator[Family]:
        up = [
            ((name,), int(device.state is Lifecycle.RUNNING and name in fresh))
            for name, device in catalogue.devices.items()
        ]
        yield from _family("scot_device_up", "Running, and heard of lately.", ["device"], up)
        states = [
            ((name, state.value), int(device.state is state))
            for name, device in catalogue.devices.items()
            for state in Lifecycle
        ]
        labels = ["device", "state"]
        yield from _family("scot_device_state", "1 for the state it is in.", labels, states)
        ages = [
            ((name,), (now_ns - known.at_ns) / 1e9)
            for name in catalogue.devices
            if (known := self.watch.newest(name)) is not None
        ]
        yield from _family("scot_health_age_seconds", "Age of its health.", ["device"], ages)
        bad = [((name,), count) for name, count in self.watch.bad.items()]
        yield from _family("scot_unreadable_healths_total", "No health.", ["device"], bad)


def _left(size: int | None) -> int | None:
    return None if size is None or size < 0 else size


def _family(
    name: str, text: str, labels: list[str], rows: Iterable[tuple[tuple[str, ...], Value]]
) -> Iterator[Family]:
    """Yield a family, a counter when its name ends in ``_total``; nothing when it has no value."""
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family: Family = kind(name, text, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(list(values), value)
    if family.samples:
        yield family


def _flows(fresh: dict[str, Health]) -> Iterator[Family]:
    """Yield what was sent and received by class, and what waits and was given up."""
    labels = ["device", "class"]
    for way in ("sent", "received"):
        lanes = [
            ((device, name), lane)
            for device, health in fresh.items()
            if (flow := getattr(health, way)) is not None
            for name, lane in (("ctl", flow.ctl), ("bulk", flow.bulk))
        ]
        for suffix, field, text in _LANES:
            rows = ((values, getattr(lane, field)) for values, lane in lanes)
            yield from _family(f"scot_{way}_{suffix}", text.format(way=way), labels, rows)
        if way == "sent":
            yield from _queues(lanes)


def _queues(lanes: list[tuple[tuple[str, str], Lane]]) -> Iterator[Family]:
    labels = ["device", "class"]
    waiting = [(values, lane.waiting) for values, lane in lanes]
    yield from _family("scot_waiting_samples", "Waiting for credit.", labels, waiting)
    dropped = [(values, lane.dropped) for values, lane in lanes]
    yield from _family("scot_dropped_samples_total", "Given up, unsent.", labels, dropped)


def _clocks(fresh: dict[str, Health]) -> Iterator[Family]:
    """Yield how well times are known: of hosts' clocks, and of devices' samples."""
    known: list[tuple[str, str, Times]] = []
    for device, health in fresh.items():
        for of, times in (("host", health.clock), ("device", health.times)):
            if times is not None:
                known.append((device, of, times))
    states = (
        ((device, of, state.label), int(times.state == state.label))
        for device, of, times in known
        for state in ClockState
    )
    labels = ["device", "of", "state"]
    yield from _family("scot_clock_state", "1 for the state it is in.", labels, states)
    for name, field, text in (
        ("scot_clock_likely_error_seconds", "err_ns", "Likely (95 %) error of its time."),
        ("scot_clock_sure_error_seconds", "bound_ns", "Guaranteed bound of its time's error."),
        ("scot_clock_declared_accuracy_seconds", "accuracy_ns", "As the device declares it."),
    ):
        rows = [
            ((device, of), None if (ns := getattr(times, field)) is None else ns / 1e9)
            for device, of, times in known
        ]
        yield from _family(name, text, ["device", "of"], rows)
    steps = [((device, of), times.epoch) for device, of, times in known if of == "host"]
    yield from _family("scot_clock_steps_total", "Steps of the clock.", ["device", "of"], steps)


def _counts(fresh: dict[str, Health]) -> Iterator[Family]:
    """Yield what providers count, what the broker denied by key, and probes refused by key."""
    counted = [
        ((device, name), count)
        for device, health in fresh.items()
        for name, count in health.counts.items()
    ]
    labels = ["device", "event"]
    yield from _family("scot_provider_events_total", "Counted by its provider.", labels, counted)
    denied = [((key,), n) for health in fresh.values() for key, n in health.denied_of.items()]
    text = "Samples and subscriptions that no grant of the key holds."
    yield from _family("scot_denied_total", text, ["key"], denied)
    withheld = [
        ((key,), ticks / 10)
        for health in fresh.values()
        for key, ticks in health.withheld_of.items()
    ]
    text = "Time a key over its quota had to wait."
    yield from _family("scot_withheld_seconds_total", text, ["key"], withheld)
    probes = [
        ((key,), count)
        for health in fresh.values()
        for key, count in health.probes_refused_of.items()
    ]
    yield from _family("scot_probes_refused_total", "Clock probes refused.", ["key"], probes)


def token_of(state: Path) -> str:
    """Return the room's metrics token; it outlives restarts, so that a scraper keeps it.

    Raises:
        OSError: it can be neither read nor written.
    """
    path = state / TOKEN_FILE
    try:
        token = path.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        token = ""
    if len(token) < 32:
        token = secrets.token_urlsafe(32)
        write_private(path, token.encode())
    return token


class Metrics:
    """Answers Prometheus.

    Args:
        gateway: whose room it is.
        token: what a scraper must show.
        public: Host under which people outside reach the page; metrics are refused there.
    """

    def __init__(self, gateway: Gateway, token: str, public: str = "") -> None:
        self.gateway = gateway
        self._token = token
        self._public = public
        self._registry = CollectorRegistry(auto_describe=False)
        connection = gateway.connection
        self._registry.register(
            RoomCollector(gateway.health, lambda: connection.catalogue, gateway.time)
        )

    def add_to(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route("/metrics", self.scrape, methods=["GET"])

    async def scrape(self, request: Request) -> Response:
        """Answer one scrape, in the format it asks for.

        Raises:
            RefusedError: from outside, or without the token.
        """
        try:
            self._may(request)
        except RefusedError as refused:
            address = request.client.host if request.client else ""
            self.gateway.counters["refused"] += 1
            self.gateway.audit.refused(
                "metrics", refused.status, str(refused), address, machine.utc_ns(), None
            )
            raise
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"Content-Type": media_type})

    def _may(self, request: Request) -> None:
        if self._public and request.headers.get("host", "").lower() == self._public:
            raise RefusedError(403, "metrics are for this machine; scrape its loopback address")
        given = request.headers.get("authorization", "")
        shown = given.removeprefix(BEARER) if given.startswith(BEARER) else ""
        if not secrets.compare_digest(shown.encode(), self._token.encode()):
            raise RefusedError(401, f"show the token in {TOKEN_FILE} of the room's state folder")
