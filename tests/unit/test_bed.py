"""The bed's arithmetic: what counts as an error, a found step, a broken promise."""

from __future__ import annotations

import os

import numpy as np
import pytest

from benchmarks.bed.bent import Bent
from benchmarks.bed.ends import Look
from benchmarks.bed.figures import figures, missed
from benchmarks.bed.wire import Way

S = 1_000_000_000
STEPS = [(20 * S, 20_000_000), (30 * S, -4_000_000)]


def looks(error_ns: int, epochs: dict[int, int], bound_ns: int = 500_000) -> list[Look]:
    """One look each 100 ms for 40 s; epochs by the tenth of a second in which they begin."""
    rows, epoch = [], 0
    for i in range(400):
        epoch = epochs.get(i, epoch)
        rows.append(Look(i * S // 10, error_ns, bound_ns, 100_000, epoch))
    return rows


def test_the_bent_clock_gains_and_steps() -> None:
    bent = Bent(10 * S, 200_000, [(20 * S, 5_000)])
    assert bent.at(10 * S) == 10 * S
    assert bent.at(20 * S - 1) == 20 * S - 1 + 1_999_999
    assert bent.at(20 * S) == 20 * S + 2_000_000 + 5_000


def test_errors_are_of_the_calm_between_settling_and_the_first_step() -> None:
    ours = [
        Look(r.true_ns, -900_000 if r.true_ns < 10 * S or r.true_ns >= 20 * S else -40_000, S)
        for r in looks(0, {})
    ]
    got = figures(ours, looks(400_000, {}), 10 * S, STEPS)
    assert got.ours.looks == 100
    assert got.ours.p95_us == got.ours.max_us == 40.0
    assert got.peer.p50_us == 400.0
    assert missed("LAN", figures(looks(40_000, {}), looks(400_000, {}), 10 * S, [])) == []


def test_a_step_is_found_by_the_epoch_that_follows_it() -> None:
    got = figures(looks(0, {203: 1, 304: 2}), [], 10 * S, STEPS)
    assert [step.found_s for step in got.steps] == [pytest.approx(0.3), pytest.approx(0.4)]
    assert got.false_epochs == 0


def test_an_epoch_without_a_step_and_a_step_without_an_epoch_are_told() -> None:
    got = figures(looks(0, {150: 1, 203: 2}), looks(1, {}), 10 * S, STEPS)
    assert got.false_epochs == 1
    assert [step.found_s for step in got.steps] == [pytest.approx(0.3), None]
    assert missed("asymmetric 3:1", got) == [
        "1 false epochs",
        "step of -4 ms not found within 5 s",
    ]


def test_a_broken_guarantee_counts_except_while_a_step_is_not_yet_found() -> None:
    ours = looks(0, {203: 1, 304: 2})
    ours[201] = ours[201]._replace(error_ns=20_000_000)
    assert figures(ours, [], 10 * S, STEPS).outside == 0
    ours[210] = ours[210]._replace(error_ns=-600_000)
    got = figures(ours, [], 10 * S, STEPS)
    assert got.outside == 1
    assert "the guaranteed bound did not hold at 1 looks" in missed("400 ms", got)


def test_the_peer_must_be_beaten_by_the_stated_ratio() -> None:
    got = figures(looks(200_000, {}), looks(400_000, {}), 10 * S, [])
    assert missed("LAN", got) == ["p95 is 0.50x the peer's (≤ 0.25)"]


def test_a_wire_keeps_order_whatever_the_delays() -> None:
    delays = iter([5.0, 0.0, 0.0])
    read, write = os.pipe()
    try:
        way = Way(write, lambda _rng, _t: next(delays), 0.0, np.random.default_rng(7))
        for packet in (b"a", b"b", b"c"):
            way.put(packet)
        while way.flush() is not None:
            pass
        assert os.read(read, 10) == b"abc"
    finally:
        os.close(read)
        os.close(write)


def test_a_wire_loses_its_share() -> None:
    read, write = os.pipe()
    try:
        way = Way(write, lambda _rng, _t: 0.0, 0.5, np.random.default_rng(7))
        for _ in range(1000):
            way.put(b"x")
        way.flush()
        assert 400 < len(os.read(read, 2000)) < 600
    finally:
        os.close(read)
        os.close(write)
