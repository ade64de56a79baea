"""Paired statistics of times to target in which a miss counts as infinity.

Pairs are seeds. Nothing here drops a pair: where both arms miss, the pair is a tie (ratio 1);
where one misses, the ratio is infinite or zero, and the test ranks it beyond every observed one.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ohgw.core.protocols import Mode

Floats = NDArray[np.float64]

# With five pairs the smallest two-sided p of a signed-rank test is 2 / 2^5 = .0625: no outcome
# could fall below .05, so a test would only look like one.
MIN_PAIRS = 6
RESAMPLES = 4999
BOOTSTRAP_SEED = 20240229


def quantile(values: ArrayLike, q: float, axis: int = 0) -> Floats:
    """Quantile with linear interpolation (Hyndman & Fan 1996, type 7) that accepts infinities.

    Between a finite and an infinite neighbour the infinite one wins, and -inf wins over inf, so
    the answer is never NaN unless `values` is empty.
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=axis)
    if ordered.shape[axis] == 0:
        return np.full(tuple(np.delete(ordered.shape, axis)), np.nan)
    position = (ordered.shape[axis] - 1) * q
    low = np.take(ordered, math.floor(position), axis=axis)
    high = np.take(ordered, math.ceil(position), axis=axis)
    with np.errstate(invalid="ignore"):
        between = low + (position - math.floor(position)) * (high - low)
    answer: Floats = np.where((low == high) | np.isneginf(low), low, between)
    return answer


def ratios(arm: ArrayLike, reference: ArrayLike) -> Floats:
    """T_arm / T_reference per seed (n,): 1 where both miss, inf or 0 where one does."""
    a, r = np.asarray(arm, dtype=float), np.asarray(reference, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(a == r, 1.0, a / r)


def log_ratios(arm: ArrayLike, reference: ArrayLike) -> Floats:
    """log T_arm / T_reference per seed (n,): 0 where both miss, inf or -inf where one does.

    On the log scale exchanging the arms flips the sign, so under the hypothesis of no difference
    the distribution is symmetric about zero, as the signed-rank test assumes.
    """
    with np.errstate(divide="ignore"):
        return np.log(ratios(arm, reference))


@dataclass(frozen=True, slots=True)
class SignedRank:
    """Outcome of a signed-rank test; `direction` is the sign of W+ minus W-."""

    p: float  # NaN with fewer than MIN_PAIRS pairs
    direction: int
    pairs: int
    zeros: int


def signed_rank(differences: ArrayLike) -> SignedRank:
    """Two-sided Wilcoxon signed-rank test of paired `differences` (n,), infinities allowed.

    Infinite differences share the largest ranks. Zeros follow Pratt (1959): they are ranked and
    then carry no sign. Dropping them before ranking would let a study in which both arms mostly
    miss look like a smaller study of decided pairs, and splitting their ranks between the signs
    (zsplit) has no exact distribution. p is exact given ties and zeros: the distribution of W+
    over all sign assignments of the non-zero pairs, by convolution. All zeros give p = 1.
    """
    # Work is a sum of floats: equal ratios differ in the last bits and must still tie.
    d = np.round(np.asarray(differences, dtype=float), 12)
    if np.isnan(d).any():
        raise ValueError("A paired difference is NaN; map misses to infinity before testing.")
    decided = d != 0
    doubled = np.rint(2 * rankdata(np.abs(d))[decided]).astype(int)  # midranks become integers
    plus, minus = int(doubled[d[decided] > 0].sum()), int(doubled[d[decided] < 0].sum())
    zeros = int((~decided).sum())
    direction = int(np.sign(plus - minus))
    if d.size < MIN_PAIRS:
        return SignedRank(math.nan, direction, d.size, zeros)
    chance = np.zeros(plus + minus + 1)
    chance[0] = 1.0
    for rank in doubled:
        shifted = np.zeros_like(chance)
        shifted[rank:] = chance[: chance.size - rank]
        chance = (chance + shifted) / 2
    p = min(1.0, 2 * float(chance[: min(plus, minus) + 1].sum()))
    return SignedRank(p, direction, d.size, zeros)


def holm(p: ArrayLike) -> Floats:
    """Holm's (1979) step-down adjusted p-values, in the order given; NaN stays out of the family.

    Whether a p is NaN depends on the number of pairs alone, so leaving it out is not selection.
    """
    raw = np.asarray(p, dtype=float)
    adjusted = np.full(raw.shape, np.nan)
    (tested,) = np.nonzero(~np.isnan(raw))
    order = tested[np.argsort(raw[tested], kind="stable")]
    steps = raw[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if order.size else steps
    return adjusted


def bonferroni(p: ArrayLike) -> Floats:
    """Bonferroni's adjusted p-values, in the order given; NaN stays out of the family."""
    raw = np.asarray(p, dtype=float)
    return np.minimum(1.0, raw * np.count_nonzero(~np.isnan(raw)))


def decidable(p: ArrayLike, pairs: ArrayLike, alpha: float) -> NDArray[np.bool_]:
    """Whether each test of a Holm family could be below `alpha` beside the others, as they are.

    The smallest two-sided p of n pairs is 2^(1-n), where all of them agree. A test for which even
    that is adjusted to `alpha` or more decides nothing, whatever its outcome.
    """
    raw = np.asarray(p, dtype=float)
    found = np.zeros(raw.shape, dtype=bool)
    for k, n in enumerate(np.asarray(pairs, dtype=float)):
        best = raw.copy()
        best[k] = 2 ** (1 - n)
        found[k] = not np.isnan(raw[k]) and holm(best)[k] < alpha
    return found


def median_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the median of paired `values` (n,), infinities allowed.

    Resamples whole pairs with a fixed seed. (NaN, NaN) with fewer than MIN_PAIRS pairs.
    """
    v = np.asarray(values, dtype=float)
    if v.size < MIN_PAIRS:
        return math.nan, math.nan
    medians = quantile(v[_resamples(v.size)], 0.5, axis=1)
    tail = (1 - level) / 2
    return float(quantile(medians, tail)), float(quantile(medians, 1 - tail))


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """As `median_interval`, of the mean of finite paired `values` (n,)."""
    v = np.asarray(values, dtype=float)
    if v.size < MIN_PAIRS:
        return math.nan, math.nan
    tail = (1 - level) / 2
    low, high = np.quantile(v[_resamples(v.size)].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


@lru_cache(maxsize=8)
def _resamples(n: int) -> NDArray[np.int64]:
    return np.random.default_rng(BOOTSTRAP_SEED).integers(n, size=(RESAMPLES, n))


def relative_gains(arm: ArrayLike, reference: ArrayLike, mode: Mode) -> Floats:
    """Relative change of paired final scores (n,), positive where the arm is better.

    A missing score comes as the worst one (inf for 'min', -inf for 'max'): equal scores, two
    missing ones included, change by 0; one missing score changes by minus or plus infinity.
    """
    a, r = np.asarray(arm, dtype=float), np.asarray(reference, dtype=float)
    sign = -1.0 if mode == "min" else 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        gains = np.where(np.isinf(r), np.inf, sign * (a - r) / np.abs(r))
    return np.where(a == r, 0.0, gains)


def deviation_ratio(arm: ArrayLike, reference: ArrayLike, budget: float) -> float:
    """Standard deviation of T_arm over that of T_reference, both restricted at the budget.

    A miss enters as the whole budget, as in restricted mean survival time. NaN where that says
    nothing: fewer than two seeds, or either arm misses in more than half of them.
    """
    top, bottom = restricted_deviation(arm, budget), restricted_deviation(reference, budget)
    if bottom == 0:
        return 1.0 if top == 0 else math.inf if top > 0 else math.nan
    return top / bottom


def restricted_deviation(times: ArrayLike, budget: float) -> float:
    """Sample standard deviation of T (n,), a miss entering as the whole budget; NaN as above."""
    t = np.asarray(times, dtype=float)
    if t.size < 2 or np.isinf(t).mean() > 0.5:
        return math.nan
    return float(np.minimum(t, budget).std(ddof=1))
