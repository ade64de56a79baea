"""The whole analysis on made-up studies: false positives, and effects that are known."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohgw.analysis.across import StudySummary, summarise_study

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def power() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("power")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudySummary]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        module = importlib.import_module("_synthetic_study")
        path = module.write_study(tmp_path_factory.mktemp("made-up"), seeds=12, reports=20)
        yield summarise_study(path)


def test_false_positives_of_the_whole_analysis_stay_at_the_stated_rate(power: Any) -> None:
    """2,000 studies without an effect: few ties, many ties, and many ties with many misses."""
    shown = []
    for scenario, count in zip(power.SCENARIOS[2:], (666, 667, 667), strict=True):
        found = power.studies(scenario, pairs=12, effect=0.0, count=count, seed=1)
        shown.append((np.mean([o.ties for o in found]), np.mean([o.misses for o in found])))
        assert len({o.p for o in found}) > 20
        shown[-1] += (sum(o.p < 0.05 for o in found),)
    ties, misses, positive = zip(*shown, strict=True)
    assert max(ties) > 0.5 and max(misses) > 0.25, "ties and censoring must be heavy"
    assert 0.01 <= sum(positive) / 2000 <= 0.06


def test_a_real_effect_of_a_fifth_is_seen(power: Any) -> None:
    small = power.studies(power.SCENARIOS[0], pairs=10, effect=0.2, count=60, seed=1)
    large = power.studies(power.SCENARIOS[0], pairs=30, effect=0.2, count=60, seed=1)
    share = [np.mean([o.p < 0.05 for o in found]) for found in (small, large)]
    assert share[0] < share[1] and share[1] > 0.85
    assert np.median([o.change for o in large]) == pytest.approx(-0.2, abs=0.03)


def test_known_effects_of_a_made_up_study_are_found(synthetic: StudySummary) -> None:
    assert synthetic.notes == () and len(synthetic.cells) == 10
    assert sum(a.searches for c in synthetic.cells for a in c.arms) == 10 * 5 * 12
    changes: dict[tuple[str, str], list[float]] = {}
    gains: dict[tuple[str, str], list[float]] = {}
    for cell in synthetic.cells:
        for pair in cell.pairs:
            assert pair.primary is not None
            key = (pair.arm, pair.reference)
            changes.setdefault(key, []).append(pair.primary.change.value)
            gains.setdefault(key, []).append(pair.validation.value)
    screen = np.median(changes["screen/averaged", "vanilla/averaged"])
    assert screen == pytest.approx(-0.25, abs=0.05)
    assert np.median(changes["random/averaged", "vanilla/averaged"]) == pytest.approx(0, abs=0.08)
    assert np.median(gains["vanilla/averaged", "vanilla/plain"]) == pytest.approx(0.1, abs=0.02)
    met = {(v.arm, v.reference): v for v in synthetic.verdicts if v.block is None}
    assert met["ohgw/averaged", "vanilla/averaged"].met == 0
    assert met["screen/averaged", "vanilla/plain"].by_criterion["less time to target"][0] >= 7
