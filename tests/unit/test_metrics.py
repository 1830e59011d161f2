"""What Prometheus reads is the room's health, and the parser of its own client reads it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from scot import __version__
from scot.channel import Catalogue, Lifecycle
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.codec import encode
from scot.health import HEALTH, HealthWatch
from scot.sample import Flags, Sample
from scot.timestamp import ClockState, Timestamp
from scot_dashboard.metrics import RoomCollector, token_of
from tests.unit.gateway_room import PATIENT, START_NS, catalogue

S = 1_000_000_000
SESSION = BusMap(0, 0, 0, START_NS, 1.0, 0, 0, ClockState.LOCKED, drift_ppb=0)
MONITOR: dict[str, Any] = {
    "state": "running",
    "reason": f"bed of {PATIENT}",
    "age_s": 0.25,
    "silent": {"ecg_ii": 8.0},
    "sent": {
        "ctl": {"samples": 1200, "bytes": 90_000, "samples_hz": 99.0, "waiting": 5, "dropped": 2},
    },
    "times": {"state": "one-way", "bound_ns": None, "err_ns": 2_500_000, "accuracy_ns": None},
    "clock": {"state": "locked", "bound_ns": 400_000, "err_ns": 90_000, "epoch": 1},
    "rejoined": 1,
    "restarts": 2,
    "reconnects": 3,
    "bad_crc": 4,
}
ROOM = {
    "denied": 3,
    "denied_of": {"tracker": 3},
    "refused": 6,
    "half_open_ended": 7,
    "shut_out": 1,
    "probes_refused_of": {"scope": 3},
}
RECORDER = {
    "received": {"ctl": {"samples": 10}, "missing": 1, "backfilled": 7, "duplicates": 2},
    "disk_left_bytes": 5_000,
    "disk_left_s": 77.5,
    "lost": 0,
}


def scraped(
    accept: str = "", *, age_ns: int = S, shown: Catalogue | None = None, **said: dict[str, Any]
) -> tuple[bytes, str]:
    """What a scraper gets when devices said these healths `age_ns` ago."""
    watch = HealthWatch()
    for name, value in said.items():
        time = Timestamp(None, START_NS, 0, 0, ClockState.LOCKED)
        sample = Sample(f"or1/{name}/health", 1, 0, time, Flags(0), value)
        watch.take(encode(sample, HEALTH.kind))
    registry = CollectorRegistry(auto_describe=False)
    room = shown or catalogue()
    clock = Clock(SESSION, read=lambda: age_ns)
    registry.register(RoomCollector(watch, lambda: room, clock))
    encoder, media_type = choose_encoder(accept)
    return encoder(registry), media_type


def values(data: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return each sample's value by its name and the values of its labels, as they are declared."""
    order = ("workspace", "replay", "version", "device", "class", "of", "state", "event", "key")
    return {
        (sample.name, tuple(sample.labels[name] for name in order if name in sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(data.decode())
        for sample in family.samples
    }


def test_what_a_device_says_is_what_is_scraped_in_base_units() -> None:
    found = values(scraped(monitor=MONITOR)[0])
    assert found["scot_room_info", ("or1", "false", __version__)] == 1
    assert found["scot_device_up", ("monitor",)] == 1
    assert found["scot_device_sample_age_seconds", ("monitor",)] == 0.25
    assert found["scot_device_silent_channels", ("monitor",)] == 1
    assert found["scot_sent_samples_total", ("monitor", "ctl")] == 1200
    assert found["scot_waiting_samples", ("monitor", "ctl")] == 5
    assert found["scot_dropped_samples_total", ("monitor", "ctl")] == 2
    assert found["scot_clock_likely_error_seconds", ("monitor", "device")] == 0.0025
    assert found["scot_clock_sure_error_seconds", ("monitor", "host")] == 0.0004
    assert found["scot_clock_state", ("monitor", "device", "one-way")] == 1
    assert found["scot_clock_state", ("monitor", "device", "locked")] == 0
    assert found["scot_clock_steps_total", ("monitor", "host")] == 1
    assert found["scot_process_restarts_total", ("monitor",)] == 2
    assert found["scot_device_reconnects_total", ("monitor",)] == 3
    assert found["scot_provider_events_total", ("monitor", "bad_crc")] == 4
    assert ("scot_clock_sure_error_seconds", ("monitor", "device")) not in found


def test_the_broker_tells_of_keys_and_the_recorder_of_its_disk() -> None:
    shown = catalogue()
    devices = {**shown.devices}
    for name in ("room", "recorder"):
        devices[name] = type(devices["monitor"])(name=name, provider="x", state=Lifecycle.RUNNING)
    shown = Catalogue(workspace="or1", devices=devices)
    found = values(scraped(shown=shown, room=ROOM, recorder=RECORDER)[0])
    assert found["scot_denied_total", ("tracker",)] == 3
    assert found["scot_probes_refused_total", ("scope",)] == 3
    assert found["scot_refused_total", ("room",)] == 6
    assert found["scot_half_open_ended_total", ("room",)] == 7
    assert found["scot_addresses_shut_out", ("room",)] == 1
    assert found["scot_missing_samples", ("recorder",)] == 1
    assert found["scot_backfilled_samples_total", ("recorder",)] == 7
    assert found["scot_disk_free_bytes", ("recorder",)] == 5_000
    assert found["scot_disk_left_seconds", ("recorder",)] == 77.5


def test_an_old_health_gives_no_figure_that_looks_new() -> None:
    found = values(scraped(age_ns=4 * S, monitor=MONITOR)[0])
    assert found["scot_device_up", ("monitor",)] == 0
    assert found["scot_health_age_seconds", ("monitor",)] == 4
    assert {name for name, labels in found if labels[:1] == ("monitor",)} == {
        "scot_device_up",
        "scot_device_state",
        "scot_health_age_seconds",
    }


def test_nothing_of_the_patient_the_case_or_a_reason_is_in_it() -> None:
    data = scraped(monitor=MONITOR, consult={"reason": PATIENT})[0].decode()
    for word in (*PATIENT.split(), "K-17", "bed", "case", "A-77"):
        assert word not in data


@pytest.mark.parametrize("accept", ["", "text/plain;version=0.0.4"])
def test_every_family_is_of_one_type_and_has_a_help_line(accept: str) -> None:
    data, media_type = scraped(accept, monitor=MONITOR, consult={"viewers": 2})
    assert media_type.startswith("text/plain")
    for family in text_string_to_metric_families(data.decode()):
        assert family.documentation, family.name
        assert family.type == ("counter" if f"{family.name}_total" in data.decode() else "gauge")


def test_openmetrics_is_spoken_to_who_asks_for_it() -> None:
    data, media_type = scraped("application/openmetrics-text;version=1.0.0", monitor=MONITOR)
    assert media_type.startswith("application/openmetrics-text")
    names = {
        family.name
        for family in openmetrics.text_string_to_metric_families(data.decode())  # type: ignore[no-untyped-call]
    }
    assert {"scot_sent_samples", "scot_device_up"} <= names


def test_the_token_is_private_and_outlives_a_restart(tmp_path: Path) -> None:
    token = token_of(tmp_path)
    assert len(token) >= 32
    assert token_of(tmp_path) == token
    path = tmp_path / "metrics.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("short")
    assert len(token_of(tmp_path)) >= 32
