"""The benchmark's recording is a whole one, and the same each time it is made."""

from __future__ import annotations

from pathlib import Path

import scot
from benchmarks import case


def test_a_made_case_holds_every_sample_it_made_and_is_made_again_bit_for_bit(
    tmp_path: Path,
) -> None:
    made = case.make(tmp_path / "one", 2 / 3600, workers=1)
    case.make(tmp_path / "two", 2 / 3600, workers=1)
    one, two = scot.open(tmp_path / "one"), scot.open(tmp_path / "two")
    held = one.channels
    assert sum(known.count for known in held.values()) == made
    assert held["or1/tracker/tool7"].count == 2 * case.TOOL_HZ
    assert held["or1/monitor/wave11"].count == 2 * case.BLOCK_HZ
    assert held["or1/scope/video"].count == 2 * case.VIDEO_HZ
    assert {"or1/monitor/alarms", "or1/console/marks"} <= set(held)
    assert not any(known.gaps for known in held.values())
    assert not one.damage
    assert one.digest() == two.digest()
    assert [path.name for path in (tmp_path / "one").glob("segment-*")] == ["segment-1.mcap"]
    one.close()
    two.close()
