"""An instant is one, or is refused in a line; nothing odd becomes a time in another age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scot.errors import RecordingError
from scot_replay.when import bus_ns, duration_ns, instant

FIRST, LAST = 1_795_000_000_000_000_000, 1_795_000_060_000_000_000


@pytest.mark.parametrize(
    "odd",
    [
        pd.NaT, np.datetime64("NaT"), np.timedelta64("NaT", "ns"), float("nan"), 1.5, None, True,
        b"12:30", [], 2**63, -(2**63) - 1, "", "-", "--5", "NaT", "nan", "1:75", "1:99:00", "12:60",
        "99999999999999999999s", "9999999999999:00:00", datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
        timedelta.max, "9999-12-31", np.datetime64("9999-01-01", "s"),
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_in_a_line(odd: Any) -> None:
    with pytest.raises(RecordingError) as caught:
        bus_ns(odd, FIRST, LAST)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("odd", ["1:75", "1:60:00", "soon"])
def test_what_a_command_is_given_too(odd: str) -> None:
    with pytest.raises(RecordingError):
        instant(odd, FIRST)


@pytest.mark.parametrize("length", [pd.NaT, np.timedelta64("NaT"), "NaT", float("nan"), None, 0])
def test_no_length_is_no_length(length: Any) -> None:
    with pytest.raises(RecordingError, match="no length of time"):
        duration_ns(length, "rate")


def test_times_stay_times() -> None:
    assert bus_ns("1:02:03.5", FIRST, LAST) == FIRST + 3_723_500_000_000
    assert bus_ns("90:00", FIRST, LAST) == FIRST + 5_400_000_000_000
    assert bus_ns("90s", FIRST, LAST) == FIRST + 90_000_000_000
    assert bus_ns("-0:05", FIRST, LAST) == LAST - 5_000_000_000
    assert bus_ns(FIRST + 1, FIRST, LAST) == FIRST + 1
    assert bus_ns(timedelta(seconds=2), FIRST, LAST) == FIRST + 2_000_000_000
    assert bus_ns(pd.Timedelta("3ns"), FIRST, LAST) == FIRST + 3
