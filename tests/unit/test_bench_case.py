"""The benchmark's recording is a whole one, and the same each time it is made."""

from __future__ import annotations

from pathlib import Path

import scot
from benchmarks import case


def test_a_made_case_holds_every_sample_it_made_and_is_made_alike_each_time(
    tmp_path: Path,
) -> None:
    made = case.make(tmp_path / "one", 1 / 3600, workers=1)
    recording = scot.open(tmp_path / "one")
    held = recording.channels
    assert sum(known.count for known in held.values()) == made
    assert held["or1/tracker/tool7"].count == case.TOOL_HZ
    assert held["or1/monitor/wave11"].count == case.BLOCK_HZ
    assert held["or1/scope/video"].count == case.VIDEO_HZ
    assert {"or1/monitor/alarms", "or1/console/marks"} <= set(held)
    assert not any(known.gaps for known in held.values())
    assert not recording.damage
    recording.close()
    assert [path.name for path in (tmp_path / "one").glob("segment-*")] == ["segment-1.mcap"]
    one, two = case.Case().second(0), case.Case().second(0)
    assert [arrival.frame for arrival in one] == [arrival.frame for arrival in two]
