"""Paired statistics against hand-worked values, scipy, and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import PermutationMethod, bootstrap, wilcoxon

from ohgw.analysis.statistics import (
    bonferroni,
    decidable,
    deviation_ratio,
    holm,
    log_ratios,
    mean_interval,
    median_interval,
    quantile,
    ratios,
    relative_gains,
    restricted_deviation,
    signed_rank,
)

INF = math.inf
finite = st.floats(-1e3, 1e3).map(lambda x: round(x, 6))


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([1, 2, 3, INF], 0.5, 2.5),
        ([1, 2, INF, INF], 0.5, INF),
        ([1, INF, INF], 0.25, INF),
        ([1, 2, INF], 0.5, 2),
        ([INF, INF], 0.5, INF),
        ([-INF, 1], 0.5, -INF),
        ([-INF, INF], 0.5, -INF),
        ([7], 0.25, 7),
    ],
)
def test_quantiles_with_infinities(values: list[float], q: float, expected: float) -> None:
    assert quantile(values, q) == expected


def test_quantile_of_nothing_is_nan() -> None:
    assert math.isnan(quantile([], 0.5))


@given(st.lists(finite, min_size=1, max_size=30), st.floats(0, 1))
def test_finite_quantiles_are_numpys(values: list[float], q: float) -> None:
    assert quantile(values, q) == pytest.approx(np.quantile(values, q), abs=1e-9)


@given(st.lists(st.one_of(finite, st.just(INF)), min_size=1, max_size=20), st.floats(0, 1))
def test_quantiles_are_never_nan(values: list[float], q: float) -> None:
    assert not math.isnan(quantile(values, q))


def test_ratios_of_misses() -> None:
    arm, reference = [2, INF, 3, INF], [4, INF, INF, 5]
    assert ratios(arm, reference).tolist() == [0.5, 1, 0, INF]
    assert log_ratios(arm, reference).tolist() == [math.log(0.5), 0, -INF, INF]
    assert quantile(ratios(arm, reference) - 1, 0.5) == pytest.approx(-0.25)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-4, 4), min_size=6, max_size=9))
def test_signed_rank_is_the_exact_permutation_test(differences: list[int]) -> None:
    # Small integers: many ties and zeros, where the tables of the exact test do not hold.
    ours = signed_rank(np.array(differences, dtype=float))
    if not any(differences):
        assert ours.p == 1 and ours.direction == 0
        return
    theirs = wilcoxon(
        np.array(differences, dtype=float),
        zero_method="pratt",
        method=PermutationMethod(n_resamples=10**6),
    )
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)


@given(st.lists(st.floats(0.01, 100), min_size=6, max_size=40, unique=True), st.data())
def test_signed_rank_without_ties_is_scipys(sizes: list[float], data: st.DataObject) -> None:
    sizes = [round(s, 6) for s in sizes]
    if len(set(sizes)) < len(sizes):
        return
    signs = data.draw(st.lists(st.sampled_from([-1, 1]), min_size=len(sizes), max_size=len(sizes)))
    differences = np.array(sizes) * signs
    expected = wilcoxon(differences, method="exact").pvalue
    assert signed_rank(differences).p == pytest.approx(expected, rel=1e-9)


def test_signed_rank_by_hand() -> None:
    # Ranks 1..6, all negative: W+ = 0, probability 1/64 at either end.
    found = signed_rank([-1, -2, -3, -4, -5, -6])
    assert found.p == pytest.approx(2 / 64) and found.direction == -1
    # Pratt: two zeros take ranks 1 and 2; 3..8 remain. W+ = 3 has probability 2/64 (0 or 3).
    found = signed_rank([0, 0, 0.5, -1, -2, -3, -4, -5])
    assert found.p == pytest.approx(2 * 2 / 64) and found.zeros == 2


def test_a_one_sided_miss_outranks_every_observed_difference() -> None:
    seven = [-1, -2, -3, -4, -5, -6]
    assert signed_rank([*seven, INF]).p == signed_rank([*seven, 1e9]).p
    assert signed_rank([*seven, INF]).p > signed_rank([*seven, 0.5]).p
    # Several misses tie with each other, whichever the direction.
    assert signed_rank([*seven, INF, -INF]).p == signed_rank([*seven, 9, -9]).p


def test_infinite_differences_stay_ranked_when_all_are() -> None:
    assert signed_rank([INF] * 6).p == pytest.approx(2 / 64)
    assert signed_rank([INF] * 3 + [-INF] * 3).p == 1


@given(st.lists(st.one_of(finite, st.just(INF), st.just(-INF)), min_size=6, max_size=30))
def test_exchanging_the_arms_flips_the_direction_only(differences: list[float]) -> None:
    d = np.array(differences)
    one, other = signed_rank(d), signed_rank(-d)
    assert one.p == pytest.approx(other.p) and one.direction == -other.direction
    assert 0 < one.p <= 1


def test_too_few_pairs_are_not_tested() -> None:
    found = signed_rank([-1, -2, -3, -4, -5])
    assert math.isnan(found.p) and found.direction == -1 and found.pairs == 5
    assert math.isnan(signed_rank([]).p)
    assert signed_rank([0.0] * 6).p == 1


def test_equal_ratios_tie_despite_rounding() -> None:
    reference = np.array([0.1, 0.2, 0.3, 0.7, 1.1, 1.3, 2.3, 4.7])
    d = log_ratios(reference * 3, reference)
    assert len(set(d.tolist())) > 1, "the example must contain rounding"
    signs = np.array([1, -1, 1, 1, -1, 1, 1, 1])
    for turn in range(8):
        turned = np.roll(signs, turn)
        assert signed_rank(d * turned).p == signed_rank(turned).p


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        signed_rank([math.nan] * 6)


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04, made monotone .04 .06 .06 .06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == pytest.approx([0.03])
    assert holm([]).size == 0


def test_holm_leaves_untested_out_of_the_family() -> None:
    found = holm([0.02, math.nan, 0.03])
    assert found[[0, 2]] == pytest.approx([0.04, 0.04]) and math.isnan(found[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_raw_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    found, raw = holm(p), np.array(p)
    assert (found >= raw).all() and (found <= np.minimum(1, raw * len(p)) + 1e-12).all()
    assert (np.diff(found[np.argsort(raw, kind="stable")]) >= 0).all()


def test_bonferroni_by_hand() -> None:
    found = bonferroni([0.01, math.nan, 0.6])
    assert found[[0, 2]] == pytest.approx([0.02, 1.0]) and math.isnan(found[1])
    assert bonferroni([]).size == 0


def test_a_test_is_decidable_if_its_smallest_p_would_pass_beside_the_others() -> None:
    # Ten pairs reach .00195; times 20 that is .039, times 30 it is .059.
    assert decidable([0.5] * 20, [10] * 20, 0.05).all()
    assert not decidable([0.5] * 30, [10] * 30, 0.05).any()
    # Twelve others that pass leave a family of 18 for the rest.
    assert decidable([1e-6] * 12 + [0.5] * 18, [10] * 30, 0.05)[12:].all()
    assert decidable([0.5] * 30, [10] * 29 + [12], 0.05).tolist() == [False] * 29 + [True]
    assert decidable([math.nan, 0.5], [5, 6], 0.05).tolist() == [False, True]


def test_the_mean_interval_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(3).normal(1, 2, 25)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    assert mean_interval(values) == pytest.approx((theirs.low, theirs.high), abs=0.05)
    assert all(map(math.isnan, mean_interval([0.1] * 5)))


def test_a_restricted_deviation_is_unknown_where_most_miss() -> None:
    assert restricted_deviation([1, 2, INF, 4], 4) == pytest.approx(1.5)
    assert math.isnan(restricted_deviation([1, INF, INF], 4))
    assert math.isnan(restricted_deviation([1], 4))


def test_false_positives_stay_near_nominal_under_no_effect() -> None:
    rng = np.random.default_rng(7)
    studies, pairs = 600, 24
    shared = rng.lognormal(3, 0.5, (studies, pairs, 1))
    times = shared * rng.lognormal(0, 0.4, (studies, pairs, 2))
    times = np.where(times > 35, INF, times)  # about a quarter miss, often both
    p = np.array([signed_rank(log_ratios(t[:, 0], t[:, 1])).p for t in times])
    rate = (p < 0.05).mean()
    # Four standard errors above 5 %; the exact test with ties may stay somewhat below it.
    assert 0.02 <= rate <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / studies)
    family = np.array([holm(three)[:3].min() for three in p.reshape(-1, 3)])
    assert (family < 0.05).mean() <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / len(family))


def test_a_real_effect_is_found() -> None:
    rng = np.random.default_rng(8)
    times = rng.lognormal(3, 0.5, (200, 32, 1)) * rng.lognormal(0, 0.2, (200, 32, 2))
    p = np.array([signed_rank(log_ratios(0.75 * t[:, 0], t[:, 1])).p for t in times])
    assert (p < 0.05).mean() > 0.95


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(9)
    hits = [low <= 0 <= high for low, high in map(median_interval, rng.normal(size=(150, 32)))]
    assert 0.9 <= np.mean(hits) <= 1.0


def test_intervals_with_misses_and_few_pairs() -> None:
    low, high = median_interval([-0.3, -0.2, -0.25, -0.1, -0.4, INF, INF, INF])
    assert -0.4 <= low < 0 and high == INF
    assert all(map(math.isnan, median_interval([0.1] * 5)))
    values = np.linspace(-1, 1, 20)
    assert median_interval(values) == median_interval(values)


@pytest.mark.parametrize(
    ("arm", "reference", "mode", "gain"),
    [
        (0.9, 1.0, "min", 0.1),
        (0.9, 1.0, "max", -0.1),
        (-3.0, -2.0, "min", 0.5),
        (INF, 1.0, "min", -INF),
        (1.0, INF, "min", INF),
        (INF, INF, "min", 0.0),
        (-INF, 1.0, "max", -INF),
        (0.0, 0.0, "min", 0.0),
        (0.1, 0.0, "min", -INF),
    ],
)
def test_relative_gains(arm: float, reference: float, mode: str, gain: float) -> None:
    (found,) = relative_gains([arm], [reference], mode)
    assert found == (gain if math.isinf(gain) else pytest.approx(gain))


def test_deviation_ratio_restricts_misses_to_the_budget() -> None:
    assert deviation_ratio([1, 3], [1, 2], 10) == pytest.approx(2)
    assert deviation_ratio([1, 2, INF], [1, 2, 5], 5) == pytest.approx(1)
    assert deviation_ratio([2, 2], [3, 3], 9) == 1
    assert deviation_ratio([1, 2], [3, 3], 9) == INF
    assert math.isnan(deviation_ratio([INF, INF, 1], [1, 2, 3], 9))
    assert math.isnan(deviation_ratio([1], [2], 9))
