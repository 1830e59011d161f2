"""What a fault showed: rows of the table, and whether a promise was broken."""

from __future__ import annotations

from benchmarks.faults.site import Site
from benchmarks.faults.tally import Tally
from benchmarks.table import Limit, Machine, Result, Row, cells, save


class Report:
    """Collects what one fault showed.

    Args:
        name: of the fault, as on the command line.
        place: where and when.

    Attributes:
        rows: so far.
    """

    def __init__(self, name: str, place: Machine) -> None:
        self.name = name
        self.rows: list[Row] = []
        self._place = place

    def take(self, site: Site, *, may_lose: bool = False) -> None:
        """Add the tallies of all receivers."""
        for tally in site.tallies():
            self.add(self.counted(tally, may_lose=may_lose))

    def counted(self, tally: Tally, where: str = "", *, may_lose: bool = False) -> Row:
        """Return the row of a tally: what is lost is nothing, or exactly what is stated."""
        tail = f", {tally.tail} died with their device" if tally.tail else ""
        wrong = f", misstated {tally.misstated}" if tally.misstated else ""
        return Row(
            what=f"{where}{tally.receiver}: lost",
            unit="",
            ours=tally.lost,
            target="as stated" if may_lose else "0",
            kept=tally.honest and (may_lose or not tally.lost),
            note=f"sent {tally.sent}, received {tally.received}, twice {tally.duplicated}, "
            f"stated {tally.stated}{wrong}{tail}",
        )

    def claim(self, what: str, unit: str, ours: float, limit: float, note: str = "") -> None:
        """Add one more figure with its limit."""
        bound = Limit(limit, of="ours")
        self.add(Row(what=what, unit=unit, ours=ours, limit=bound, runs=1, note=note))

    def add(self, row: Row) -> None:
        """Add a row and print it."""
        self.rows.append(row)
        what, ours, _, peer, ratio, _, target, verdict = cells(row)
        beside = f" beside {peer}, {ratio}x" if ratio else ""
        print(f"  {self.name:8} {what}: {ours}{beside}  {target}  {verdict}", flush=True)

    def end(self) -> bool:
        """Keep the figures; return whether all promises were kept."""
        title = f"Real faults: {self.name}"
        command = f"python -m benchmarks.faults {self.name}"
        name = f"faults-{self.name}"
        save(Result(name=name, title=title, command=command, machine=self._place, rows=self.rows))
        return not any(row.verdict == "missed" for row in self.rows)
