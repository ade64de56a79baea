"""The nouns of a comparison: what a summary holds, and how it becomes strict JSON."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ohgw.core.protocols import Mode

Outcome = Literal["wins", "loses", "ties", "mixed"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles over searches; a miss or a missing score counts as infinity."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm at one target. Times in epochs; the fields after `searches` need a reference."""

    target: str
    tau: float
    time: Spread
    reached: int
    searches: int
    change: float = math.nan  # median over pairs of T_arm / T_reference - 1
    low: float = math.nan  # 95 % paired bootstrap interval of `change`
    high: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan
    direction: int = 0  # sign of W+ - W-: -1 where the arm is faster by ranks
    deviation: float = math.nan  # standard deviation of T@tau over the reference's
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """Median paired relative change of a final score, positive where the arm is better."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Criterion:
    """One success criterion; `met` is None where the record cannot tell."""

    name: str
    limit: str
    value: float
    met: bool | None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One arm, against `reference` or alone (None)."""

    arm: str
    reference: str | None
    pairs: int
    cells: tuple[Cell, ...]
    validation: Spread
    test: Spread | None  # None where the task records no test score
    overhead: float  # probe work / all work
    validation_gain: Gain | None = None
    test_gain: Gain | None = None
    outcome: Outcome | None = None
    criteria: tuple[Criterion, ...] = ()

    @property
    def key(self) -> str:
        return self.arm if self.reference is None else f"{self.arm} vs {self.reference}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What the compared searches of one arm spent; work in epochs, time in measured seconds."""

    arm: str
    searches: int
    trials: int
    reports: int
    diverged: int  # reports without a finite score
    work: float
    probe_work: float
    seconds: float  # from the arm's first row to its last; arms that ran together overlap


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that a comparison's tables show.

    `as_json` writes infinities as the strings "inf" and "-inf" and NaN as null; `reached` beside
    `searches` says how many seeds stand behind a time.
    """

    task: str
    scheduler: str
    metric: str
    mode: Mode
    budget: float
    seeds: tuple[int, ...]
    calibration_seeds: tuple[int, ...]
    targets: dict[str, float]
    rows: tuple[Row, ...]
    costs: tuple[Cost, ...]
    seconds: float
    tests: int  # size of the Holm family
    notes: tuple[str, ...] = field(default=())

    @property
    def comparisons(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.reference is not None)

    def as_json(self) -> dict[str, Any]:
        result: dict[str, Any] = jsonable(asdict(self))
        return result


def jsonable(value: Any) -> Any:
    """`value` as strict JSON: infinities as "inf" and "-inf", NaN as null."""
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
