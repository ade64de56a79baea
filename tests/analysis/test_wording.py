"""Numbers as text."""

import math

import pytest

from ohgw.analysis import wording
from ohgw.analysis.results import Spread


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.013, "+1.3 %"),
        (-0.321, "−32 %"),
        (-0.0004, "0.0 %"),
        (0.0996, "+10 %"),
        (math.inf, "+∞ %"),
        (-math.inf, "−∞ %"),
        (math.nan, "–"),
    ],
)
def test_percent(value: float, text: str) -> None:
    assert wording.percent(value).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.4, "1234"),
        (12.345, "12.3"),
        (0.5, "0.5"),
        (2e12, "2e12"),
        (-1.5e-7, "−1.5e−7"),
        (math.inf, "∞"),
        (None, "–"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert wording.number(value) == text


def test_spread_is_ordered_for_either_mode() -> None:
    assert wording.spread(Spread(3.0, 4.0, 2.0)) == "3 [2, 4]"
    assert wording.spread(Spread(3.0, 2.0, math.inf)) == "3 [2, ∞]"
    assert wording.spread(None) == wording.spread(Spread(math.nan, math.nan, math.nan)) == "–"


def test_listed_shortens_runs() -> None:
    assert wording.listed([0, 1, 2, 5, 8, 9]) == "0–2, 5, 8–9"
    assert wording.listed([]) == "none"


def test_seconds_grow_into_minutes_and_hours() -> None:
    assert [wording.seconds(s) for s in (3.14159, 150, 9000)] == ["3.14 s", "2.5 min", "2.5 h"]
