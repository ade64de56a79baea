"""How an effect depends on a setting: a smoothing spline, its optimum and how wide that is.

Two effects of an arm against its reference, paired by seed: the change of T@tau at the primary
target, and the relative gain of the final validation score. Medians over seeds at every setting
are smoothed (`splines`) over log10 of the setting, or over the setting where one is zero. For
T@tau the logarithm of the ratio is smoothed, with a miss restricted to the whole budget: the
spline needs numbers, and restricting makes an effect look smaller, never larger.

The optimum is the spline's, its interval the middle 95 % of optima when seeds are drawn anew,
the same ones at every setting. The optimal region is where the spline stays within a tolerance
of its optimum: 5 % of T@tau, or the 0.2 % of a final score that the verdict allows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ohgw.analysis.across.cell import Outcomes, is_vanilla, median
from ohgw.analysis.across.results import CellSummary, Interval, Measure, Sensitivity
from ohgw.analysis.across.splines import choose_smoothing, evaluator
from ohgw.analysis.frames import Floats
from ohgw.analysis.statistics import BOOTSTRAP_SEED, MIN_PAIRS, log_ratios, relative_gains
from ohgw.analysis.summary import references
from ohgw.analysis.verdict import SCORE_DROP
from ohgw.core import layout
from ohgw.core.records import Arm
from ohgw.core.spec import split_spec

MIN_SETTINGS = 4  # through three points every smooth curve has an optimum
TOLERANCE: Mapping[Measure, float] = {"time": 0.05, "score": SCORE_DROP}
RESAMPLES = 1999
GRID = 201


@dataclass(frozen=True, slots=True)
class Studied:
    """A cell as planned, as summarised, and what its searches came to."""

    cell: layout.Cell
    summary: CellSummary
    outcomes: Outcomes


@dataclass
class _Series:
    """One arm against one reference over the settings: paired effects by setting and seed."""

    workers: set[int] = field(default_factory=set)
    effects: dict[Measure, dict[float, dict[int, float]]] = field(
        default_factory=lambda: {"time": {}, "score": {}}
    )


Key = tuple[str, str, str, str, int | None, str, str]


def sensitivities(studied: Sequence[Studied]) -> tuple[Sensitivity, ...]:
    """For every sweep of the study: block x task x scheduler x arm x reference x measure."""
    series: dict[Key, _Series] = {}
    for one in studied:
        if one.cell.planned.sweep is not None and one.summary.summary is not None:
            _collect(one, one.cell.planned.sweep, series)
    return tuple(
        _sensitivity(key, measure, found)
        for key, sweep in series.items()
        for measure, found in sweep.effects.items()
        if found
    )


def _collect(one: Studied, sweep: layout.Sweep, series: dict[Key, _Series]) -> None:
    plan = one.cell.planned.plan
    workers = None if sweep.name == "workers" else plan.workers
    for arm in plan.arms:
        setting = sweep.values.get(arm.label, sweep.value)
        if setting is None or is_vanilla(arm.label):
            continue
        name = _without(arm.method, sweep.name) if arm.label in sweep.values else arm.method
        label = Arm(method=name, recipe=arm.recipe).label
        for reference in references(plan.arms, arm):
            task = _without(plan.task, sweep.name)
            place = (one.summary.block, sweep.name, task, plan.scheduler, workers)
            found = series.setdefault((*place, label, reference), _Series())
            for measure, effects in _effects(one, arm.label, reference).items():
                found.effects[measure].setdefault(setting, {}).update(effects)


def _effects(one: Studied, arm: str, reference: str) -> dict[Measure, dict[int, float]]:
    """By seed: log of the restricted T_arm / T_reference, and the final score's relative gain."""
    summary = one.summary.summary
    assert summary is not None
    effects: dict[Measure, dict[int, float]] = {}
    for measure, by_arm in (("time", one.outcomes.times), ("score", one.outcomes.scores)):
        ours, theirs = by_arm.get(arm, {}), by_arm.get(reference, {})
        seeds = [seed for seed in ours if seed in theirs]
        a, r = (np.array([by_seed[s] for s in seeds], dtype=float) for by_seed in (ours, theirs))
        if measure == "time":
            found = log_ratios(*(np.minimum(t, summary.budget) for t in (a, r)))
        else:
            found = relative_gains(a, r, summary.mode)
        effects[measure] = dict(zip(seeds, found.tolist(), strict=True))  # type: ignore[index]
    return effects


def _without(spec: str, option: str) -> str:
    """`digits:batch_size=32` without the option that is swept over."""
    name, *options = split_spec(spec)
    return ":".join([name, *(o for o in options if o.split("=")[0] != option)])


def _sensitivity(
    key: Key, measure: Measure, effects: Mapping[float, Mapping[int, float]]
) -> Sensitivity:
    block, setting, task, scheduler, workers, arm, reference = key
    settings = sorted(value for value, by_seed in effects.items() if by_seed)
    shown = np.expm1 if measure == "time" else np.asarray  # a log ratio as a change
    at = [shown(np.array(list(effects[value].values()))) for value in settings]
    seeds = _common([effects[value] for value in settings])
    values = np.array([[effects[value][s] for value in settings] for s in seeds], dtype=float)
    logarithmic = bool(settings) and settings[0] > 0
    found = Sensitivity(
        block=block,
        setting=setting,
        task=task,
        scheduler=scheduler,
        workers=workers,
        arm=arm,
        reference=reference,
        measure=measure,
        logarithmic=logarithmic,
        settings=tuple(settings),
        effects=tuple(median(v) for v in at),
        pairs=tuple(v.size for v in at),
        note=_refusal(settings, values),
    )
    return found if found.note else _fitted(found, values)


def _common(by_setting: Sequence[Mapping[int, float]]) -> list[int]:
    return (
        [s for s in by_setting[0] if all(s in found for found in by_setting)] if by_setting else []
    )


def _refusal(settings: Sequence[float], values: Floats) -> str | None:
    if len(settings) < MIN_SETTINGS:
        return (
            f"{len(settings)} settings are too few for a curve: from {MIN_SETTINGS} on a spline "
            "says more than the points."
        )
    if len(values) < MIN_PAIRS:
        return f"{len(values)} seeds ended at all settings; a spline needs {MIN_PAIRS}."
    if not np.isfinite(values).all():
        return "Some searches ended without a score, so that a relative gain is infinite."
    return None


def _fitted(found: Sensitivity, values: Floats) -> Sensitivity:
    """The spline through the medians of `values` (seeds, settings), and where it is best."""
    axis = np.asarray(found.settings)
    axis = np.log10(axis) if found.logarithmic else axis
    span = float(axis[-1] - axis[0])
    grid = np.linspace(0.0, 1.0, GRID)  # the first setting is 0, the last is 1
    knots = (axis - axis[0]) / span
    smoothing = choose_smoothing(knots, values)
    lift = evaluator(knots, smoothing, grid).T
    spline = np.median(values, axis=0) @ lift
    drawn = np.random.default_rng(BOOTSTRAP_SEED).integers(
        len(values), size=(RESAMPLES, len(values))
    )
    resampled = np.median(values[drawn], axis=1) @ lift
    sign = 1.0 if found.measure == "time" else -1.0  # less time is better, more score is
    tolerance = TOLERANCE[found.measure]
    best = int(np.argmin(sign * spline))
    slack = math.log1p(tolerance) if found.measure == "time" else tolerance
    low, high = _around(best, sign * (spline - spline[best]) <= slack)
    bests = grid[np.argmin(sign * resampled, axis=1)]
    shown = np.expm1 if found.measure == "time" else np.asarray

    def setting(position: float) -> float:
        if position in (0.0, 1.0):
            return found.settings[-int(position)]  # as it was given, not as it was rounded
        value = float(axis[0] + position * span)
        return 10**value if found.logarithmic else value

    band = shown(np.quantile(resampled, [0.025, 0.975], axis=0))
    return replace(
        found,
        grid=tuple(setting(x) for x in grid),
        spline=tuple(shown(spline).tolist()),
        band_low=tuple(band[0].tolist()),
        band_high=tuple(band[1].tolist()),
        smoothing=smoothing,
        optimum=Interval(
            setting(grid[best]), *(setting(x) for x in np.quantile(bests, [0.025, 0.975]))
        ),
        region=(setting(grid[low]), setting(grid[high])),
        width=float(grid[high] - grid[low]) * span,
        bounded=(low > 0, high < GRID - 1),
        tolerance=tolerance,
    )


def _around(centre: int, inside: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last index of the unbroken run of `inside` that holds `centre`."""
    outside = np.flatnonzero(~inside)
    before, after = outside[outside < centre], outside[outside > centre]
    return (
        int(before[-1]) + 1 if before.size else 0,
        int(after[0]) - 1 if after.size else inside.size - 1,
    )
