"""A registration that is not rigid is refused in words; one that is leads where it says."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot.registration import RIGID_WITHIN, Registration, RegistrationError, parse, rigid

ANGLE = math.radians(30)
TURN = [
    [math.cos(ANGLE), -math.sin(ANGLE), 0.0, 10.0],
    [math.sin(ANGLE), math.cos(ANGLE), 0.0, -20.0],
    [0.0, 0.0, 1.0, 30.0],
    [0.0, 0.0, 0.0, 1.0],
]
POINT = st.tuples(*[st.floats(-500, 500)] * 3)


@given(POINT)
def test_a_registration_and_its_inverse_lead_there_and_back(point: tuple[float, ...]) -> None:
    there = Registration(rigid(TURN)).place(point)
    back = Registration(rigid(TURN, inverse=True)).place(there)
    assert back == pytest.approx(point, abs=1e-9)


def scaled(k: float) -> list[list[float]]:
    return [[v * k for v in row[:3]] + row[3:] for row in TURN[:3]]


def test_what_is_not_rigid_is_refused_with_how_much_and_the_limit() -> None:
    assert rigid(scaled(1 + RIGID_WITHIN / 3))
    with pytest.raises(RegistrationError, match=r"limit 0\.001; its axes have lengths 1\.0100"):
        rigid(scaled(1.01))
    sheared = [list(row) for row in TURN]
    sheared[0][2] = 0.02
    with pytest.raises(RegistrationError, match="not rigid"):
        rigid(sheared)
    mirrored = [[-v if k == 0 else v for k, v in enumerate(row)] for row in TURN[:3]]
    with pytest.raises(RegistrationError, match="mirrors; check RAS against LPS"):
        rigid(mirrored)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 numbers instead of 16"),
        ("1 0 0", "3 numbers instead of 16"),
        ("one", "not numbers"),
        (" ".join(["nan"] * 16), "not finite"),
        ("1 0 0 0 0 1 0 0 0 0 1 0 0 0 1 1", "last row"),
        ("1 0 0 99999 0 1 0 0 0 0 1 0 0 0 0 1", "check its unit"),
        ("{", "JSON that is no registration"),
        (json.dumps({"matrix": TURN, "patient": "x"}), "'patient' is not understood"),
        (json.dumps({"matrix": TURN, "tre_mm": -1}), "an error of -1 mm"),
        (json.dumps({"matrix": TURN[:2]}), "4 × 4"),
        ("[" * 70_000, "no registration"),
    ],
)
def test_a_file_that_is_no_registration_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(RegistrationError, match=said):
        parse(text)


def test_a_file_may_tell_the_error_and_the_direction() -> None:
    numbers = parse("\n".join(" ".join(map(str, row)) for row in TURN))
    assert numbers == Registration(rigid(TURN))
    told = parse(json.dumps({"matrix": TURN, "tre_mm": 1.2, "fre_mm": 0.6, "inverse": True}))
    assert (told.tre_mm, told.fre_mm) == (1.2, 0.6)
    assert told.rows == rigid(TURN, inverse=True)
