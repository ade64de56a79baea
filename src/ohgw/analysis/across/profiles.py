"""Performance profiles: how often an arm is within a factor of the best one.

A workload is a cell at a target. An arm's time in it is its median T@tau over the seeds, infinite
where the median misses; its ratio is that time over the best arm's. The profile of an arm is the
share of workloads whose ratio is at most r, as a function of r (Dolan & More 2002, Math.
Programming 91), and its score the profile's area over 1 <= r <= 4, divided by 3 (AlgoPerf: Dahl
et al. 2023, arXiv:2306.07179, section 4.3). A workload that nobody solves counts against all.

A ratio is relative to the arms that are shown: adding or removing an arm may change the order of
the others (Gould & Scott 2016). Profiles describe; they test nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ohgw.analysis.across.cell import PRIMARY, is_vanilla
from ohgw.analysis.across.results import CellSummary, Profile, ProfileCurve
from ohgw.analysis.time_to_target import LABELS

LIMIT = 4.0


def profiles(cells: Sequence[CellSummary]) -> tuple[Profile, ...]:
    """Profiles over complete cells: of every block, and of the study where it has several.

    Compared are the arms that all of these cells have; there is no profile of vanilla alone.
    """
    whole = [cell for cell in cells if cell.state == "complete"]
    blocks: list[str | None] = list(dict.fromkeys(cell.block for cell in whole))
    found = []
    for block in [*blocks, None] if len(blocks) > 1 else blocks:
        chosen = [cell for cell in whole if block is None or cell.block == block]
        for target in (PRIMARY, *(name for name in LABELS if name != PRIMARY)):
            profile = _profile(block, target, chosen)
            if profile is not None:
                found.append(profile)
    return tuple(found)


def _profile(block: str | None, target: str, cells: Iterable[CellSummary]) -> Profile | None:
    by_cell = {cell.id: _medians(cell, target) for cell in cells}
    by_cell = {name: medians for name, medians in by_cell.items() if medians}
    if not by_cell:
        return None
    every = dict.fromkeys(arm for medians in by_cell.values() for arm in medians)
    common = [arm for arm in every if all(arm in medians for medians in by_cell.values())]
    if len(common) < 2 or all(is_vanilla(arm) for arm in common):
        return None
    ratios: dict[str, list[float]] = {arm: [] for arm in common}
    for medians in by_cell.values():
        best = min(medians[arm] for arm in common)
        for arm in common:
            solved = math.isfinite(medians[arm])
            ratios[arm].append(medians[arm] / best if solved else math.inf)
    return Profile(
        block=block,
        target=target,
        primary=target == PRIMARY,
        cells=tuple(by_cell),
        limit=LIMIT,
        ratios={arm: tuple(found) for arm, found in ratios.items()},
        curves=tuple(profile_curve(arm, found) for arm, found in ratios.items()),
        left_out=tuple(arm for arm in every if arm not in common),
    )


def _medians(cell: CellSummary, target: str) -> Mapping[str, float]:
    """Median T@tau by arm; empty where calibration did not define the target."""
    return {
        arm.arm: found.work.median
        for arm in cell.arms
        for found in arm.targets
        if found.target == target
    }


def profile_curve(arm: str, ratios: Sequence[float], limit: float = LIMIT) -> ProfileCurve:
    """The step function of one arm's ratios (n,), and its normalised area up to `limit`."""
    solved = np.array([r for r in ratios if math.isfinite(r)])
    factors = np.unique(np.concatenate([[1.0], solved]))
    shares = [float((solved <= factor).sum()) / len(ratios) for factor in factors]
    inside = solved[solved < limit]
    return ProfileCurve(
        arm=arm,
        factors=tuple(factors.tolist()),
        shares=tuple(shares),
        area=float((limit - inside).sum()) / (len(ratios) * (limit - 1)),
    )
