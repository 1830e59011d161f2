"""Makes rows of what the scripts with a form of their own print with ``--json``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.table import Limit, Row


def _compared(
    what: str,
    unit: str,
    figures: tuple[float, float],
    row: dict[str, Any],
    beside: str,
    **more: Any,
) -> Row:
    """Return a row of ours and the peer's, with the ratio and the spread that a script printed."""
    low, high = row["spread"]
    return Row(
        what=what,
        unit=unit,
        ours=figures[0],
        peer=figures[1],
        beside=beside,
        ratio=row["ratio"],
        low=low,
        high=high,
        **more,
    )


def latency(found: dict[str, Any]) -> Iterator[Row]:
    """Read `benchmarks.latency`."""
    beside = " beside video" if found["video"] else ""
    for table in found["tables"]:
        for name in ("p50", "p99"):
            row = table[name]
            target = None if found["video"] else row["target"]
            yield _compared(
                f"all signals, {table['subscribers']} subscribers{beside}, {name}",
                "µs",
                (row["ours_us"], row["peer_us"]),
                row,
                "C proxy",
                limit=None if target is None else Limit(target),
                runs=len(table["runs"]),
            )


def throughput(found: dict[str, Any]) -> Iterator[Row]:
    """Read `benchmarks.throughput`."""
    for table in found["tables"]:
        each = table["each_hz"]
        for row in table["ratios"]:
            target = row["target"]
            yield _compared(
                f"flat out, {table['subscribers']} subscribers, {row['ours']}",
                "/s",
                (each[row["ours"]], each[row["peer"]]),
                row,
                row["peer"],
                limit=None if target is None else Limit(target, at_least=True),
            )
        what = f"flat out, {table['subscribers']} subscribers: never came"
        yield Row(what=what, unit="", ours=table["missing"], limit=Limit(0, of="ours"))
    for cost in found["headers"]:
        limit = Limit(cost["target"], of="ours")
        yield Row(what=cost["what"], unit="µs", ours=cost["us"], limit=limit)


def frames(found: dict[str, Any]) -> Iterator[Row]:
    """Read `benchmarks.frames`."""
    for table in found["tables"]:
        for name in ("p50", "p99"):
            row = table[name]
            yield _compared(
                f"raw 1080p30, {table['consumers']} consumers, {name}",
                "ms",
                (row["ours_ms"], row["peer_ms"]),
                row,
                "C proxy",
                limit=Limit(row["target_ms"], of="ours"),
                runs=len(table["runs"]),
                note="the spread is the ratio's",
            )
        torn = sum(ours["torn"] for ours, _ in table["runs"])
        what = f"raw 1080p30, {table['consumers']} consumers: torn"
        yield Row(what=what, unit="", ours=torn, limit=Limit(0, of="ours"))


def attacks(found: dict[str, Any]) -> Iterator[Row]:
    """Read `benchmarks.attacks`."""
    for row in found["attacks"]:
        lost = "" if row["whole"] else ", samples lost"
        yield _compared(
            f"honest peers' p99 under {row['attack']}",
            "ms",
            (row["with_ms"], row["without_ms"]),
            row,
            "a process that only burns as much",
            limit=Limit(found["target"]),
            note=f"broker +{row['grown_mb']:.0f} MB{lost}",
        )


def clocks(found: list[dict[str, Any]]) -> Iterator[Row]:
    """Read `benchmarks.clocks`."""
    for row in found:
        yield Row(
            what=row["what"],
            unit=row["unit"],
            ours=row["ours"],
            peer=row["peer"],
            beside="LSL's algorithm" if row["peer"] is not None else "",
            ratio=row["ratio"],
            target=row["target"],
            kept=row["met"],
            note=row["note"],
        )


def streams(found: list[dict[str, Any]]) -> Iterator[Row]:
    """Read `benchmarks.streams`."""
    for row in found:
        yield Row(
            what=f"sample time, {row['stream']}, {row['who']}, p95",
            unit="µs",
            ours=row["p95"],
            target="≤ 100 µs" if row["met"] is not None else "",
            kept=row["met"],
        )


def content(found: list[dict[str, Any]]) -> Iterator[Row]:
    """Read `benchmarks.latency_from_content`."""
    for row in found:
        which = "held out" if row["held_out"] else "tuned on"
        limit = row["target_ms"]
        yield Row(
            what=f"device latency from content, {row['kind']}, {which}, p95",
            unit="ms",
            ours=row["p95_ms"],
            peer=row["plain_p95_ms"],
            beside="PLUS's calibration",
            ratio=row["p95_ms"] / row["plain_p95_ms"],
            limit=None if limit is None else Limit(limit, of="ours"),
            note=f"its claim covers {row['covered']:.0%}",
        )


def revocation(found: dict[str, Any]) -> Iterator[Row]:
    """Read `benchmarks.revocation`."""
    worst = found["last_sample_s"]["max"]
    what = "revoked key: its last sample, at most"
    yield Row(what=what, unit="s", ours=worst, limit=Limit(1.0, of="ours"))


READERS: dict[str, Callable[[Any], Iterator[Row]]] = {
    "latency": latency,
    "latency-video": latency,
    "throughput": throughput,
    "frames": frames,
    "attacks": attacks,
    "clocks": clocks,
    "streams": streams,
    "content": content,
    "revocation": revocation,
}
