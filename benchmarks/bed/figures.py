"""What the rows of one run say, and whether that is what we are to reach."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec
import numpy as np

from benchmarks.bed.ends import Look

SETTLE = 1 / 3  # of a run: the line through 5±2 ms needs half a minute
STEP_LIMIT_S = 5.0


class Errors(msgspec.Struct, frozen=True):
    """Absolute offset errors of one side, µs; NaN when it had nothing to say."""

    looks: int
    p50_us: float
    p95_us: float
    max_us: float

    @classmethod
    def of(cls, rows: Sequence[Look]) -> Errors:
        """Sum up the rows."""
        if not rows:
            return cls(0, float("nan"), float("nan"), float("nan"))
        error_us = np.abs([row.error_ns for row in rows]) / 1e3
        p50, p95 = np.percentile(error_us, [50, 95])
        return cls(len(rows), float(p50), float(p95), float(error_us.max()))


class StepFound(msgspec.Struct, frozen=True):
    """One step of the device's clock: how long until a new epoch, s; None when never."""

    by_ms: float
    found_s: float | None


class Figures(msgspec.Struct, frozen=True):
    """One run.

    Attributes:
        ours, plain, peer: while nothing stepped and all had time to settle; `plain` is ours by
            ZeroMQ alone.
        outside: looks whose error exceeded the guaranteed bound, a step not yet found excepted.
        unlikely: share of settled looks whose error exceeded the likely error.
        bound_us, err_us: medians of what we claimed.
        plain_bound_us, plain_mean_us, mean_us: sure half-width, and mean error, to compare.
        false_epochs: epochs without a step.
    """

    ours: Errors
    plain: Errors
    peer: Errors
    outside: int
    unlikely: float
    bound_us: float
    err_us: float
    plain_bound_us: float
    plain_mean_us: float
    mean_us: float
    steps: list[StepFound]
    false_epochs: int


def figures(
    ours: list[Look],
    peer: list[Look],
    from_ns: int,
    steps: Sequence[tuple[int, int]],
    plain: Sequence[Look] = (),
) -> Figures:
    """Compare both logs with the truth.

    Args:
        ours: looks in order of time.
        peer: likewise.
        from_ns: from when both have had time to settle.
        steps: (at_ns, by_ns) of the device's clock.
        plain: looks of ours by ZeroMQ alone.
    """
    to_ns = steps[0][0] if steps else 2**63 - 1
    calm = [row for row in ours if from_ns <= row.true_ns < to_ns]
    calm_plain = [row for row in plain if from_ns <= row.true_ns < to_ns]
    calm_peer = [row for row in peer if from_ns <= row.true_ns < to_ns]
    changes = [b.true_ns for a, b in pairwise(ours) if b.epoch != a.epoch]
    found, blind = [], []
    for at_ns, by_ns in steps:
        i = bisect.bisect(changes, at_ns)
        seen = i < len(changes) and changes[i] - at_ns < STEP_LIMIT_S * 2e9
        until_ns = changes.pop(i) if seen else 2**63 - 1
        blind.append((at_ns, until_ns))
        found.append(StepFound(by_ns / 1e6, (until_ns - at_ns) / 1e9 if seen else None))
    sure = [r for r in ours if not any(a <= r.true_ns <= b for a, b in blind)]
    return Figures(
        ours=Errors.of(calm),
        plain=Errors.of(calm_plain),
        peer=Errors.of(calm_peer),
        outside=sum(r.bound_ns is None or abs(r.error_ns) > r.bound_ns for r in sure),
        unlikely=sum(abs(r.error_ns) > (r.err_ns or 0) for r in calm) / max(1, len(calm)),
        bound_us=_middle([r.bound_ns for r in calm or ours]),
        err_us=_middle([r.err_ns for r in calm or ours]),
        plain_bound_us=_middle([r.bound_ns for r in calm_plain or plain]),
        plain_mean_us=_mean(calm_plain),
        mean_us=_mean(calm),
        steps=found,
        false_epochs=len(changes),
    )


def _middle(widths_ns: Sequence[int | None]) -> float:
    return float(np.median([(width_ns or 0) / 1e3 for width_ns in widths_ns or [0]]))


def _mean(rows: Sequence[Look]) -> float:
    return float(np.mean([row.error_ns / 1e3 for row in rows])) if rows else float("nan")


def middle(runs: Sequence[Figures]) -> Figures:
    """Return the medians of several runs; of what must never happen, the sum."""

    def of(pick: Callable[[Figures], float]) -> float:
        known = [value for run in runs if not np.isnan(value := pick(run))]
        return float(np.median(known)) if known else float("nan")

    def errors(pick: Callable[[Figures], Errors]) -> Errors:
        return Errors(
            min(pick(run).looks for run in runs),
            of(lambda run: pick(run).p50_us),
            of(lambda run: pick(run).p95_us),
            of(lambda run: pick(run).max_us),
        )

    found = []
    for tries in zip(*(run.steps for run in runs), strict=True):
        late = sorted(float("inf") if s.found_s is None else s.found_s for s in tries)
        half = late[len(late) // 2]
        found.append(StepFound(tries[0].by_ms, None if half == float("inf") else half))
    return Figures(
        ours=errors(lambda run: run.ours),
        plain=errors(lambda run: run.plain),
        peer=errors(lambda run: run.peer),
        outside=sum(run.outside for run in runs),
        unlikely=of(lambda run: run.unlikely),
        bound_us=of(lambda run: run.bound_us),
        err_us=of(lambda run: run.err_us),
        plain_bound_us=of(lambda run: run.plain_bound_us),
        plain_mean_us=of(lambda run: run.plain_mean_us),
        mean_us=of(lambda run: run.mean_us),
        steps=found,
        false_epochs=sum(run.false_epochs for run in runs),
    )


def missed(link: str, got: Figures) -> list[str]:
    """Return the targets a run did not reach, in words."""
    words = []
    limit = {"LAN": 0.25, "5±2 ms, 2 % loss": 0.1}.get(link)
    ratio = got.ours.p95_us / got.peer.p95_us if got.peer.looks else None
    if not got.ours.looks:
        words.append("we gave no time")
    if limit is not None and (ratio is None or ratio > limit):
        words.append(f"p95 is {'?' if ratio is None else f'{ratio:.2f}'}x the peer's (≤ {limit})")
    if got.outside:
        words.append(f"the guaranteed bound did not hold at {got.outside} looks")
    if got.false_epochs:
        words.append(f"{got.false_epochs} false epochs")
    if link != "400 ms":
        late = [s.by_ms for s in got.steps if s.found_s is None or s.found_s > STEP_LIMIT_S]
        words += [f"step of {by_ms:+g} ms not found within {STEP_LIMIT_S:g} s" for by_ms in late]
    return words
