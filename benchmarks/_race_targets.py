"""Targets of a race, fixed before it from searches that take part in no arm.

Calibration: our ASHA without a method and without averaging, on seeds from 1,000,000 on, with as
many epochs as one core trains in some minutes with the peers' loop. The targets are the median
incumbent's loss after a quarter and after half of these epochs, and the loss that nine in ten of
the searches have reached at their end.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ohgw import tasks
from ohgw.core.records import Plan, Report, read_records
from ohgw.study.plan import CALIBRATION_ARM, CALIBRATION_SEED
from ohgw.study.run import run

# What one core of the machine that this was written on trains in a minute, rounded.
EPOCHS_A_MINUTE = {"digits": 400.0, "breast-cancer": 3500.0, "charlm": 24.0}
SEEDS = 10
REACHED_BY = 0.9  # of the searches, at their end
Incumbents = list[tuple[float, float]]
"""(share of the budget, loss) of every report of one search, in order."""


def calibrate(task: str, minutes: float, directory: Path) -> dict[str, Any]:
    """Targets of a task, easiest first, and how they came about. Minutes; resumable."""
    torch.set_num_threads(1)
    loaded = tasks.load(task)
    plan = Plan(
        task=task,
        scheduler="asha",
        arms=(CALIBRATION_ARM,),
        seeds=tuple(range(CALIBRATION_SEED, CALIBRATION_SEED + SEEDS)),
        budget=minutes * EPOCHS_A_MINUTE[task],
        workers=4,
        engine="population",
        device="cpu",
        threads=1,
    )
    run(plan, loaded, directory, resume=True)
    header, reports, _ = read_records(directory / "records.jsonl")
    whole = plan.budget * header.steps_per_epoch
    found = choose([_incumbents(reports, seed, whole) for seed in plan.seeds])
    return {
        "task": task,
        "rule": found,
        "losses": sorted(found.values(), reverse=True),
        "epochs": plan.budget,
        "minutes_of_one_core": minutes,
        "seeds": list(plan.seeds),
    }


def _incumbents(reports: Sequence[Report], seed: int, whole: float) -> Incumbents:
    return [
        (report.work / whole, report.score)
        for report in reports
        if report.seed == seed and report.score is not None
    ]


def choose(searches: Sequence[Incumbents]) -> dict[str, float]:
    """The rule: three losses by what they are called."""
    return {
        "median at 25 %": median(best(search, 0.25) for search in searches),
        "median at 50 %": median(best(search, 0.50) for search in searches),
        "reached by 90 %": sorted(best(search, 1.0) for search in searches)[
            math.ceil(REACHED_BY * len(searches)) - 1
        ],
    }


def best(search: Incumbents, share: float) -> float:
    """The smallest loss until that share of the budget; infinite where nothing was reported."""
    return min((loss for spent, loss in search if spent <= share + 1e-9), default=math.inf)
