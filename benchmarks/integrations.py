"""What our integrations add: to a trial of another library's search, and to a training.

    python benchmarks/integrations.py [--trials N] [--trainings] [--json FILE]

Searches: each trial is proposed, reported once and completed, never trained; the peer alone, and
with our wrapper under several methods, which probe the task `breast-cancer`, in turns. `vanilla` is
the wrapper alone: it asks for no probe. Trainings (`_callbacks.py`): Lightning and transformers, in
steps of their own. CPU milliseconds on one thread, all in this process; a library that is not
installed is left out.
"""

import argparse
import datetime
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ohgw import WarmStarter, tasks

TASK = tasks.load("breast-cancer")
SPACE = TASK.space
METHODS = ("vanilla", "null", "ohgw", "screen", "guided")
TRIALS = 100

Step = Callable[[], None]
"""One trial, from its proposal to its end."""


def loss_of(configuration: dict[str, Any]) -> float:
    return sum(abs(configuration[name]) for name in SPACE)


def optuna_trials(method: str | None, sampler: str, url: str | None = None) -> Step:
    import optuna

    from ohgw.integrations.optuna import OHGWSampler, distributions

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = optuna.samplers
    inner = {"random": samplers.RandomSampler, "tpe": samplers.TPESampler}[sampler](seed=0)
    outer = OHGWSampler(inner, starter(method)) if method else inner
    storage = optuna.storages.RDBStorage(url) if url else None
    study = optuna.create_study(sampler=outer, storage=storage)
    asked = distributions(SPACE)

    def step() -> None:
        trial = study.ask(asked)
        trial.report(loss_of(trial.params), 1)
        study.tell(trial, loss_of(trial.params))

    return step


def ray_trials(method: str | None) -> Step:
    from optuna.samplers import TPESampler
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    from ohgw.integrations.ray_tune import OHGWSearcher

    space = {
        name: (tune.loguniform if domain.log else tune.uniform)(domain.low, domain.high)
        for name, domain in SPACE.items()
    }
    searcher = OptunaSearch(space, metric="loss", mode="min", sampler=TPESampler(seed=0))
    if method:
        searcher = OHGWSearcher(searcher, starter(method))
    names = iter(range(10**9))

    def step() -> None:
        trial = f"t{next(names)}"
        result = {"loss": loss_of(searcher.suggest(trial)), "training_iteration": 1}
        searcher.on_trial_result(trial, result)
        searcher.on_trial_complete(trial, result)

    return step


def syne_tune_trials(method: str | None, kind: str) -> Step:
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import loguniform, uniform
    from syne_tune.optimizer import baselines

    from ohgw.integrations.syne_tune import OHGWScheduler

    space = {
        name: (loguniform if domain.log else uniform)(domain.low, domain.high)
        for name, domain in SPACE.items()
    }
    scheduler = getattr(baselines, kind)(
        space, metric="loss", time_attr="epoch", max_t=27, random_seed=0
    )
    if method:
        scheduler = OHGWScheduler(scheduler, starter(method))
    numbers = iter(range(10**9))

    def step() -> None:
        trial = Trial(next(numbers), scheduler.suggest().config, datetime.datetime.now())
        scheduler.on_trial_add(trial)
        result = {"epoch": 1, "loss": loss_of(trial.config)}
        scheduler.on_trial_result(trial, result)
        scheduler.on_trial_complete(trial, result)

    return step


def starter(method: str) -> WarmStarter:
    return WarmStarter(TASK, method=method)


def peers(folder: Path) -> dict[str, Callable[[str | None], Step]]:
    found: dict[str, Callable[[str | None], Step]] = {}
    if find_spec("optuna"):
        found["Optuna, random"] = lambda method: optuna_trials(method, "random")
        found["Optuna, TPE"] = lambda method: optuna_trials(method, "tpe")
        found["Optuna, TPE, SQLite"] = lambda method: optuna_trials(
            method, "tpe", f"sqlite:///{folder}/{method}.db"
        )
    if find_spec("optuna") and find_spec("ray"):
        found["Ray Tune, OptunaSearch"] = ray_trials
    if find_spec("syne_tune"):
        found["Syne Tune, ASHA"] = lambda method: syne_tune_trials(method, "ASHA")
        found["Syne Tune, BOHB"] = lambda method: syne_tune_trials(method, "BOHB")
    return found


def milliseconds(steps: dict[str, Step], trials: int) -> dict[str, float]:
    """Means: a method probes in some trials, and fits in others."""
    for step in steps.values():
        step()  # what loads once
    taken = dict.fromkeys(steps, 0.0)
    turns = list(steps)
    for _ in range(trials):
        turns.append(turns.pop(0))  # the machine drifts, and who comes after a probe pays more
        for name in turns:
            began = process_time()
            steps[name]()
            taken[name] += process_time() - began
    return {name: 1e3 * seconds / trials for name, seconds in taken.items()}


def searches(trials: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        return [
            {"peer": peer}
            | milliseconds(
                {"alone": make(None)} | {method: make(method) for method in METHODS}, trials
            )
            for peer, make in peers(Path(folder)).items()
        ]


def show(rows: Sequence[dict[str, Any]], title: str, console: Console) -> None:
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("peer", "method") else "right")
    for row in rows:
        cells = (
            f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()
        )
        table.add_row(*cells)
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What our integrations add.")
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N")
    parser.add_argument("--trainings", action="store_true", help="also Lightning and transformers")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # of the peers
    for name in ("lightning.pytorch", "ray", "syne_tune", "ohgw"):
        logging.getLogger(name).setLevel(logging.ERROR)
    console = Console(width=110)
    results: dict[str, Any] = {"searches": searches(options.trials)}
    show(results["searches"], "ms of a trial that is never trained, by method", console)
    if options.trainings:
        from _callbacks import measured

        with redirect_stdout(io.StringIO()):  # where transformers prints what it trained
            results["trainings"] = [vars_of(row) for row in measured()]
        show(results["trainings"], "ms of a callback, once for a training", console)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def vars_of(row: Any) -> dict[str, Any]:
    return {
        "peer": row.peer,
        "method": row.method,
        "ms, once": row.milliseconds,
        "a step of the peer": row.step_milliseconds,
        "in steps": row.steps,
        "work": row.work,
    }


if __name__ == "__main__":
    main()
