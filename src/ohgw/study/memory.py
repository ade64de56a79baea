"""How much more memory an arm's probes take than training alone, for one search at a time."""

import torch

from ohgw.core.layout import Memory
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import Arm, Plan
from ohgw.engines.build import make_sampler
from ohgw.engines.engine import Engine, drive
from ohgw.engines.memory import peak_bytes
from ohgw.study.plan import CALIBRATION_ARM, CALIBRATION_SEED, Task, make_searches

MEMORY_SEED = CALIBRATION_SEED - 1  # of the searches measured here; no study compares it


class _Enough(Exception):
    """The first jobs have been trained for a moment."""


def measure_memory(plan: Plan, task: Task) -> Memory | None:
    """Peak bytes of the plan's workers in each arm, from the first probe to the first steps.

    A search is at its largest when all its workers start: each probes a configuration, then all
    train. `step_bytes` is that of vanilla under the plain recipe, which never probes. Measured on
    searches of their own, so that arms fused into one program can be told apart; the same task,
    arm and workers are measured once in a process. None for a task that only trains and scores.
    """
    if not isinstance(task, DifferentiableTask):
        return None
    arms = dict.fromkeys([CALIBRATION_ARM, *plan.arms])
    found = {arm.label: _peak(plan, task, arm) for arm in arms}
    plain = found[CALIBRATION_ARM.label]
    return Memory(step_bytes=plain, arms={arm.label: found[arm.label] for arm in plan.arms})


_PEAKS: dict[tuple[str, str, int, str, Arm], int] = {}


def _peak(plan: Plan, task: DifferentiableTask, arm: Arm) -> int:
    key = (plan.task, plan.device, plan.workers, plan.engine, arm)
    if key not in _PEAKS:
        engine = make_sampler(plan.engine, task, plan.workers)
        _PEAKS[key] = peak_bytes(
            torch.device(task.device), lambda: start_search(plan, task, engine, arm)
        )
    return _PEAKS[key]


def start_search(plan: Plan, task: DifferentiableTask, engine: Engine, arm: Arm) -> None:
    """The first moments of one search of `arm`: every worker probes, then all train a few steps.

    Recorded nowhere; on a seed that no study compares.
    """
    alone = {
        "arms": (arm,),
        "seeds": (MEMORY_SEED,),
        "calibration_seeds": (),
        "scheduler": "random",  # does not matter before the first report
        "budget": 1e12,  # epochs: every worker starts, whatever its variant takes
    }
    searches = make_searches(plan.model_copy(update=alone), task, engine)
    turns = 0

    def on_turn() -> None:
        nonlocal turns
        turns += 1
        if turns > 1:  # the first turn launches, and trains for a moment after this is called
            raise _Enough

    try:
        drive(searches, engine, lambda row: None, on_turn)
    except _Enough:
        return
