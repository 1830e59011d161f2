"""The example that has a waveform, numbers and a state reads what its monitor sends."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from examples.anaesthesia_depth.depth_simulator import lines
from examples.anaesthesia_depth.scot_anaesthesia_depth import AnaesthesiaDepth, Eeg, Second, parse


def test_what_the_simulator_sends_is_what_the_provider_reads() -> None:
    said = [parse(line) for line in islice(lines(), 64)]
    blocks = [one for one in said if isinstance(one, Eeg)]
    seconds = [one for one in said if isinstance(one, Second)]
    assert [b.first for b in blocks] == list(range(0, 16 * len(blocks), 16)), "no value is missing"
    assert np.abs(np.concatenate([b.values for b in blocks])).max() < 100
    assert len(seconds) == pytest.approx(len(blocks) / 8, abs=1)
    states = AnaesthesiaDepth.state.attrs["values"]
    assert all(one.state in states for one in seconds)
    assert all({"en", "ja"} <= set(words) for words in states.values())


@pytest.mark.parametrize(
    "line",
    [b"", b"X 1\n", b"E 0 \n", b"E -1 1,2\n", b"E 0 nan\n", b"E 0 1,inf\n", b"N 1 2 3\n",
     b"N nan 97 28 0 deep\n", b"\xff\n", b"E 0 " + b"1," * 2_000 + b"1\n"],
)  # fmt: skip
def test_what_the_monitor_cannot_have_sent_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(line)
