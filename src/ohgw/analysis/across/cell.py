"""The numbers of one cell: those of `ohgw compare`, and what only a study asks for.

Beside work: measured seconds, the area under the anytime curve, deviations and variances, peak
memory. p-values are adjusted over the cell here; those over the study come later, in `summary`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ohgw.analysis.across.results import (
    ArmNumbers,
    ArmTarget,
    CellCosts,
    CellSummary,
    Interval,
    Pair,
    PairTarget,
    State,
)
from ohgw.analysis.across.shift import shifts
from ohgw.analysis.frames import Curve, Floats, curves
from ohgw.analysis.results import Gain, Row, Summary
from ohgw.analysis.statistics import (
    median_interval,
    quantile,
    ratios,
    restricted_deviation,
)
from ohgw.analysis.summary import Searches, references, spread
from ohgw.analysis.time_to_target import BASELINE, time_to_target
from ohgw.core import layout
from ohgw.core.errors import RecordError

# Of the three targets, the one that the verdict is about: the only one that is chosen, as the
# specification asks, so that vanilla reaches it within its budget.
PRIMARY = "reach_90"


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What is kept of a cell's searches once its rows are forgotten: by arm label and seed."""

    times: Mapping[str, Mapping[int, float]]  # T@tau at the primary target, epochs; misses inf
    scores: Mapping[str, Mapping[int, float]]  # final validation, a missing one infinitely bad


See = Callable[[layout.Cell, Searches, Summary], None]


def summarise_cell(cell: layout.Cell, see: See | None = None) -> tuple[CellSummary, Outcomes]:
    """The numbers of one cell. Raises `RecordError` where the record of a complete cell is broken.

    `see` is shown the searches before they are forgotten: reading them takes longest.

    The record of a cell that is being written may end in half a line: then the cell counts as
    begun, with a note, and has no numbers.
    """
    if not cell.started:
        return _summary(cell, "absent", notes=("Nothing is recorded yet.",)), Outcomes({}, {})
    try:
        searches = Searches.of(cell.path)
    except RecordError as error:
        if cell.manifest is not None:
            raise
        return _summary(cell, "partial", notes=(str(error),)), Outcomes({}, {})
    numbers = _Numbers(searches, cell.manifest)
    if see is not None:
        see(cell, searches, numbers.summary)
    labels = [arm.label for arm in searches.header.plan.arms]
    outcomes = Outcomes(
        searches.compared_times().get(PRIMARY, {}),
        {
            label: dict(zip(seeds, searches.scores(label, seeds, "val").tolist(), strict=True))
            for label in labels
            for seeds in [searches.seeds(label)]
        },
    )
    return _summary(cell, "partial" if cell.manifest is None else "complete", numbers), outcomes


def _summary(
    cell: layout.Cell,
    state: State,
    numbers: "_Numbers | None" = None,
    notes: tuple[str, ...] = (),
) -> CellSummary:
    planned, plan = cell.planned, cell.planned.plan
    return CellSummary(
        id=planned.id,
        block=planned.block,
        task=plan.task,
        scheduler=plan.scheduler,
        workers=plan.workers,
        state=state,
        searches=len(numbers.searches.finals) if numbers else 0,
        planned=len(plan.calibration_seeds) + len(plan.arms) * len(plan.seeds),
        costs=_costs(cell.manifest),
        summary=numbers.summary if numbers else None,
        arms=tuple(numbers.arm(arm.label) for arm in plan.arms) if numbers else (),
        pairs=numbers.pairs() if numbers else (),
        shifts=shifts(numbers.searches) if numbers else (),
        auc_anchors=numbers.anchors if numbers else None,
        notes=notes + (numbers.notes() if numbers else ()),
    )


def _costs(manifest: layout.Manifest | None) -> CellCosts | None:
    if manifest is None:
        return None
    return CellCosts(
        seconds=manifest.seconds,
        cpu_seconds=manifest.cpu_seconds,
        device_seconds=manifest.device_seconds,
        gpu_hours=manifest.gpu_hours,
        peak_rss_bytes=manifest.peak_rss_bytes,
        peak_cuda_bytes=manifest.peak_cuda_bytes,
        energy_joules=manifest.energy_joules,
        step_bytes=manifest.memory.step_bytes if manifest.memory else None,
        device=manifest.device,
    )


class _Numbers:
    """A cell's searches, and everything that is computed from them."""

    def __init__(self, searches: Searches, manifest: layout.Manifest | None) -> None:
        self.searches, self.header = searches, searches.header
        self.memory = manifest.memory if manifest else None
        self.summary: Summary = searches.summary()
        self.seconds = curves(searches.header, searches.reports, clock="wall")
        self.anchors = auc_anchors(searches)

    def arm(self, label: str) -> ArmNumbers:
        row = next(r for r in self.summary.rows if r.arm == label)
        cost = next(c for c in self.summary.costs if c.arm == label)
        seeds = self.searches.seeds(label)
        validation = _deviation(self.searches.scores(label, seeds, "val"))
        tested = row.test is not None
        test = _deviation(self.searches.scores(label, seeds, "test")) if tested else math.nan
        flops = (self.header.step_flops or math.nan) * self.header.steps_per_epoch
        return ArmNumbers(
            arm=label,
            searches=len(seeds),
            planned=len(self.searches.compared),
            targets=tuple(self._arm_target(label, seeds, *t) for t in self.summary.targets.items()),
            validation=row.validation,
            validation_deviation=validation,
            validation_variance=validation**2,
            test=row.test,
            test_deviation=test,
            test_variance=test**2,
            auc=spread(self.areas(label, seeds)),
            work=cost.work,
            probe_work=cost.probe_work,
            overhead=row.overhead,
            flops=flops * cost.work,
            probe_flops=flops * cost.probe_work,
            memory_bytes=self.memory.arms.get(label) if self.memory else None,
            seconds=cost.seconds,
        )

    def _arm_target(self, label: str, seeds: Sequence[int], target: str, tau: float) -> ArmTarget:
        work = self.searches.times(label, seeds, tau) / self.header.steps_per_epoch
        deviation = restricted_deviation(work, self.header.plan.budget)
        return ArmTarget(
            target=target,
            tau=tau,
            reached=int(np.isfinite(work).sum()),
            work=spread(work),
            seconds=spread(self.wall(label, seeds, tau)),
            deviation=deviation,
            variance=deviation**2,
        )

    def pairs(self) -> tuple[Pair, ...]:
        return tuple(self._pair(row, row.reference) for row in self.summary.rows if row.reference)

    def _pair(self, row: Row, reference: str) -> Pair:
        both = self.searches.seeds(row.arm, reference)
        gained = self.areas(row.arm, both) - self.areas(reference, both)
        return Pair(
            arm=row.arm,
            reference=reference,
            pairs=row.pairs,
            targets=tuple(
                self._pair_target(row, reference, both, k) for k in range(len(row.cells))
            ),
            validation=_interval(row.validation_gain),
            test=_interval(row.test_gain) if row.test_gain else None,
            auc=median(gained) if self.anchors else Interval(math.nan, math.nan, math.nan),
            extra_cost=row.overhead,
            extra_memory=extra_memory(self.memory, row.arm, reference),
        )

    def _pair_target(self, row: Row, reference: str, both: Sequence[int], k: int) -> PairTarget:
        found = row.cells[k]
        arm = self.searches.times(row.arm, both, found.tau)
        base = self.searches.times(reference, both, found.tau)
        seconds = ratios(self.wall(row.arm, both, found.tau), self.wall(reference, both, found.tau))
        hit, base_hit = np.isfinite(arm), np.isfinite(base)
        return PairTarget(
            target=found.target,
            tau=found.tau,
            primary=found.target == PRIMARY,
            change=Interval(found.change, found.low, found.high),
            speedup=median(ratios(base, arm)),
            seconds_change=median(seconds - 1),
            p=found.p,
            p_holm_cell=found.p_holm,
            p_holm=math.nan,
            p_bonferroni=math.nan,
            decidable=False,
            direction=found.direction,
            deviation=found.deviation,
            both=int((hit & base_hit).sum()),
            arm_only=int((hit & ~base_hit).sum()),
            reference_only=int((~hit & base_hit).sum()),
            neither=int((~hit & ~base_hit).sum()),
        )

    def wall(self, label: str, seeds: Sequence[int], tau: float) -> Floats:
        """Measured seconds from the run's begin until tau is reached, (n,); misses are inf."""
        empty = Curve(np.empty(0), np.empty(0), self.header.mode)
        found = (self.seconds.get((label, seed), empty) for seed in seeds)
        return np.array([time_to_target(c, tau) for c in found], dtype=float)

    def areas(self, label: str, seeds: Sequence[int]) -> Floats:
        """Normalised area under each anytime curve, (n,); empty without anchors."""
        if self.anchors is None:
            return np.empty(0)
        empty = Curve(np.empty(0), np.empty(0), self.header.mode)
        found = (self.searches.curves.get((label, seed), empty) for seed in seeds)
        return np.array([area(c, self.searches.budget, *self.anchors) for c in found], dtype=float)

    def notes(self) -> tuple[str, ...]:
        notes = list(self.summary.notes)
        if self.anchors is None and self.summary.targets:
            notes.append(
                "No area under the anytime curve: the calibration searches never improved on "
                "their first score, so they give no scale."
            )
        if self.header.space is None:
            notes.append(
                "No shift of the final configurations: the record, written by an older version, "
                "does not hold the search space."
            )
        return tuple(notes)


def auc_anchors(searches: Searches) -> tuple[float, float] | None:
    """Scores at which the normalised curve is 0 and 1, from the calibration seeds.

    The medians of the first and of the last best score of vanilla/plain. None without them, or
    where they are equal.
    """
    calibration = searches.header.plan.calibration_seeds
    found = [searches.curves.get((BASELINE.label, seed)) for seed in calibration]
    scored = [c for c in found if c is not None and c.best.size]
    if not scored:
        return None
    first = float(np.median([c.best[0] for c in scored]))
    last = float(np.median([c.final for c in scored]))
    return None if first == last else (first, last)


def area(curve: Curve, budget: float, zero: float, one: float) -> float:
    """Area under a normalised anytime curve over the budget, divided by the budget.

    The best score so far is mapped linearly so that `zero` is 0 and `one` is 1; a search without
    a score yet, or with one worse than `zero`, stands at 0. Above 1 nothing is cut.
    """
    edges = np.minimum(np.concatenate([curve.work, [budget]]), budget)
    quality = np.maximum((curve.best - zero) / (one - zero), 0.0)
    return float((quality * np.diff(edges)).sum() / budget)


def extra_memory(memory: layout.Memory | None, arm: str, reference: str) -> float:
    """Peak bytes of the arm over the reference's, less 1; NaN where they were not measured.

    The peak of an arm is that of a training step or of its probe, whichever is larger.
    """
    if memory is None or arm not in memory.arms or reference not in memory.arms:
        return math.nan
    peak, base = (max(memory.step_bytes, memory.arms[label]) for label in (arm, reference))
    return peak / base - 1 if base else math.nan


def median(values: Floats) -> Interval:
    """The median of paired values with its bootstrap interval."""
    return Interval(float(quantile(values, 0.5)), *median_interval(values))


def judged_pairs(cell: CellSummary) -> list[Pair]:
    """The pairs that the verdict is about: every arm that is not vanilla."""
    return [pair for pair in cell.pairs if not is_vanilla(pair.arm)]


def planned_pairs(cell: layout.Cell) -> list[tuple[str, str]]:
    """(arm, reference) of every tuple that the plan asks for, run or not."""
    arms = cell.planned.plan.arms
    return [
        (arm.label, label)
        for arm in arms
        if not is_vanilla(arm.label)
        for label in references(arms, arm)
    ]


def is_vanilla(label: str) -> bool:
    return label.split("/")[0] == BASELINE.method


def _interval(gain: Gain | None) -> Interval:
    if gain is None:
        return Interval(math.nan, math.nan, math.nan)
    return Interval(gain.median, gain.low, gain.high)


def _deviation(scores: Floats) -> float:
    finite = scores[np.isfinite(scores)]
    return float(finite.std(ddof=1)) if finite.size > 1 else math.nan
