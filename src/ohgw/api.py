"""The Python interface: `tune`, `compare` and `warm_start`."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ohgw import tasks
from ohgw.core.errors import SettingError
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import Arm
from ohgw.core.space import Space
from ohgw.core.trial import Configuration
from ohgw.engines.build import (
    DEFAULT_WORKERS,
    default_engine,
    default_workers,
    resolve_device,
)
from ohgw.study.plan import Task, make_plan
from ohgw.study.run import Watcher, run
from ohgw.tasks.module import ModuleTask, Tensors
from ohgw.training.recipes import DEFAULT_RECIPE, RECIPES
from ohgw.warmstart import DEFAULT_METHOD
from ohgw.warmstart.starter import WarmStart, WarmStarter

if TYPE_CHECKING:
    from ohgw.analysis.results import Summary

DEFAULT_SEEDS = 12
DEFAULT_CALIBRATION = 12
SMALL_MODEL = 100_000  # parameters below which one thread trains a population
DEFAULT_METHODS = ("vanilla", "ohgw", "random", DEFAULT_METHOD)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What `tune` found: the best configuration, its scores, and where the rest is."""

    configuration: Configuration
    metric: str
    score: float  # validation
    test: dict[str, float | None]
    work: float  # epochs spent, probes included
    probe_share: float  # of the work
    trials: int
    directory: Path


def tune(
    task: str | Task,
    *,
    scheduler: str = "asha",
    method: str = DEFAULT_METHOD,
    recipe: str = DEFAULT_RECIPE,
    budget: float | None = None,
    workers: int | None = None,
    engine: str | None = None,
    device: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
    command: str | None = None,
) -> Tuned:
    """Find good hyperparameters for a task.

    task
        A name from `ohgw tasks`, or a task of your own (`ModuleTask`, or anything that offers
        `core.protocols.DifferentiableTask` or `BlackBoxTask`).
    budget
        Work in epochs, probes included; three times the task's maximum resource by default.
    workers
        Virtual workers: four by default, more where the budget has work for them and the engine
        trains them at little extra cost.
    out
        Directory for the record, the best configuration, its checkpoint and the report.

    Raises `OHGWError` subclasses: for a bad setting before any compute is spent, `DivergedError`
    where no trial had a finite score, `Interrupted` where the watcher stopped it.
    """
    task, device = _load(task, device)
    directory = Path(out) if out is not None else _fresh_directory(f"tune-{task.name}")
    budget = default_budget(task) if budget is None else budget
    engine = engine or default_engine(task, workers or DEFAULT_WORKERS)
    plan = make_plan(
        task,
        arms=[Arm(method=method, recipe=recipe)],
        seeds=[seed],
        scheduler=scheduler,
        budget=budget,
        workers=default_workers(task, budget, engine) if workers is None else workers,
        engine=engine,
        device=device,
        threads=default_threads(task),
    )
    (final,) = run(plan, task, directory, resume=resume, watcher=watcher)
    # Statistics and figures take as long to load as torch: not while somebody waits for a search.
    from ohgw.analysis.report import write_tune_report

    write_tune_report(directory, command=command)
    assert final.score is not None  # `run` raises where no trial had a finite score
    steps_per_epoch = getattr(task, "steps_per_epoch", 1)
    return Tuned(
        configuration=final.configuration,
        metric=task.metric.name,
        score=final.score,
        test=final.metrics,
        work=final.work / steps_per_epoch,
        probe_share=final.probe_work / final.work,
        trials=final.trials,
        directory=directory,
    )


def compare(
    task: str | Task,
    *,
    scheduler: str = "asha",
    methods: Sequence[str] = DEFAULT_METHODS,
    recipes: Sequence[str] | None = None,
    seeds: int = DEFAULT_SEEDS,
    calibration: int | None = None,
    budget: float | None = None,
    workers: int = DEFAULT_WORKERS,
    engine: str | None = None,
    device: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
    command: str | None = None,
) -> "tuple[Summary, Path]":
    """Compare methods on paired seeds; returns the summary and the directory with the report.

    Vanilla, the reference, is always among the methods. Every method runs under the default recipe;
    vanilla and the default method also run under the others, so that a recipe's gain is not taken
    for a method's. Naming `recipes` asks for their product with the methods instead.

    Targets are fixed from `calibration` vanilla runs on other seeds. All searches run as one fused
    population on the population engine.
    """
    task, device = _load(task, device)
    directory = Path(out) if out is not None else _fresh_directory(f"compare-{task.name}")
    if seeds < 1:
        raise SettingError(f"seeds={seeds!r} must be at least 1.")
    arms = _arms(methods, recipes)
    calibration = DEFAULT_CALIBRATION if calibration is None else calibration
    lanes = workers * (calibration + seeds * len(arms))
    plan = make_plan(
        task,
        arms=arms,
        seeds=range(seed, seed + seeds),
        scheduler=scheduler,
        budget=default_budget(task) if budget is None else budget,
        workers=workers,
        engine=engine or default_engine(task, lanes),
        device=device,
        threads=default_threads(task),
        calibration=calibration,
    )
    run(plan, task, directory, resume=resume, watcher=watcher)
    from ohgw.analysis.report import write_compare_report

    return write_compare_report(directory, command=command), directory


def warm_start(
    model: nn.Module,
    loss: Any,
    data: Tensors | Iterable[Tensors],
    configuration: Configuration,
    space: Space,
    *,
    method: str = "screen",
    optimizer: str = "sgd",
    validation: Tensors | None = None,
    batch_size: int = 32,
    expected_steps: float = 1000.0,
    seed: int = 0,
) -> WarmStart:
    """Probe a few mini-batches of your own training and propose what to train instead.

    Takes one configuration from any scheduler and returns a `WarmStart` whose `.configuration`
    to train. The model is copied, never changed.

    model, loss
        A module and `loss(outputs, targets)`.
    data
        Tensors (inputs, targets), or an iterable of such mini-batches, of which the first 16 are
        read. Without `validation`, the last quarter is held out to judge by.
    configuration, space
        What the scheduler proposed (`learning_rate`, `weight_decay`, `momentum` for SGD), and the
        bounds within which it may move or be redrawn.
    expected_steps
        Training steps the configuration is expected to get; a probe that would cost too much of
        them stands aside.
    """
    train = _tensors(data)
    if validation is None:
        cut = 3 * len(train[0]) // 4
        train, validation = tuple(t[:cut] for t in train), tuple(t[cut:] for t in train)
    batch_size = min(batch_size, len(train[0]), len(validation[0]))
    task = ModuleTask(
        model, loss, train, validation, space, optimizer=optimizer, batch_size=batch_size
    )
    starter = WarmStarter(task, method=method, expected_resource=expected_steps, units=1, seed=seed)
    return starter.propose(0, configuration)


def default_budget(task: Task) -> float:
    """Epochs: enough for a trial to reach the top rung with others beside it."""
    return 3.0 * task.max_resource


def default_threads(task: Task) -> int:
    """One for small models, whose operations are over before a second thread has woken up.

    On two idle cores a second thread saves a fused population of them a quarter of its time; where
    anything else runs, it more than doubles it (docs/log.md). `OMP_NUM_THREADS` is respected.
    """
    small = isinstance(task, DifferentiableTask) and (
        len(task.init(torch.Generator().manual_seed(0))) < SMALL_MODEL
    )
    return 1 if small else torch.get_num_threads()


def _load(task: str | Task, device: str) -> tuple[Task, str]:
    name, _ = resolve_device(device)
    if isinstance(task, str):
        return tasks.load(task, device=name), name
    return task, str(getattr(task, "device", "cpu"))


def _arms(methods: Sequence[str], recipes: Sequence[str] | None) -> list[Arm]:
    methods = list(dict.fromkeys(("vanilla", *methods)))
    if recipes is not None:
        pairs = [(method, recipe) for recipe in dict.fromkeys(recipes) for method in methods]
    else:
        pairs = [
            (method, recipe)
            for recipe in RECIPES
            for method in methods
            if recipe == DEFAULT_RECIPE or method in ("vanilla", DEFAULT_METHOD)
        ]
    return [Arm(method=method, recipe=recipe) for method, recipe in pairs]


def _fresh_directory(stem: str) -> Path:
    return Path("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def _tensors(data: Tensors | Iterable[Tensors]) -> tuple[Tensor, ...]:
    """(inputs, targets) of everything, or of the first 16 mini-batches."""
    if isinstance(data, tuple) and all(isinstance(part, Tensor) for part in data):
        parts: list[Tensors] = [data]
    else:
        parts = list(islice(cast(Iterable[Tensors], data), 16))
    if not parts or len(parts[0]) != 2:
        raise SettingError("data must be tensors (inputs, targets) or an iterable of such batches.")
    return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))
