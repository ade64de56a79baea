"""What probes saw, and what came of it: hypergradients, moves, and the trials that followed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ohgw.analysis.statistics import Floats, relative_gains
from ohgw.analysis.summary import references
from ohgw.core.records import Header, Report
from ohgw.core.space import Categorical, Space

Trial = tuple[int, int]  # seed, number


@dataclass(frozen=True, slots=True, eq=False)
class Benefits:
    """Trials of one arm whose probe saw a hypergradient, and their twins in the reference.

    `magnitudes` (n,) is the norm of the hypergradient over the dimensions that may move, in
    natural coordinates; `gains` (n,) the relative gain of the validation score, of x' over x, at
    the highest resource that both were trained to.
    """

    arm: str
    reference: str
    magnitudes: Floats
    gains: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Arrows:
    """Where an arm moved configurations, in the unit cube: `before` and `after` (n, 2)."""

    arm: str
    names: tuple[str, str]
    before: Floats
    after: Floats
    trials: int  # of which these are the first


def benefits(header: Header, reports: Sequence[Report]) -> list[Benefits]:
    """For every arm with hypergradients; empty where no trial has a twin.

    A twin is the trial of the same seed and number for which the scheduler asked the same
    configuration of vanilla, under the same recipe where the plan has it. Model-based schedulers
    soon ask for other configurations: only the trials before count then.
    """
    trials = _trials(reports)
    found = []
    for arm in header.plan.arms:
        against = references(header.plan.arms, arm)
        if not against:
            continue
        reference = against[-1]  # under the same recipe, where there is one
        pairs = [
            (_magnitude(first), twins)
            for trial, (first, scores) in trials.get(arm.label, {}).items()
            if "gradient" in first.diagnostics
            and (twins := _twins(first, scores, trials.get(reference, {}).get(trial)))
        ]
        pairs = [(size, twins) for size, twins in pairs if np.isfinite(size) and size > 0]
        if pairs:
            ours, theirs = np.array([twins for _, twins in pairs], dtype=float).T
            gains = relative_gains(ours, theirs, header.mode)
            kept = np.isfinite(gains)
            sizes = np.array([size for size, _ in pairs])
            if kept.any():
                found.append(Benefits(arm.label, reference, sizes[kept], gains[kept]))
    return found


def _trials(
    reports: Iterable[Report],
) -> dict[str, dict[Trial, tuple[Report, dict[int, float]]]]:
    """By arm and trial: its first report, and its finite scores by resource."""
    found: dict[str, dict[Trial, tuple[Report, dict[int, float]]]] = {}
    for report in reports:
        trial = (report.seed, report.trial)
        _, scores = found.setdefault(report.search, {}).setdefault(trial, (report, {}))
        if report.score is not None:
            scores[report.resource] = report.score
    return found


def _twins(
    first: Report, scores: dict[int, float], other: tuple[Report, dict[int, float]] | None
) -> tuple[float, float] | None:
    """Scores of both at the highest resource that both reached."""
    if other is None or other[0].proposed != first.proposed:
        return None
    common = scores.keys() & other[1].keys()
    return (scores[max(common)], other[1][max(common)]) if common else None


def _magnitude(report: Report) -> float:
    held = set(report.diagnostics.get("held", ()))
    seen = [
        value
        for name, value in report.diagnostics["gradient"].items()
        if name not in held and value is not None
    ]
    return float(np.linalg.norm(seen)) if seen else 0.0


def arrows(header: Header, reports: Sequence[Report], limit: int = 150) -> list[Arrows]:
    """Every arm that moved anything, over the two hyperparameters that moved farthest.

    At most `limit` trials of an arm, in order of arrival. Empty without the search space.
    """
    if header.space is None:
        return []
    space = Space.from_dict(header.space)
    names = [name for name, domain in space.items() if not isinstance(domain, Categorical)]
    if len(names) < 2:
        return []
    found = []
    for arm in header.plan.arms:
        first = [r for r in reports if r.search == arm.label and r.start == 0]
        moved = [r for r in first if r.proposed != r.configuration]
        if not moved:
            continue
        before, after = (
            np.array([[space[n].to_unit(x[n]) for n in names] for x in side], dtype=float)
            for side in ([r.proposed for r in moved], [r.configuration for r in moved])
        )
        farthest = np.argsort(-np.abs(after - before).mean(axis=0), kind="stable")[:2]
        pair = sorted(farthest.tolist())
        found.append(
            Arrows(
                arm.label,
                (names[pair[0]], names[pair[1]]),
                before[:limit, pair],
                after[:limit, pair],
                len(first),
            )
        )
    return found
