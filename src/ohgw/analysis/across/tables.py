"""The tables of a study: what is measured, what is compared, what is judged, what it cost."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ohgw.analysis import wording
from ohgw.analysis.across.results import (
    ArmNumbers,
    ArmTarget,
    CellSummary,
    Interval,
    Pair,
    PairTarget,
    Profile,
    ProfileCurve,
    Sensitivity,
    Shift,
    StudySummary,
    TupleVerdict,
    Verdict,
)
from ohgw.analysis.results import Criterion, Spread
from ohgw.analysis.tables import Column, Table
from ohgw.analysis.time_to_target import LABELS

T = TypeVar("T")
AnyTable = Table[Any]
NONE = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class _Of(Generic[T]):
    """Something of a cell."""

    cell: CellSummary
    it: T


def study_tables(summary: StudySummary) -> list[AnyTable]:
    """All tables of a study's report, in the order in which one reads them."""
    return [
        _verdicts(summary.verdicts),
        _tuples(summary),
        _effects(summary),
        _arms(summary),
        _costs(summary.cells),
        _arm_costs(summary.cells),
        _shifts(summary.cells),
        _profiles(summary.profiles),
        _sensitivities(summary.sensitivities),
    ]


def _verdicts(verdicts: Iterable[Verdict]) -> AnyTable:
    return Table(
        "verdict",
        "Share of tuples (task, scheduler, workers) that meet every success criterion.",
        (
            Column("block", lambda v: v.block, "block", lambda v: v.block or "all", right=False),
            Column("arm", lambda v: v.arm, "arm", right=False),
            Column("reference", lambda v: v.reference, "against", right=False),
            Column("tuples", lambda v: v.tuples, "tuples"),
            Column("met", lambda v: v.met, "met"),
            Column("not_met", lambda v: v.not_met, "not met"),
            Column("cannot_tell", lambda v: v.cannot_tell, "cannot tell"),
            _percent("share", lambda v: v.share, "share"),
            Column("required", lambda v: v.required),
            Column("holds", lambda v: v.holds, "verdict", lambda v: _met(v.holds)),
        ),
        tuple(verdicts),
    )


def _tuples(summary: StudySummary) -> AnyTable:
    names = dict.fromkeys(c.name for t in summary.tuples for c in t.criteria)
    columns: list[Column[TupleVerdict]] = [
        Column("cell", lambda t: t.cell),
        Column("block", lambda t: t.block),
        Column("task", lambda t: t.task, "task", right=False),
        Column("scheduler", lambda t: t.scheduler, "scheduler", right=False),
        Column("workers", lambda t: t.workers, "workers", right=False),
        Column("arm", lambda t: t.arm, "arm", right=False),
        Column("reference", lambda t: t.reference, "against", right=False),
        Column("pairs", lambda t: t.pairs, "pairs"),
        Column("p", lambda t: t.at.p if t.at else math.nan),
        Column("p_holm", lambda t: t.at.p_holm if t.at else math.nan),
    ]
    for name in names:
        columns += _criterion(name)
    columns.append(Column("met", lambda t: t.met, "all", lambda t: _met(t.met)))
    return Table(
        "tuples",
        f"Success criteria, tuple by tuple, at the target {LABELS[summary.primary]}. In brackets, "
        "whether each is met; Holm's p over the study's family stands in the table of effects.",
        tuple(columns),
        summary.tuples,
    )


def _criterion(name: str) -> list[Column[TupleVerdict]]:
    def of(row: TupleVerdict) -> Criterion | None:
        return next((c for c in row.criteria if c.name == name), None)

    def text(row: TupleVerdict) -> str:
        found = of(row)
        short = {True: "yes", False: "no", None: "?"}
        return f"{wording.criterion(found)} ({short[found.met]})" if found else wording.NOTHING

    def value(row: TupleVerdict) -> float:
        found = of(row)
        return found.value if found else math.nan

    def met(row: TupleVerdict) -> bool | None:
        found = of(row)
        return found.met if found else None

    key = name.replace("τ", "tau").replace("@", "_at_").replace(" ", "_")
    return [Column(key, value, name, text), Column(f"{key}_met", met)]


def _effects(summary: StudySummary) -> AnyTable:
    rows = tuple(
        _Of(cell, (pair, at))
        for cell in summary.cells
        for pair in cell.pairs
        for at in pair.targets
    )
    columns: list[Column[_Of[tuple[Pair, PairTarget]]]] = [
        *_place(),
        Column("arm", lambda r: r.it[0].arm, "arm", right=False),
        Column("reference", lambda r: r.it[0].reference, "against", right=False),
        Column("target", lambda r: r.it[1].target),
        Column("tau", lambda r: r.it[1].tau),
        Column("pairs", lambda r: r.it[0].pairs, "pairs"),
        *_interval("change", lambda r: r.it[1].change, "change of T@τ"),
        *_interval("speedup", lambda r: r.it[1].speedup),
        *_interval("seconds_change", lambda r: r.it[1].seconds_change),
        _tested("p", lambda r: r.it[1].p, "p"),
        _number("p_holm", lambda r: r.it[1].p_holm, "Holm", digits=2),
        _number("p_bonferroni", lambda r: r.it[1].p_bonferroni, "Bonferroni", digits=2),
        Column("p_holm_cell", lambda r: r.it[1].p_holm_cell),
        Column("direction", lambda r: r.it[1].direction),
        Column("deviation_ratio", lambda r: r.it[1].deviation),
        Column("both", lambda r: r.it[1].both),
        Column("arm_only", lambda r: r.it[1].arm_only),
        Column("reference_only", lambda r: r.it[1].reference_only),
        Column("neither", lambda r: r.it[1].neither),
        *_interval("validation_gain", lambda r: r.it[0].validation, "validation"),
        *_interval("test_gain", lambda r: r.it[0].test or NONE, "test"),
        *_interval("auc_gain", lambda r: r.it[0].auc),
        Column("extra_cost", lambda r: r.it[0].extra_cost),
        Column("extra_memory", lambda r: r.it[0].extra_memory),
    ]
    return Table(
        "effects",
        f"Paired changes at the target {LABELS[summary.primary]}: median with 95 % bootstrap "
        f"interval, raw p, and p adjusted over the {summary.family.tests} tests of the family "
        f"({summary.family.description}).",
        tuple(columns),
        rows,
        lambda r: r.it[1].primary,
    )


def _arms(summary: StudySummary) -> AnyTable:
    rows = tuple(
        _Of(cell, (arm, at)) for cell in summary.cells for arm in cell.arms for at in arm.targets
    )
    columns: list[Column[_Of[tuple[ArmNumbers, ArmTarget]]]] = [
        *_place(),
        Column("arm", lambda r: r.it[0].arm, "arm", right=False),
        Column("target", lambda r: r.it[1].target),
        Column("tau", lambda r: r.it[1].tau),
        Column("searches", lambda r: r.it[0].searches),
        Column(
            "reached",
            lambda r: r.it[1].reached,
            "reached",
            lambda r: f"{r.it[1].reached} of {r.it[0].searches}",
        ),
        *_spread("epochs", lambda r: r.it[1].work, "T@τ, epochs"),
        *_spread("seconds", lambda r: r.it[1].seconds, "T@τ, s"),
        _number("deviation", lambda r: r.it[1].deviation, "s.d. of T@τ"),
        Column("variance", lambda r: r.it[1].variance),
        *_spread("validation", lambda r: r.it[0].validation, "validation"),
        Column("validation_deviation", lambda r: r.it[0].validation_deviation),
        Column("validation_variance", lambda r: r.it[0].validation_variance),
        *_spread("test", lambda r: r.it[0].test, "test"),
        Column("test_deviation", lambda r: r.it[0].test_deviation),
        Column("test_variance", lambda r: r.it[0].test_variance),
        *_spread("auc", lambda r: r.it[0].auc, "AUC"),
        Column("overhead", lambda r: r.it[0].overhead),
    ]
    return Table(
        "arms",
        f"Every arm at the target {LABELS[summary.primary]}: median and quartiles over seeds.",
        tuple(columns),
        rows,
        lambda r: r.it[1].target == summary.primary,
    )


def _costs(cells: Iterable[CellSummary]) -> AnyTable:
    def cost(name: str, heading: str | None = None, unit: float = 1.0) -> Column[CellSummary]:
        def value(cell: CellSummary) -> float | None:
            return getattr(cell.costs, name) if cell.costs else None

        def text(cell: CellSummary) -> str:
            found = value(cell)
            return wording.NOTHING if found is None else wording.number(found / unit)

        return Column(name, value, heading, text)

    return Table(
        "costs",
        "What each cell cost.",
        (
            Column("cell", lambda c: c.id, "cell", right=False),
            Column("block", lambda c: c.block),
            Column("state", lambda c: c.state, "state", right=False),
            Column("searches", lambda c: c.searches, "searches"),
            Column("planned", lambda c: c.planned),
            cost("seconds", "seconds"),
            cost("cpu_seconds", "CPU seconds"),
            cost("device_seconds"),
            cost("gpu_hours", "GPU hours"),
            cost("peak_rss_bytes", "peak memory, MiB", 2**20),
            cost("peak_cuda_bytes", "of the GPU, MiB", 2**20),
            cost("energy_joules", "energy, kJ", 1000),
            cost("step_bytes"),
        ),
        tuple(cells),
    )


def _arm_costs(cells: Iterable[CellSummary]) -> AnyTable:
    columns: list[Column[_Of[ArmNumbers]]] = [
        *_place(),
        Column("arm", lambda r: r.it.arm, "arm", right=False),
        Column("searches", lambda r: r.it.searches, "searches"),
        _number("epochs", lambda r: r.it.work, "epochs"),
        Column("probe_epochs", lambda r: r.it.probe_work),
        _number("flops", lambda r: r.it.flops, "FLOPs"),
        _number("probe_flops", lambda r: r.it.probe_flops, "of probes"),
        _percent("overhead", lambda r: r.it.overhead, "share"),
        Column("memory_bytes", lambda r: r.it.memory_bytes),
        Column("seconds", lambda r: r.it.seconds),
    ]
    rows = tuple(_Of(cell, arm) for cell in cells for arm in cell.arms)
    return Table(
        "arm_costs", "Work of each arm, and the probes' share of it.", tuple(columns), rows
    )


def _shifts(cells: Iterable[CellSummary]) -> AnyTable:
    columns: list[Column[_Of[Shift]]] = [
        *_place(),
        Column("arm", lambda r: r.it.arm, "arm", right=False),
        Column("reference", lambda r: r.it.reference, "against", right=False),
        Column("hyperparameter", lambda r: r.it.hyperparameter, "hyperparameter", right=False),
        Column("pairs", lambda r: r.it.pairs, "pairs"),
        *_interval("shift", lambda r: r.it.shift, "mean shift", percent=False),
        _number("kl", lambda r: r.it.divergence, "KL", digits=2),
        Column("kl_null_median", lambda r: r.it.null_median),
        _number("kl_null_95", lambda r: r.it.null_high, "by chance below", digits=2),
        _tested("p", lambda r: r.it.p, "p"),
    ]
    rows = tuple(_Of(cell, shift) for cell in cells for shift in cell.shifts)
    return Table(
        "shifts",
        "Final configurations in the unit cube: mean shift with 95 % bootstrap interval, "
        "KL(arm || reference) in nats, and below what it lies in 95 % of exchanges of the arms.",
        tuple(columns),
        rows,
    )


def _profiles(profiles: Iterable[Profile]) -> AnyTable:
    rows = tuple((profile, curve) for profile in profiles for curve in profile.curves)
    columns: list[Column[tuple[Profile, ProfileCurve]]] = [
        Column("block", lambda r: r[0].block, "block", lambda r: r[0].block or "all", right=False),
        Column(
            "target", lambda r: r[0].target, "target", lambda r: LABELS[r[0].target], right=False
        ),
        Column("arm", lambda r: r[1].arm, "arm", right=False),
        Column("workloads", lambda r: len(r[0].cells), "workloads"),
        _percent("best", lambda r: r[1].shares[0], "best"),
        _percent("solved", lambda r: r[1].shares[-1], "solved"),
        _number("area", lambda r: r[1].area, "score"),
    ]
    return Table(
        "profiles",
        "Performance profiles: share of workloads in which an arm is the best, or solves the "
        "workload at all, and the area under its profile up to four times the best arm's time.",
        tuple(columns),
        rows,
    )


def _sensitivities(found: Iterable[Sensitivity]) -> AnyTable:
    columns: list[Column[Sensitivity]] = [
        Column("block", lambda s: s.block),
        Column("setting", lambda s: s.setting, "setting", right=False),
        Column("task", lambda s: s.task, "task", right=False),
        Column("scheduler", lambda s: s.scheduler, "scheduler", right=False),
        Column("arm", lambda s: s.arm, "arm", right=False),
        Column("reference", lambda s: s.reference, "against", right=False),
        Column("measure", lambda s: s.measure, "of", right=False),
        Column("settings", lambda s: " ".join(f"{v:g}" for v in s.settings)),
        Column("effects", lambda s: " ".join(f"{e.value:.6g}" for e in s.effects)),
        *_interval("optimum", lambda s: s.optimum, "optimum", percent=False),
        Column("region_low", lambda s: s.region[0]),
        Column("region_high", lambda s: s.region[1]),
        _number("width", lambda s: s.width, "width", digits=2),
        Column("decades", lambda s: s.logarithmic),
        Column("smoothing", lambda s: s.smoothing),
        Column("note", lambda s: s.note),
    ]
    return Table(
        "sensitivity",
        "Where the effect of an arm is best along a setting: optimum of the spline with 95 % "
        "bootstrap interval, and width of the region that is about as good (in decades where the "
        "setting is positive).",
        tuple(columns),
        tuple(found),
    )


def _place() -> list[Column[Any]]:
    """What a cell is about."""
    return [
        Column("cell", lambda r: r.cell.id),
        Column("block", lambda r: r.cell.block),
        Column("task", lambda r: r.cell.task, "task", right=False),
        Column("scheduler", lambda r: r.cell.scheduler, "scheduler", right=False),
        Column("workers", lambda r: r.cell.workers, "workers", right=False),
    ]


def _interval(
    name: str, of: Any, heading: str | None = None, percent: bool = True
) -> list[Column[Any]]:
    """Three columns in the CSV, one where printed."""

    def text(row: Any) -> str:
        found = of(row)
        if math.isnan(found.value):
            return wording.NOTHING
        if percent:
            limits = wording.interval(found.low, found.high)
            return " ".join(filter(None, [wording.percent(found.value), limits]))
        limits = f" [{wording.number(found.low, 2)}, {wording.number(found.high, 2)}]"
        return wording.number(found.value, 2) + ("" if math.isnan(found.low) else limits)

    return [
        Column(name, lambda r: of(r).value, heading, text),
        Column(f"{name}_low", lambda r: of(r).low),
        Column(f"{name}_high", lambda r: of(r).high),
    ]


def _spread(name: str, of: Any, heading: str) -> list[Column[Any]]:
    def part(row: Any, field: str) -> float:
        found: Spread | None = of(row)
        return getattr(found, field) if found else math.nan

    return [
        Column(name, lambda r: part(r, "median"), heading, lambda r: wording.spread(of(r))),
        Column(f"{name}_q1", lambda r: part(r, "low")),
        Column(f"{name}_q3", lambda r: part(r, "high")),
    ]


def _number(name: str, of: Any, heading: str, digits: int = 3) -> Column[Any]:
    return Column(name, of, heading, lambda r: wording.number(of(r), digits))


def _percent(name: str, of: Any, heading: str) -> Column[Any]:
    return Column(name, of, heading, lambda r: wording.percent(of(r), signed=False))


def _tested(name: str, of: Any, heading: str) -> Column[Any]:
    return Column(name, of, heading, lambda r: wording.p_value(of(r)))


def _met(met: bool | None) -> str:
    return {True: "met", False: "not met", None: "cannot tell"}[met]
