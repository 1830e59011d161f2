"""The completeness report: every sample is received or lost, and every loss has an interval."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.channel import Kind
from scot.codec import Frame, encode, read_header
from scot.sample import Flags, Sample
from scot.timestamp import ClockState, Timestamp
from scot_replay import came
from scot_replay.came import Came, Stretch
from scot_replay.completeness import DISK, NEVER_CAME, Account, Said, account
from scot_replay.index import ENTRY, join, span
from scot_replay.journal import RecordKind, encode_record
from scot_replay.layout import journal_path
from scot_replay.recording import open_recording
from scot_replay.seal import seal
from tests.golden.recording_frames import EPOCH, START_NS, S, case
from tests.golden.recording_writing import write_journal, write_recording

PROBE = "or1/tracker/probe"
LOST = frozenset({("or1/monitor/hr", 4), ("or1/monitor/hr", 5), (PROBE, 100)})


def entries(seqs: list[int], epoch: int = 7, apart_ns: int = S) -> np.ndarray:
    rows = [(epoch + seq * apart_ns, epoch, seq, 0, 0, False) for seq in seqs]
    return np.array(rows, dtype=ENTRY)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 60), max_size=30), min_size=1, max_size=3))
def test_expected_is_received_and_lost_however_it_lies_in_parts(parts: list[list[int]]) -> None:
    there = {seq for part in parts for seq in part}
    found = account(join(s for part in parts if (s := span(entries(part))) is not None))
    if not there:
        assert found == Account()
        return
    missing = set(range(max(there) + 1)) - there
    assert (found.received, found.lost) == (len(there), len(missing))
    assert found.expected == found.received + found.lost
    assert sum(one.count for one in found.lost_in) == found.lost
    for one in found.lost_in:  # each between the samples that are there
        assert one.to_ns is not None
        first = 0 if one.from_ns is None else (one.from_ns - 7) // S + 1
        assert set(range(first, (one.to_ns - 7) // S)) <= missing


def test_what_was_published_before_the_recording_began_is_not_expected() -> None:
    there = span(entries([40, 41, 43]))
    assert account(there, since_ns=8).expected == 4
    assert account(there, since_ns=7).expected == 44


def test_a_lost_tail_is_known_from_how_far_the_publisher_said_it_had_come() -> None:
    found = account(span(entries([0, 1, 2])), heads={7: 5, 9: 2}, since_ns=0)
    intervals = [(one.from_ns, one.to_ns, one.count, one.why) for one in found.lost_in]
    assert intervals == [(9, None, 2, NEVER_CAME), (7 + 2 * S, None, 2, NEVER_CAME)]
    assert (found.expected, found.received, found.lost) == (7, 3, 4)


def test_a_channel_of_which_nothing_came_is_lost_when_its_publisher_said_it_was_sent() -> None:
    found = account(None, heads={7: 5}, since_ns=3)
    assert (found.expected, found.received, found.lost) == (5, 0, 5)
    assert account(None, heads={2: 5}, since_ns=3) == Account()


def test_a_stated_loss_explains_its_gap_and_counts_where_there_is_none() -> None:
    there = span(entries([0, 1, 5, 6]))
    said = [Said(2, 7 + 2 * S, 7 + 3 * S), Said(9, 7 + 7 * S, 7 + 15 * S, "video-first")]
    found = account(there, said)
    assert [(one.count, one.why) for one in found.lost_in] == [(3, DISK), (9, "video-first")]
    assert (found.expected, found.lost) == (16, 12)


def test_what_was_asked_back_and_what_came_late_has_its_intervals() -> None:
    stretches = {"backfilled": [Stretch(7, 2, 4, 20, 40)], "late": [Stretch(7, 9, 9, 90, 90)]}
    found = account(span(entries(list(range(12)))), came=stretches)
    assert (found.backfilled, found.late, found.lost) == (3, 1, 0)
    assert [(one.from_ns, one.to_ns) for one in found.backfilled_in] == [(20, 40)]


@pytest.mark.parametrize("by_s", [-2, 2])
def test_a_clock_that_was_set_is_named_where_time_jumps(by_s: int) -> None:
    rows = entries(list(range(40)), apart_ns=S // 10)
    rows["bus_ns"][20:] += by_s * S
    assert account(span(rows)).steps == [(7 + 19 * S // 10, by_s * S)]
    irregular = np.array(
        [(at * S, 7, seq, 0, 0, False) for seq, at in enumerate((1, 9, 10, 60, 61))], dtype=ENTRY
    )
    assert account(span(irregular)).steps == []


@pytest.mark.parametrize("sealed", [0, 1, 2])
def test_a_recording_says_it_of_every_channel_sealed_or_not(tmp_path: Path, sealed: int) -> None:
    frames = case(12.0, LOST)
    write_recording(tmp_path, [frames[:400], frames[400:]], sealed=sealed)
    found = open_recording(tmp_path).completeness()
    assert {a: (n.expected, n.received, n.lost) for a, n in found.items() if n.lost} == {
        "or1/monitor/hr": (12, 10, 2),
        PROBE: (240, 239, 1),
    }
    (one,) = found[PROBE].lost_in
    assert (one.from_ns, one.to_ns) == (START_NS + 99 * S // 20, START_NS + 101 * S // 20)
    assert found["or1/room/notes"] == Account()


def test_losses_notes_and_heads_in_the_journal_reach_the_report_and_survive_sealing(
    tmp_path: Path,
) -> None:
    frames = [f for f in case(12.0) if not _within(f, 5, 7)]
    write_recording(tmp_path, [frames], finished=False)
    poses = [f for f in frames if f.address == PROBE]
    notes: Came = {}
    for frame in poses[:5]:
        came.note(notes, PROBE, read_header(frame), Flags.BACKFILLED)
    late = START_NS + 6 * S
    loss = {
        "or1/scope/video": {"count": 50, "first_ns": late, "last_ns": late, "why": "video-first"}
    }
    health = {"heads": {"probe": [EPOCH, 250]}, "state": "running"}
    time = Timestamp(None, START_NS + 13 * S, None, None, ClockState.LOCKED)
    address = "or1/tracker/health"
    told = encode(Sample(address, EPOCH, 0, time, Flags(0), health), Kind.EVENT)
    write_journal(journal_path(tmp_path, 1), [*frames, told], end=False)
    with journal_path(tmp_path, 1).open("ab") as out:
        out.write(encode_record(RecordKind.LOSS, msgspec.json.encode(loss)))
        out.write(encode_record(RecordKind.CAME, came.encode(notes)))
    for _ in ("as a journal", "as a segment"):
        found = open_recording(tmp_path).completeness()
        assert [(i.count, i.why) for i in found["or1/scope/video"].lost_in] == [(50, "video-first")]
        probe = found[PROBE]
        assert (probe.expected, probe.received, probe.backfilled) == (250, 200, 5)
        assert [(i.count, i.to_ns is None) for i in probe.lost_in] == [(40, False), (10, True)]
        if journal_path(tmp_path, 1).exists():
            seal(tmp_path, 1)


def _within(frame: Frame, from_s: int, to_s: int) -> bool:
    return START_NS + from_s * S <= read_header(frame).bus_ns < START_NS + to_s * S
