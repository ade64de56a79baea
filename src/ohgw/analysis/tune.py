"""What a single search found: its incumbent, and where the incumbent improved."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ohgw.analysis.frames import Rows, improvements, load
from ohgw.analysis.results import jsonable
from ohgw.core.errors import SettingError
from ohgw.core.protocols import Mode


@dataclass(frozen=True, slots=True)
class Improvement:
    """A report that became the incumbent; `epochs` of work were spent until then."""

    epochs: float
    seconds: float
    trial: int
    resource: int
    score: float


@dataclass(frozen=True, slots=True)
class TuneSummary:
    """One search. `score` and `configuration` are None where every trial diverged."""

    task: str
    scheduler: str
    arm: str
    seed: int
    metric: str
    mode: Mode
    budget: float
    ended: bool
    trial: int | None
    resource: int | None
    score: float | None
    configuration: dict[str, Any] | None
    test: dict[str, float | None]
    trials: int
    reports: int
    diverged: int  # reports without a finite score
    work: float  # epochs
    probe_work: float  # epochs
    seconds: float
    improvements: tuple[Improvement, ...]

    def as_json(self) -> dict[str, Any]:
        result: dict[str, Any] = jsonable(asdict(self))
        return result


def summarise_search(source: Path | str | Rows) -> TuneSummary:
    """Summary of the only search of a record. Raises `SettingError` where there are several."""
    header, reports, finals = load(source)
    plan = header.plan
    searches = {(arm.label, seed) for arm in plan.arms for seed in plan.seeds}
    if len(searches) != 1:
        raise SettingError(
            f"The record plans {len(searches)} searches; a tune report describes exactly one. "
            "Write a compare report for this directory instead."
        )
    ((label, seed),) = searches
    reports = [r for r in reports if (r.search, r.seed) == (label, seed)]
    final = next((f for f in finals if (f.search, f.seed) == (label, seed)), None)
    best = improvements(reports, header.mode)
    last = best[-1] if best else None
    ending = final or (reports[-1] if reports else None)
    return TuneSummary(
        task=plan.task,
        scheduler=plan.scheduler,
        arm=label,
        seed=seed,
        metric=header.metric,
        mode=header.mode,
        budget=plan.budget,
        ended=final is not None,
        trial=last.trial if last else None,
        resource=last.resource if last else None,
        score=last.score if last else None,
        configuration=last.configuration if last else None,
        test=final.metrics if final else {},
        trials=len({r.trial for r in reports}),
        reports=len(reports),
        diverged=sum(r.score is None for r in reports),
        work=ending.work / header.steps_per_epoch if ending else 0.0,
        probe_work=sum(r.probe_work for r in reports) / header.steps_per_epoch,
        seconds=ending.wall if ending else 0.0,
        improvements=tuple(
            Improvement(r.work / header.steps_per_epoch, r.wall, r.trial, r.resource, r.score)
            for r in best
            if r.score is not None
        ),
    )
