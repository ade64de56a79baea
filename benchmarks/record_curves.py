"""Learning curves to simulate schedulers on: random configurations, scored after every epoch.

    python benchmarks/record_curves.py digits --trials 512

Writes benchmarks/data/curves-TASK.npz: `x` (trials, d) unit-cube points, `names` (d,), `loss`
(trials, epochs) validation losses, NaN from where a trial diverged, `unit` epochs between columns.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress

from ohgw import tasks
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import Arm
from ohgw.core.streams import Streams
from ohgw.core.trial import Suggestion
from ohgw.engines.engine import Row, drive
from ohgw.engines.population import PopulationEngine
from ohgw.engines.process import tuned_process
from ohgw.engines.search import Search
from ohgw.schedulers import RandomSearch
from ohgw.schedulers._legs import Legs
from ohgw.training.recipes import get_recipe
from ohgw.warmstart import make_method
from ohgw.warmstart.sweep import make_sweep

DATA = Path(__file__).parent / "data"
LANES = 128


class EveryEpoch(RandomSearch):
    """Random search that asks for one unit of resource at a time."""

    def __init__(self, *arguments: object, unit: int, **settings: object) -> None:
        super().__init__(*arguments, **settings)
        self._legs = Legs(self._trials, unit)

    def ask(self) -> Suggestion:
        return self._legs.ask() or self._legs.start(self.max_resource)

    def tell(self, trial: int, resource: int, score: float) -> None:
        self._legs.tell(trial, resource, self._trials.finish(trial, resource, score))


def record(name: str, trials: int, recipe: str) -> None:
    task = tasks.load(name)
    assert isinstance(task, DifferentiableTask)
    unit, engine, streams = task.min_resource, PopulationEngine(task), Streams(0)
    scheduler = EveryEpoch(
        task.space,
        streams.generator("configurations"),
        mode=task.metric.mode,
        max_resource=task.max_resource,
        unit=unit,
    )
    search = Search(
        0,
        Arm(method="vanilla", recipe=recipe),
        scheduler,
        make_method("vanilla"),
        get_recipe(recipe),
        make_sweep(
            task,
            engine.probe,
            streams,
            scheduler.draw,
            task.max_resource,
            engine.steps_per_unit,
        ),
        task.metric,
        workers=LANES,
        budget=float(trials * task.max_resource * engine.steps_per_unit),
    )
    loss = np.full((trials, task.max_resource // unit), np.nan)
    points = np.full((trials, task.space.d), np.nan)
    with Progress() as progress:
        bar = progress.add_task(name, total=1.0)

        def keep(row: Row) -> None:
            if row.kind == "report" and row.trial < trials:
                loss[row.trial, row.resource // unit - 1] = row.score
                points[row.trial] = task.space.to_unit(row.configuration)

        drive([search], engine, keep, lambda: progress.update(bar, completed=search.progress))
    told = ~np.isnan(points[:, 0])
    DATA.mkdir(exist_ok=True)
    np.savez_compressed(
        DATA / f"curves-{name}.npz",
        x=points[told].astype(np.float32),
        names=np.array(list(task.space.names)),
        loss=loss[told].astype(np.float32),
        unit=np.array(unit),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Record learning curves.")
    parser.add_argument("task", choices=sorted(tasks.DIFFERENTIABLE))
    parser.add_argument("--trials", type=int, default=512)
    parser.add_argument("--recipe", default="plain")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tuned_process():
        record(options.task, options.trials, options.recipe)
