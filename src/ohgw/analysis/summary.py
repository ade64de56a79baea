"""The numbers of a comparison: every arm against its references, at every target.

Each arm is compared with vanilla/plain and with vanilla under the arm's own recipe, where the plan
has them. Only seeds that are not calibration seeds are compared, and only searches that ended:
an interrupted search is not a miss. Every p-value of T@tau in a study belongs to one Holm family.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ohgw.analysis.frames import Curve, Floats, Rows, Search, curves, load, worst
from ohgw.analysis.results import Cell, Cost, Gain, Row, Spread, Summary
from ohgw.analysis.statistics import (
    MIN_PAIRS,
    deviation_ratio,
    holm,
    log_ratios,
    median_interval,
    quantile,
    ratios,
    relative_gains,
    signed_rank,
)
from ohgw.analysis.time_to_target import BASELINE, time_to_target
from ohgw.analysis.time_to_target import targets as find_targets
from ohgw.analysis.verdict import ALPHA, judged
from ohgw.core.records import Arm, Final, Header, Report


def summarise(source: Path | str | Rows) -> Summary:
    """Summary of a results directory, a record file, or (header, reports, finals)."""
    return Searches.of(source).summary()


def compared_times(source: Path | str | Rows) -> dict[str, dict[str, dict[int, float]]]:
    """T@tau in epochs of every compared search: by target, arm label and seed; misses are inf."""
    return Searches.of(source).compared_times()


def compared_seeds(header: Header) -> tuple[int, ...]:
    """The plan's seeds without those that fixed the targets."""
    return tuple(s for s in header.plan.seeds if s not in header.plan.calibration_seeds)


def references(arms: Sequence[Arm], arm: Arm) -> list[str]:
    """Labels that `arm` is compared with: vanilla/plain, and vanilla under its recipe."""
    present = {a.label for a in arms}
    same_recipe = Arm(method=BASELINE.method, recipe=arm.recipe).label
    wanted = dict.fromkeys((BASELINE.label, same_recipe))
    return [label for label in wanted if label in present and label != arm.label]


def spread(values: Floats) -> Spread:
    low, median, high = (float(quantile(values, q)) for q in (0.25, 0.5, 0.75))
    return Spread(median, low, high)


def _ended(rows: Rows) -> Rows:
    header, reports, finals = rows
    ended = {(final.search, final.seed) for final in finals}
    return header, [r for r in reports if (r.search, r.seed) in ended], finals


class Searches:
    """The ended searches of one record, looked up by arm and seed."""

    @classmethod
    def of(cls, source: Path | str | Rows) -> "Searches":
        return cls(*_ended(load(source)))

    def __init__(self, header: Header, reports: list[Report], finals: list[Final]) -> None:
        self.header, self.reports = header, reports
        self.finals: dict[Search, Final] = {(f.search, f.seed): f for f in finals}
        self.curves = curves(header, reports)
        self.targets = find_targets(header, reports)
        self.compared = compared_seeds(header)
        self.budget = header.plan.budget * header.steps_per_epoch

    def summary(self) -> Summary:
        plan = self.header.plan
        rows = []
        for arm in plan.arms:
            against: list[str | None] = [*references(plan.arms, arm)] or [None]
            rows += [self.row(arm.label, label) for label in against]
        tested = [(i, j) for i, row in enumerate(rows) for j in range(len(row.cells))]
        adjusted = holm([rows[i].cells[j].p for i, j in tested])
        by_cell = dict(zip(tested, adjusted.tolist(), strict=True))
        rows = [
            judged(row, [by_cell[i, j] for j in range(len(row.cells))])
            for i, row in enumerate(rows)
        ]
        return Summary(
            task=plan.task,
            scheduler=plan.scheduler,
            metric=self.header.metric,
            mode=self.header.mode,
            budget=plan.budget,
            seeds=self.compared,
            calibration_seeds=plan.calibration_seeds,
            targets=self.targets,
            rows=tuple(rows),
            costs=tuple(self.cost(arm.label) for arm in plan.arms),
            seconds=max((f.wall for f in self.finals.values()), default=0.0),
            tests=int(np.isfinite(adjusted).sum()),
            notes=tuple(self.notes()),
        )

    def seeds(self, *labels: str) -> list[int]:
        """Compared seeds whose searches ended in every one of the arms, in the plan's order."""
        return [s for s in self.compared if all((label, s) in self.finals for label in labels)]

    def compared_times(self) -> dict[str, dict[str, dict[int, float]]]:
        """T@tau in epochs: by target, arm label and seed; misses are inf."""
        per_epoch = self.header.steps_per_epoch
        times: dict[str, dict[str, dict[int, float]]] = {}
        for target, tau in self.targets.items():
            by_arm = times[target] = {}
            for arm in self.header.plan.arms:
                seeds = self.seeds(arm.label)
                epochs = (self.times(arm.label, seeds, tau) / per_epoch).tolist()
                by_arm[arm.label] = dict(zip(seeds, epochs, strict=True))
        return times

    def times(self, label: str, seeds: Sequence[int], tau: float) -> Floats:
        """T@tau in train-step equivalents, (n,)."""
        empty = Curve(np.empty(0), np.empty(0), self.header.mode)
        found = (self.curves.get((label, seed), empty) for seed in seeds)
        return np.array([time_to_target(c, tau) for c in found], dtype=float)

    def scores(self, label: str, seeds: Sequence[int], split: str) -> Floats:
        """Final scores (n,), a missing one infinitely bad."""
        rows = [self.finals[label, seed] for seed in seeds]
        name = self.header.metric
        scores = [r.score if split == "val" else r.metrics.get(name) for r in rows]
        return np.array([worst(self.header.mode) if s is None else s for s in scores], dtype=float)

    def tested(self) -> bool:
        """Whether the task records the search's metric on a test split at all."""
        return any(self.header.metric in f.metrics for f in self.finals.values())

    def row(self, label: str, reference: str | None) -> Row:
        seeds = self.seeds(label)
        both = [] if reference is None else self.seeds(label, reference)
        finals = [self.finals[label, s] for s in seeds]
        work = sum(f.work for f in finals)
        row = Row(
            arm=label,
            reference=reference,
            pairs=len(both),
            cells=tuple(self.cell(label, reference, both, *item) for item in self.targets.items()),
            validation=spread(self.scores(label, seeds, "val")),
            test=spread(self.scores(label, seeds, "test")) if self.tested() else None,
            overhead=sum(f.probe_work for f in finals) / work if work else math.nan,
        )
        if reference is None:
            return row
        return replace(
            row,
            validation_gain=self.gain(label, reference, both, "val"),
            test_gain=self.gain(label, reference, both, "test") if self.tested() else None,
        )

    def gain(self, label: str, reference: str, seeds: Sequence[int], split: str) -> Gain:
        arm, base = self.scores(label, seeds, split), self.scores(reference, seeds, split)
        gains = relative_gains(arm, base, self.header.mode)
        return Gain(float(quantile(gains, 0.5)), *median_interval(gains))

    def cell(
        self, label: str, reference: str | None, both: Sequence[int], target: str, tau: float
    ) -> Cell:
        own = self.times(label, self.seeds(label), tau)
        time = spread(own / self.header.steps_per_epoch)
        cell = Cell(target, tau, time, int(np.isfinite(own).sum()), own.size)
        if reference is None:
            return cell
        arm, base = self.times(label, both, tau), self.times(reference, both, tau)
        changes = ratios(arm, base) - 1
        test = signed_rank(log_ratios(arm, base))
        low, high = median_interval(changes)
        return replace(
            cell,
            change=float(quantile(changes, 0.5)),
            low=low,
            high=high,
            p=test.p,
            direction=test.direction,
            deviation=deviation_ratio(arm, base, self.budget),
        )

    def cost(self, label: str) -> Cost:
        seeds = self.seeds(label)
        rows = [self.finals[label, s] for s in seeds]
        walls = [r.wall for r in self.reports if r.search == label and r.seed in set(seeds)]
        walls += [f.wall for f in rows]
        per_epoch = self.header.steps_per_epoch
        return Cost(
            arm=label,
            searches=len(rows),
            trials=sum(f.trials for f in rows),
            reports=sum(f.reports for f in rows),
            diverged=sum(f.diverged for f in rows),
            work=sum(f.work for f in rows) / per_epoch,
            probe_work=sum(f.probe_work for f in rows) / per_epoch,
            seconds=max(walls) - min(walls) if walls else 0.0,
        )

    def notes(self) -> list[str]:
        plan = self.header.plan
        notes = []
        planned = [(arm.label, s) for arm in plan.arms for s in self.compared]
        planned += [
            (arm.label, s) for arm in plan.arms if arm == BASELINE for s in plan.calibration_seeds
        ]
        unfinished = sum(search not in self.finals for search in planned)
        if unfinished:
            notes.append(
                f"{unfinished} of {len(planned)} planned searches have not ended; "
                "they enter no number here. Resume the run to finish them."
            )
        if not self.targets:
            notes.append(
                "No targets: the record has no ended calibration search of "
                f"{BASELINE.label} with a finite score, so times to target cannot be given."
            )
        elif len(self.targets) < 3:
            notes.append(
                "Some targets are undefined: the calibration searches had no finite score in time."
            )
        pairs = [len(self.seeds(a.label, r)) for a in plan.arms for r in references(plan.arms, a)]
        if pairs and min(pairs) < MIN_PAIRS:
            notes.append(
                f"With fewer than {MIN_PAIRS} paired seeds no result could reach p < {ALPHA:g}: "
                "nothing is tested there, and the arms count as tied."
            )
        return notes
