"""From what a user asks to a checked `Plan`, and from a plan to searches.

Everything that can be wrong with a request is found here, before any compute is spent.
"""

import math
from collections.abc import Sequence

from ohgw.core.errors import SettingError
from ohgw.core.protocols import BlackBoxTask, DifferentiableTask, Scheduler
from ohgw.core.records import Arm, Plan
from ohgw.core.streams import Streams
from ohgw.engines.build import check_spec as check_engine
from ohgw.engines.engine import Engine
from ohgw.engines.search import Search
from ohgw.schedulers import check_spec, make
from ohgw.training.recipes import get_recipe
from ohgw.warmstart import make_method
from ohgw.warmstart.sweep import make_sweep

Task = DifferentiableTask | BlackBoxTask

CALIBRATION_SEED = 1_000_000  # first of the seeds that fix targets and are never compared
CALIBRATION_ARM = Arm(method="vanilla", recipe="plain")


def make_plan(
    task: Task,
    *,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    scheduler: str,
    budget: float,
    workers: int,
    engine: str,
    device: str,
    threads: int,
    calibration: int = 0,
) -> Plan:
    """A checked plan. `budget` in epochs (resource units) for each search.

    Raises `SettingError` or `UnknownNameError` naming the value and the remedy.
    """
    check_spec(scheduler)
    check_engine(engine)
    if not arms:
        raise SettingError("No method was named. Name at least one, for example vanilla.")
    for arm in arms:
        make_method(arm.method)
        get_recipe(arm.recipe)
    if len(set(arms)) < len(arms):
        raise SettingError(f"An arm is named twice: {', '.join(arm.label for arm in arms)}.")
    if workers < 1:
        raise SettingError(f"workers={workers!r} must be at least 1.")
    if not seeds:
        raise SettingError("The number of seeds must be at least 1.")
    if min(seeds) < 0 or max(seeds) >= CALIBRATION_SEED:
        raise SettingError(f"Seeds must lie in 0 ... {CALIBRATION_SEED - 1}, not {seeds!r}.")
    if not math.isfinite(budget) or budget < task.min_resource:
        raise SettingError(
            f"A budget of {budget!r} epochs trains nothing: the first rung of task "
            f"{task.name!r} takes {task.min_resource}. Give at least {2 * task.min_resource}, "
            f"better {20 * task.min_resource} or more."
        )
    return Plan(
        task=task.name,
        scheduler=scheduler,
        arms=tuple(arms),
        seeds=tuple(seeds),
        calibration_seeds=tuple(CALIBRATION_SEED + seeds[0] + k for k in range(calibration)),
        budget=budget,
        workers=workers,
        engine=engine,
        device=device,
        threads=threads,
    )


def make_searches(plan: Plan, task: Task, engine: Engine) -> list[Search]:
    """The searches of a plan: calibration first, then every arm on every seed."""
    cells = [(CALIBRATION_ARM, seed) for seed in plan.calibration_seeds]
    cells += [(arm, seed) for seed in plan.seeds for arm in plan.arms]
    searches = [
        _search(index, arm, seed, plan, task, engine) for index, (arm, seed) in enumerate(cells)
    ]
    for search in searches:
        search.method.check(search.sweep)
        price = search.method.price(search.sweep)
        if task.min_resource * engine.steps_per_unit + price > search.budget:
            raise SettingError(
                f"A budget of {plan.budget!r} epochs does not hold one trial of arm "
                f"{search.arm.label!r}: its first rung takes {task.min_resource} and its probe "
                f"{price / engine.steps_per_unit:.2g}. Give more epochs."
            )
    firsts = (_first_work(search, plan, task) for search in searches)
    if all(work > search.budget for work, search in zip(firsts, searches, strict=True)):
        work = _first_work(searches[0], plan, task)
        raise SettingError(
            f"A budget of {plan.budget!r} epochs does not hold the first trial that scheduler "
            f"{plan.scheduler!r} asks for, which takes {work / engine.steps_per_unit:.3g}. Give "
            "more epochs."
        )
    return searches


def _first_work(search: Search, plan: Plan, task: Task) -> float:
    """Work of the first job; asked of another scheduler, since an asked trial has to be trained."""
    first = _scheduler(plan, task, search.sweep.streams).ask()
    sweep = search.sweep.at(first.configuration)
    return first.resource * sweep.steps_per_unit * sweep.step_work + search.method.price(sweep)


def _scheduler(plan: Plan, task: Task, streams: Streams) -> Scheduler:
    return make(
        plan.scheduler,
        task.space,
        streams.generator("configurations"),
        mode=task.metric.mode,
        min_resource=task.min_resource,
        max_resource=task.max_resource,
    )


def _search(index: int, arm: Arm, seed: int, plan: Plan, task: Task, engine: Engine) -> Search:
    streams = Streams(seed)
    scheduler = _scheduler(plan, task, streams)
    return Search(
        index,
        arm,
        scheduler,
        make_method(arm.method),
        get_recipe(arm.recipe),
        make_sweep(
            task,
            engine.probe,
            streams,
            scheduler.draw,
            scheduler.expected_resource,
            engine.steps_per_unit,
        ),
        task.metric,
        workers=plan.workers,
        budget=plan.budget * engine.steps_per_unit,
    )
