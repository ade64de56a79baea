"""The nouns of a whole study: what `summarise_study` gives, and how it becomes strict JSON.

Every number belongs to a cell (one comparison), to a pair of arms in a cell, or to a block of
cells. NaN stands for "the record cannot tell"; an infinite time for a target that was missed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ohgw.analysis.results import Criterion, Spread, Summary, jsonable

State = Literal["complete", "partial", "absent"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A median (of a `Shift`: a mean) with its 95 % bootstrap interval; NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ArmTarget:
    """One arm at one target. Deviations restrict a miss to the whole budget."""

    target: str
    tau: float
    reached: int
    work: Spread  # T@tau, epochs
    seconds: Spread  # T@tau, measured since the cell's run began, all its searches side by side
    deviation: float  # standard deviation of T@tau, epochs; NaN where over half of the seeds miss
    variance: float  # epochs squared


@dataclass(frozen=True, slots=True)
class ArmNumbers:
    """One arm of a cell, alone: over its compared searches that ended."""

    arm: str
    searches: int
    planned: int
    targets: tuple[ArmTarget, ...]
    validation: Spread
    validation_deviation: float  # over the finite scores
    validation_variance: float
    test: Spread | None  # None where the task records no test score
    test_deviation: float
    test_variance: float
    auc: Spread  # normalised area under the anytime curve; 1 is good
    work: float  # epochs, all searches
    probe_work: float  # epochs
    overhead: float  # probe work / all work = probe FLOPs / all FLOPs
    flops: float  # NaN where the task's step was not counted
    probe_flops: float
    memory_bytes: int | None  # of a probe, one configuration; None where not measured
    seconds: float  # from the arm's first row to its last


@dataclass(frozen=True, slots=True)
class PairTarget:
    """One arm against its reference at one target."""

    target: str
    tau: float
    primary: bool
    change: Interval  # T_arm / T_reference - 1, median over pairs, in work
    speedup: Interval  # T_reference / T_arm, median over pairs, in work
    seconds_change: Interval  # as `change`, in measured seconds
    p: float  # raw, two-sided signed-rank
    p_holm_cell: float  # Holm over all tests of the cell
    p_holm: float  # Holm over the family of the study; NaN where outside it
    p_bonferroni: float  # the same family
    decidable: bool  # whether any outcome of so many pairs could have p_holm < alpha
    direction: int  # sign of W+ - W-: -1 where the arm is faster by ranks
    deviation: float  # standard deviation of T@tau over the reference's
    both: int  # pairs in which both reach the target
    arm_only: int
    reference_only: int
    neither: int  # pairs in which both miss; they count as 1


@dataclass(frozen=True, slots=True)
class Pair:
    """One arm of a cell against one reference, over the seeds that ended in both."""

    arm: str
    reference: str
    pairs: int
    targets: tuple[PairTarget, ...]
    validation: Interval  # relative gain of the final score, + is better
    test: Interval | None
    auc: Interval  # paired difference of the normalised areas, + is better
    extra_cost: float  # the arm's probe work / all its work
    extra_memory: float  # peak bytes over those without a probe - 1; NaN where not measured

    @property
    def key(self) -> str:
        return f"{self.arm} vs {self.reference}"

    @property
    def primary(self) -> PairTarget | None:
        """At the primary target; None where calibration did not define it."""
        return next((target for target in self.targets if target.primary), None)


@dataclass(frozen=True, slots=True)
class Shift:
    """Final configurations of an arm against a reference's: one hyperparameter, unit cube.

    `divergence` is KL(arm || reference) in nats; `null_high` the 95th percentile of the same
    number when arms are exchanged at random within seeds, `p` its permutation p-value, so that
    noise is not read as bias. p-values are raw.
    """

    arm: str
    reference: str
    hyperparameter: str
    pairs: int
    shift: Interval  # mean of u_arm - u_reference; NaN for a categorical hyperparameter
    divergence: float
    null_median: float
    null_high: float
    p: float
    arm_values: tuple[float, ...]  # unit cube, (pairs,), in the order of the seeds
    reference_values: tuple[float, ...]

    @property
    def key(self) -> str:
        return f"{self.arm} vs {self.reference}"


@dataclass(frozen=True, slots=True)
class CellCosts:
    """What a complete cell cost, from its manifest; None where not measured."""

    seconds: float
    cpu_seconds: float
    device_seconds: float | None
    gpu_hours: float
    peak_rss_bytes: int
    peak_cuda_bytes: int | None
    energy_joules: float | None
    step_bytes: int | None
    device: str


@dataclass(frozen=True, slots=True)
class CellSummary:
    """One cell. `summary` is that of `ohgw compare`; None where nothing was recorded yet."""

    id: str
    block: str
    task: str
    scheduler: str
    workers: int
    state: State
    searches: int  # ended, calibration included
    planned: int
    costs: CellCosts | None  # None unless complete
    summary: Summary | None
    arms: tuple[ArmNumbers, ...]
    pairs: tuple[Pair, ...]
    shifts: tuple[Shift, ...]
    auc_anchors: tuple[float, float] | None  # scores at which the normalised curve is 0 and 1
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TupleVerdict:
    """The success criteria for one task x scheduler x workers x arm against one reference."""

    cell: str
    block: str
    task: str
    scheduler: str
    workers: int
    arm: str
    reference: str
    pairs: int
    criteria: tuple[Criterion, ...]  # every one must be met; empty where nothing has run
    met: bool | None  # None: cannot tell
    at: PairTarget | None  # the numbers at the primary target


@dataclass(frozen=True, slots=True)
class Verdict:
    """The share of tuples of an arm, against one reference, that meet every criterion.

    `holds` is None where the tuples that cannot tell could still decide either way.
    """

    block: str | None  # None: all blocks together
    arm: str
    reference: str
    tuples: int
    met: int
    not_met: int
    cannot_tell: int
    required: float  # share
    holds: bool | None
    by_criterion: Mapping[str, tuple[int, int, int]]  # met, not met, cannot tell

    @property
    def share(self) -> float:
        return self.met / self.tuples


@dataclass(frozen=True, slots=True)
class ProfileCurve:
    """One arm's profile: the share of workloads solved within `factors` of the best arm.

    A step function: `shares[k]` holds from `factors[k]` on, and before `factors[0]` it is 0.
    """

    arm: str
    factors: tuple[float, ...]  # increasing, from 1
    shares: tuple[float, ...]
    area: float  # over factors from 1 to `Profile.limit`, normalised: 1 is best everywhere


@dataclass(frozen=True, slots=True)
class Profile:
    """Performance profiles at one target over the cells of a block (None: of the study).

    `ratios[arm][k]` is the arm's median T@tau over the best arm's in workload `cells[k]`;
    infinite where the median misses the target.
    """

    block: str | None
    target: str
    primary: bool
    cells: tuple[str, ...]
    limit: float
    ratios: Mapping[str, tuple[float, ...]]
    curves: tuple[ProfileCurve, ...]
    left_out: tuple[str, ...]  # arms that some of these cells lack


Measure = Literal["time", "score"]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How an arm's paired effect depends on a setting: points, smoothing spline, optimum.

    For "time" the effect is T_arm / T_reference - 1 at the primary target, misses restricted to
    the budget, and less is better; for "score" the relative gain of the final validation score,
    and more is better. Where `note` says why there is no spline, the fields from `grid` on are
    empty or NaN.
    """

    block: str
    setting: str
    task: str
    scheduler: str
    workers: int | None  # None where workers are the setting
    arm: str
    reference: str
    measure: Measure
    logarithmic: bool  # the spline's axis: log10 of the setting, or the setting
    settings: tuple[float, ...]  # increasing
    effects: tuple[Interval, ...]
    pairs: tuple[int, ...]
    note: str | None
    grid: tuple[float, ...] = ()  # settings
    spline: tuple[float, ...] = ()  # effect at `grid`
    band_low: tuple[float, ...] = ()  # 95 % bootstrap band of the spline
    band_high: tuple[float, ...] = ()
    smoothing: float = float("nan")
    optimum: Interval = Interval(float("nan"), float("nan"), float("nan"))  # a setting
    region: tuple[float, float] = (float("nan"), float("nan"))  # within `tolerance` of the best
    width: float = float("nan")  # of the region, in decades where logarithmic
    bounded: tuple[bool, bool] = (False, False)  # whether the region ends inside the settings
    tolerance: float = float("nan")

    @property
    def flat(self) -> bool:
        """Whether no setting matters: all of the spline lies within the tolerance."""
        return self.note is None and not any(self.bounded)


@dataclass(frozen=True, slots=True)
class Family:
    """The tests that Holm and Bonferroni adjust together."""

    description: str
    tests: int
    alpha: float


@dataclass(frozen=True, slots=True)
class StudySummary:
    """Everything that the tables of a study's report show."""

    name: str
    title: str
    description: str
    primary: str  # target
    family: Family
    cells: tuple[CellSummary, ...]
    tuples: tuple[TupleVerdict, ...]
    verdicts: tuple[Verdict, ...]
    profiles: tuple[Profile, ...]
    sensitivities: tuple[Sensitivity, ...]
    notes: tuple[str, ...]

    @property
    def blocks(self) -> tuple[str, ...]:
        """In the plan's order."""
        return tuple(dict.fromkeys(cell.block for cell in self.cells))

    def as_json(self) -> dict[str, Any]:
        """As plain data: infinities are "inf" and "-inf", NaN is null, a pair its own key."""
        result: dict[str, Any] = jsonable(asdict(self))
        return result
