"""Whether an arm's final configurations lie elsewhere than its reference's.

Incumbents are compared seed by seed in the unit cube, one hyperparameter at a time: the mean
shift, and the Kullback-Leibler divergence KL(arm || reference) of the two sets of values.

Densities. Where a hyperparameter has at most `BINS` values: their shares. Otherwise: Gaussian
kernels, reflected at 0 and 1, with Silverman's bandwidth (1986, eq. 3.31) of both arms pooled.
Either is mixed with one observation's weight of the uniform density, so that the divergence is
finite. The estimate is biased upwards, more so with few seeds; what it is without any difference
is therefore shown beside it, by exchanging the arms at random within seeds (Good 2005).
"""

import math
from collections.abc import Sequence

import numpy as np

from ohgw.analysis.across.results import Interval, Shift
from ohgw.analysis.frames import Floats
from ohgw.analysis.statistics import MIN_PAIRS, mean_interval, quantile
from ohgw.analysis.summary import Searches, references
from ohgw.core.space import Categorical, Domain, Float, Space

PERMUTATIONS = 999
PERMUTATION_SEED = 20241117
GRID = 128  # midpoints of the unit interval at which densities are compared
BINS = 12  # most values of a discrete hyperparameter that are counted one by one


def shifts(searches: Searches) -> tuple[Shift, ...]:
    """Every arm against its references, in every hyperparameter; empty without the space."""
    header = searches.header
    if header.space is None:
        return ()
    space = Space.from_dict(header.space)
    found = []
    for arm in header.plan.arms:
        for reference in references(header.plan.arms, arm):
            seeds = [
                seed
                for seed in searches.seeds(arm.label, reference)
                if searches.finals[arm.label, seed].trial is not None
                and searches.finals[reference, seed].trial is not None
            ]
            for name, domain in space.items():
                ours, theirs = (
                    _unit(searches, label, seeds, name, domain) for label in (arm.label, reference)
                )
                found.append(_shift(arm.label, reference, name, domain, ours, theirs))
    return tuple(found)


def _unit(
    searches: Searches, label: str, seeds: Sequence[int], name: str, domain: Domain
) -> Floats:
    rows = (searches.finals[label, seed].configuration for seed in seeds)
    return np.array([domain.to_unit(row[name]) for row in rows], dtype=float)


def _shift(
    arm: str, reference: str, name: str, domain: Domain, ours: Floats, theirs: Floats
) -> Shift:
    moved = ours - theirs
    mean = Interval(math.nan, math.nan, math.nan)
    if moved.size and not isinstance(domain, Categorical):
        mean = Interval(float(moved.mean()), *mean_interval(moved))
    divergence, null = divergences(ours, theirs, values=_values(domain))
    enough = moved.size >= MIN_PAIRS
    # An exchange that changes nothing gives the observed number again, up to rounding.
    as_large = np.count_nonzero(null >= divergence * (1 - 1e-9) - 1e-12)
    return Shift(
        arm=arm,
        reference=reference,
        hyperparameter=name,
        pairs=moved.size,
        shift=mean,
        divergence=divergence,
        null_median=float(quantile(null, 0.5)) if enough else math.nan,
        null_high=float(quantile(null, 0.95)) if enough else math.nan,
        p=(1 + as_large) / (1 + PERMUTATIONS) if enough else math.nan,
        arm_values=tuple(ours.tolist()),
        reference_values=tuple(theirs.tolist()),
    )


def divergences(
    arm: Floats, reference: Floats, values: Floats | None = None
) -> tuple[float, Floats]:
    """KL(arm || reference) in nats of paired values (n,) in [0, 1], and its null (PERMUTATIONS,).

    `values` (k,) are the only ones possible, ascending; None for a continuum. NaN without pairs.
    """
    n = arm.size
    if n == 0:
        return math.nan, np.full(PERMUTATIONS, math.nan)
    rows = _kernels(arm, reference) if values is None else _shares(arm, reference, values)
    ours, theirs = rows[:n], rows[n:]
    exchanged = np.random.default_rng(PERMUTATION_SEED).integers(2, size=(PERMUTATIONS, n))
    exchanged = np.concatenate([np.zeros((1, n), dtype=int), exchanged])
    crossing = exchanged @ (theirs - ours)
    # Rows are densities relative to the uniform one, whose single observation is the 1.
    p = (ours.sum(axis=0) + crossing + 1) / (n + 1)
    q = (theirs.sum(axis=0) - crossing + 1) / (n + 1)
    found = np.maximum((p * np.log(p / q)).mean(axis=1), 0.0)
    return float(found[0]), found[1:]


def _kernels(arm: Floats, reference: Floats) -> Floats:
    """Density of each value's reflected kernel at the grid's midpoints, (2n, GRID)."""
    pooled = np.concatenate([arm, reference])
    grid = (np.arange(GRID) + 0.5) / GRID
    spreads = (pooled.std(ddof=1), np.subtract(*np.quantile(pooled, [0.75, 0.25])) / 1.34)
    width = max(0.9 * min(spreads) * pooled.size**-0.2, 2 / GRID)  # no narrower than the grid
    centres = pooled[:, None]
    rows = sum(np.exp(-0.5 * ((grid - c) / width) ** 2) for c in (centres, -centres, 2 - centres))
    return np.asarray(rows / np.mean(rows, axis=1, keepdims=True))


def _shares(arm: Floats, reference: Floats, values: Floats) -> Floats:
    """One-hot rows relative to equal shares, (2n, k)."""
    nearest = np.abs(np.concatenate([arm, reference])[:, None] - values).argmin(axis=1)
    return np.asarray(np.eye(values.size)[nearest] * values.size)


def _values(domain: Domain) -> Floats | None:
    if isinstance(domain, Float):
        return None
    if isinstance(domain, Categorical):
        return np.array([domain.to_unit(choice) for choice in domain.choices])
    if domain.high - domain.low >= BINS:
        return None
    return np.array([domain.to_unit(value) for value in range(domain.low, domain.high + 1)])
