"""Trend lines: least and greatest of each stretch, a gap is a gap, and only for who may see."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.names import Names
from scot.sample import Flags, NumericValue, Validity
from scot_dashboard.egress import Egress
from scot_dashboard.roles import Role
from scot_dashboard.trends import MAX_HOURS, Trends
from scot_dashboard.wire import TrendsAsk
from tests.unit.gateway_room import SECOND_NS, START_NS, catalogue, delivery, hr

HR = "or1/monitor/hr"
STAFF = Egress(Role.OR_STAFF, catalogue(), Names(), 1)


def ask(from_s: int, to_s: int, bins: int) -> TrendsAsk:
    from_ns, to_ns = START_NS + from_s * SECOND_NS, START_NS + to_s * SECOND_NS
    return TrendsAsk([HR, "or1/ward/patient"], from_ns, to_ns, bins)


def lines(trends: Trends, from_s: int, to_s: int, bins: int) -> list[list[float | None]]:
    found: list[list[float | None]] = trends.answer(ask(from_s, to_s, bins), STAFF)["series"][HR]
    return found


def test_no_peak_is_hidden_and_a_gap_is_a_gap() -> None:
    trends = Trends()
    for number in [*range(20), *range(60, 80)]:
        trends.add(hr(number, 180.0 if number == 7 else 70.0))
    assert lines(trends, 0, 80, 4) == [[70.0, None, None, 70.0], [180.0, None, None, 70.0]]
    assert lines(trends, 5, 10, 1) == [[70.0], [180.0]]
    assert lines(trends, 10, 15, 5) == [[70.0] * 5, [70.0] * 5], "bins shorter than a cell"


def test_what_must_not_be_used_makes_no_line() -> None:
    trends = Trends()
    trends.add(hr(1, flags=Flags.INVALID))
    trends.add(hr(2, float("nan")))
    trends.add(hr(3, float("inf")))
    trends.add(delivery(HR, NumericValue(None), 4))
    trends.add(delivery(HR, NumericValue(72.0, Validity.INVALID), 5))
    assert trends.answer(ask(0, 80, 4), STAFF)["series"] == {}


def test_a_clock_in_1970_and_a_very_long_day_stay_bounded() -> None:
    trends = Trends()
    trends.add(hr(0, at_s=-START_NS / SECOND_NS + 37))
    for hour in range(MAX_HOURS + 3):
        trends.add(hr(hour, at_s=hour * 3600.0))
    assert lines(trends, 0, 3600, 2) == [[None, None], [None, None]], "the oldest are forgotten"
    assert lines(trends, 3600 * (MAX_HOURS + 2), 3600 * (MAX_HOURS + 3), 2)[0][0] == 72.0
    assert len(lines(trends, 0, 10**8, 1000)[0]) == 1000


def test_only_who_may_see_a_channel_gets_its_line() -> None:
    trends = Trends()
    trends.add(hr(1))
    admin = Egress(Role.ADMIN, catalogue(), Names(), 1)
    assert trends.answer(ask(0, 10, 2), admin)["series"] == {}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.floats(-1e3, 1e3, width=32)), max_size=60))
def test_lines_agree_with_a_plain_search(told: list[tuple[int, float]]) -> None:
    trends = Trends()
    for at_s, value in told:
        trends.add(hr(0, value, at_s=float(at_s)))
    if not told:
        return
    least, most = lines(trends, 0, 500, 10)
    offset_s = (START_NS // SECOND_NS) % 5
    assert offset_s == 0, "cells begin with the bins here"
    for index in range(10):
        inside = [v for at, v in told if index * 50 <= at < (index + 1) * 50]
        if not inside:
            assert least[index] is most[index] is None
        else:
            assert (least[index], most[index]) == pytest.approx(
                (min(inside), max(inside)), abs=1e-3
            )
