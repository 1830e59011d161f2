"""Draws the pictures of `docs/explanation/time.md` from the very code they explain.

    .venv/bin/python docs/plots/make_time_plots.py

Clocks and links are those of `scot.testing.clocks`, the truth of which is known; the seeds are
fixed, so the pictures change only when the code does.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scot.clock.dejitter import Dejitter
from scot.clock.estimator import Estimator
from scot.clock.oneway import OneWay
from scot.testing.clocks import LINKS, CrystalClock, exchanges
from scot.timestamp import ClockState, Timestamp

OUT = Path(__file__).resolve().parent.parent / "images"
TRUTH, ABOVE, BELOW, OURS, SURE = "#111111", "#c1440e", "#1f6fb4", "#0a7d55", "#d9d9d9"
Array = NDArray[np.float64]


class Seen(NamedTuple):
    """What a run of probes showed; times in s, the rest in ms against the true offset."""

    t1_s: Array
    t4_s: Array
    above: Array
    below: Array
    estimate: Array
    bound: Array
    err: Array
    epoch: Array


def watch(clock: CrystalClock, link: str, seconds: float, seed: int = 7) -> Seen:
    """Feed an estimator from a simulated link and compare all it says with the truth."""
    estimator = Estimator()
    rows = []
    for probe, true_ns in exchanges(clock, LINKS[link], seconds, seed):
        line = estimator.add(probe)
        theta_ns = true_ns - clock.read(true_ns)
        rows.append(
            (
                probe.t1_ns / 1e9,
                true_ns / 1e9,
                (probe.t2_ns - probe.t1_ns - theta_ns) / 1e6,
                (probe.t3_ns - probe.t4_ns - theta_ns) / 1e6,
                (line.offset_ns - theta_ns) / 1e6,
                line.bound_ns / 1e6,
                line.err_ns / 1e6,
                float(estimator.epoch),
            )
        )
    return Seen(*np.array(rows).T)


def clouds(ax: Axes, seen: Seen, truth: str = "true offset") -> None:
    """Draw the two clouds of limits against the true offset."""
    ax.plot(seen.t4_s, seen.above, ".", ms=3, color=ABOVE, label="t2 − t1: never below the truth")
    ax.plot(seen.t4_s, seen.below, ".", ms=3, color=BELOW, label="t3 − t4: never above it")
    ax.axhline(0, color=TRUTH, lw=1, label=truth)


def two_clouds() -> None:
    """The two clouds of a 5±2 ms link, what we make of them, and a closer look."""
    seen = watch(CrystalClock(0, 100.0, 3.0, 300.0), "5±2 ms, 2 % loss", 120.0)
    figure, (wide, near) = plt.subplots(2, 1, figsize=(7, 5.2), sharex=True)
    clouds(wide, seen)
    bound(wide, seen)
    wide.plot(seen.t4_s, seen.estimate, color=OURS, lw=1.5, label="our estimate")
    wide.set(ylabel="offset − truth, ms", ylim=(-9, 9))
    legend(wide, 3)
    near.plot(seen.t4_s, 1e3 * seen.estimate, color=OURS, lw=1.5)
    near.axhline(0, color=TRUTH, lw=1)
    near.set(ylabel="the same, µs", xlabel="s since the first probe", ylim=(-400, 400))
    keep(figure, "time_two_clouds.png")


def bound(ax: Axes, seen: Seen) -> None:
    """Draw the guaranteed and the likely half-widths around the estimate."""
    sides = (seen.estimate - seen.bound, seen.estimate + seen.bound)
    ax.fill_between(seen.t4_s, *sides, color=SURE, lw=0, label="surely within")
    likely = (seen.estimate - seen.err, seen.estimate + seen.err)
    ax.fill_between(seen.t4_s, *likely, color=OURS, alpha=0.25, lw=0, label="likely within")


def asymmetry() -> None:
    """Two links of like round trips: only the truth can tell them apart."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True)
    for ax, link, title in (
        (axes[0], "5±2 ms, 2 % loss", "3–7 ms there, 3–7 ms back"),
        (axes[1], "asymmetric 3:1", "9–11 ms there, 3–4 ms back"),
    ):
        seen = watch(CrystalClock(0, 100.0), link, 60.0)
        bound(ax, seen)
        ax.plot(seen.t4_s, seen.estimate, color=OURS, lw=1.5, label="our estimate")
        ax.axhline(0, color=TRUTH, lw=1, label="truth")
        ax.set(title=title, xlabel="s", ylim=(-10, 16))
    axes[0].set_ylabel("offset − truth, ms")
    axes[0].legend(loc="upper left", fontsize=7, ncol=2)
    keep(figure, "time_asymmetry.png")


def step_or_congestion() -> None:
    """A queue pushes one cloud away; a step pushes one through the other's place."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True)
    queue = watch(CrystalClock(0, 50.0), "one-sided upload queue", 60.0)
    stepping = CrystalClock(0, 50.0, steps=[(30.0, -12_000_000)])
    steady = CrystalClock(0, 50.0)
    step = watch(stepping, "5±2 ms, 2 % loss", 60.0)
    moved = np.array([(steady.read(t * 1e9) - stepping.read(t * 1e9)) / 1e6 for t in step.t4_s])
    step = step._replace(above=step.above + moved, below=step.below + moved)
    for ax, seen, title in ((axes[0], queue, "a queue on the way"), (axes[1], step, "a step")):
        clouds(ax, seen, "true offset before")
        ax.set(title=title, xlabel="s", ylim=(-12, 38))
    changes = np.flatnonzero(np.diff(step.epoch)) + 1
    for i in changes:
        axes[1].axvline(step.t4_s[i], color=OURS, lw=1, ls="--", label="new epoch")
    axes[0].set_ylabel("limit − old offset, ms")
    axes[1].legend(loc="upper left", fontsize=7, framealpha=1)
    keep(figure, "time_step.png")


def arrivals(rng: np.random.Generator, seconds: float, rate_hz: float) -> Iterable[float]:
    """Yield delays in ms of a device that only sends: a least delay, jitter, busy stretches."""
    for t_s in np.arange(0.0, seconds, 1 / rate_hz):
        busy = 12.0 if 20 < t_s % 40 < 26 else 0.0
        yield float(1.5 + rng.exponential(1.0 + busy))


def one_way() -> None:
    """What a device that only sends leaves us: one cloud, and its lower edge."""
    clock = CrystalClock(0, 80.0)
    rng, mapped = np.random.default_rng(7), OneWay()
    rows = []
    for i, delay_ms in enumerate(arrivals(rng, 60.0, 20.0)):
        true_ns = 1e9 + i * 50e6
        arrived = Timestamp(None, round(true_ns + delay_ms * 1e6), 0, 0, ClockState.LOCKED)
        placed = mapped.stamp(clock.read(true_ns), arrived)
        rows.append((i / 20, delay_ms, (placed.bus_ns - true_ns) / 1e6, (placed.err_ns or 0) / 1e6))
    t_s, delay, placed_ms, err_ms = np.array(rows).T
    figure, ax = plt.subplots(figsize=(7, 2.8))
    ax.fill_between(t_s, placed_ms - err_ms, placed_ms + err_ms, color=OURS, alpha=0.25, lw=0)
    ax.plot(t_s, delay, ".", ms=3, color=ABOVE, label="arrival")
    ax.plot(t_s, placed_ms, color=OURS, lw=1.5, label="where we place the sample, ± likely")
    ax.axhline(0, color=TRUTH, lw=1, label="truth")
    ax.set(ylabel="time − truth, ms", xlabel="s", ylim=(-4, 24))
    legend(ax, 3)
    keep(figure, "time_one_way.png")


def stream() -> None:
    """A 250 Hz waveform in batches of five, some of them lost: arrivals, and by the counter."""
    rng, dejitter = np.random.default_rng(7), Dejitter()
    rows, counter, sent_ns = [], 0, 0.0
    for t_s in np.arange(0.0, 30.0, 0.02):
        sent_ns = max(sent_ns, 1e9 + t_s * 1e9 + float(rng.exponential(4e6)) + 1e6)
        counter += 5
        if rng.uniform() < 0.02 or 12 < t_s < 15:
            continue
        first_ns = 1e9 + (t_s - 0.016) * 1e9
        placed_ns, _ = dejitter.place(counter, 5, 250.0, round(sent_ns))
        last_ms = (sent_ns - first_ns) / 1e6 - 16.0
        rows.append((t_s, last_ms, (placed_ns - first_ns) / 1e6))
    t, arrival, placed = np.array(rows).T
    figure, ax = plt.subplots(figsize=(7, 2.8))
    ax.plot(t, arrival, ".", ms=3, color=ABOVE, label="by arrival")
    ax.plot(t, placed, ".", ms=3, color=OURS, label="by counter and lower edge")
    ax.axhline(0, color=TRUTH, lw=1, label="truth")
    ax.set(ylabel="time − truth, ms", xlabel="s", ylim=(-3, 30))
    legend(ax, 3)
    keep(figure, "time_stream.png")


def legend(ax: Axes, columns: int) -> None:
    """Put the legend above the picture, where it hides nothing."""
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=columns, fontsize=7, frameon=False)


def keep(figure: Figure, name: str) -> None:
    """Write one picture, without what changes from run to run."""
    figure.tight_layout()
    figure.savefig(OUT / name, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Draw all."""
    mpl.use("Agg")
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    for draw in (two_clouds, asymmetry, step_or_congestion, one_way, stream):
        draw()


if __name__ == "__main__":
    main()
