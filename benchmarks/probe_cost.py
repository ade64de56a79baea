"""What a probe costs: in training mini-batches, and as a share of a whole search.

    python benchmarks/probe_cost.py [--task TASK] [--seeds N] [--json]

For each estimator and number of training steps: FLOPs, counted as they are charged, and time, both
as multiples of what one training step of the same configuration takes. Times are CPU seconds of
LANES fused probes against the population engine's step with as many lanes, on one thread and in
turns; given are the median over rounds and its range. The shares are those of real searches on the
population engine, with the budget and the workers that `ohgw` takes by default.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import torch
from population import filled, in_turns
from rich.console import Console
from rich.table import Table

from ohgw import tasks
from ohgw.api import default_budget
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import Arm, Final, Report
from ohgw.core.streams import Streams
from ohgw.engines.build import DEFAULT_WORKERS
from ohgw.engines.engine import drive
from ohgw.engines.population import PopulationEngine
from ohgw.engines.process import tuned_process
from ohgw.hypergrad import ESTIMATORS
from ohgw.study.plan import make_plan, make_searches
from ohgw.training.recipes import DEFAULT_RECIPE
from ohgw.warmstart.method import GradientRequest, GradientResult, Request, RolloutRequest
from ohgw.warmstart.screen import Screen

STEPS = (1, 3, 10)
LANES = 12
METHODS = ("ohgw", "screen")
ROUNDS, SLICE = 5, 0.1


@dataclass(frozen=True)
class Cost:
    """Multiples of one training step of one configuration."""

    probe: str
    steps: int
    flops: float
    time: float
    time_low: float
    time_high: float


@dataclass(frozen=True)
class Share:
    """Of the work of searches, one for each seed."""

    method: str
    largest: float
    median: float
    seeds: int
    stood_aside: bool  # the method found that it should not probe this task


@dataclass(frozen=True)
class Result:
    task: str
    step_flops: float
    costs: list[Cost]
    shares: list[Share]


def measure(name: str, seeds: int) -> Result:
    task = tasks.load(name)
    engine = filled(task, LANES)
    costs = [*estimators(engine), screening(engine)]
    shares = [share(task, method, seeds) for method in METHODS] if seeds else []
    return Result(name, engine.probe.step_flops, costs, shares)


def estimators(engine: PopulationEngine) -> Iterator[Cost]:
    task, probe = engine.task, engine.probe
    rng = np.random.default_rng(0)
    configurations = [task.space.sample(rng) for _ in range(LANES)]
    for name, estimator in ESTIMATORS.items():
        for steps in STEPS:
            if not estimator.visible(task, steps):
                continue  # `analytic` differentiates one step only
            requests = [
                GradientRequest(trial, configuration, steps, name)
                for trial, configuration in enumerate(configurations)
            ]
            for result in probe.answer([(Streams(0), request) for request in requests]):
                assert isinstance(result, GradientResult) and result.estimator == name
            yield cost(name, steps, probe.gradient_work(name, steps), engine, requests, LANES)


def screening(engine: PopulationEngine) -> Cost:
    """Of one proposal: all candidates' steps and looks, those of the one that is kept included."""
    screen, space = Screen(), engine.task.space
    rng = np.random.default_rng(0)
    requests = [
        RolloutRequest(tuple(space.sample(rng) for _ in range(screen.candidates)), screen.steps, 0)
        for _ in range(LANES // screen.candidates)
    ]
    work = engine.probe.rollout_work(screen.candidates, screen.steps)
    return cost("screen", screen.steps, work, engine, requests, len(requests))


def cost(
    name: str,
    steps: int,
    flops: float,
    engine: PopulationEngine,
    requests: Sequence[Request],
    probes: int,
) -> Cost:
    asked = [(Streams(0), request) for request in requests]
    spent, unit = in_turns(lambda: engine.probe.answer(asked), engine.step, ROUNDS, SLICE)
    ratios = [(a / probes) / (b / LANES) for a, b in zip(spent, unit, strict=True)]
    return Cost(name, steps, flops, median(ratios), min(ratios), max(ratios))


def share(task: DifferentiableTask, method: str, seeds: int) -> Share:
    """From as many searches, trained to their ends."""
    engine = PopulationEngine(task)
    plan = make_plan(
        task,
        arms=[Arm(method=method, recipe=DEFAULT_RECIPE)],
        seeds=range(seeds),
        scheduler="asha",
        budget=default_budget(task),
        workers=DEFAULT_WORKERS,
        engine="population",
        device="cpu",
        threads=1,
    )
    searches = make_searches(plan, task, engine)
    if all(search.method.price(search.sweep) == 0 for search in searches):
        return Share(method, 0.0, 0.0, seeds, True)  # known without training them
    rows: list[Report | Final] = []
    drive(searches, engine, rows.append, lambda: None)
    shares = [row.probe_work / row.work for row in rows if isinstance(row, Final)]
    return Share(method, max(shares), median(shares), seeds, False)


def show(results: Sequence[Result], console: Console) -> None:
    table = Table(title="One probe, in training steps of one configuration")
    for column in ("task", "probe"):
        table.add_column(column)
    for column in ("steps", "FLOPs", "time", "range"):
        table.add_column(column, justify="right")
    for result in results:
        for cost in result.costs:
            table.add_row(
                result.task,
                cost.probe,
                str(cost.steps),
                f"{cost.flops:.1f}",
                f"{cost.time:.1f}",
                f"{cost.time_low:.1f} - {cost.time_high:.1f}",
            )
        table.add_section()
    console.print(table)
    table = Table(title="Share of a whole search's work that goes into probes")
    for column in ("task", "method"):
        table.add_column(column)
    for column in ("median", "largest", "seeds"):
        table.add_column(column, justify="right")
    for result in results:
        for share in result.shares:
            table.add_row(
                result.task,
                share.method,
                f"{share.median:.1%}",
                "stands aside" if share.stood_aside else f"{share.largest:.1%}",
                str(share.seeds),
            )
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What a probe costs.")
    parser.add_argument("--task", choices=tasks.BUNDLED, help="one task instead of all")
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="searches for each share; 0 skips them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    names = [options.task] if options.task else tasks.BUNDLED
    results = []
    with tuned_process(), Console(stderr=True).status("") as status:  # tuned as every search is
        for name in names:
            status.update(f"{name}: probes, then {options.seeds} searches of each method")
            results.append(measure(name, options.seeds))
    if options.json:
        rows = [asdict(result) for result in results]
        print(json.dumps(rows[0] if options.task else rows, indent=2))
    else:
        show(results, Console())


if __name__ == "__main__":
    main()
