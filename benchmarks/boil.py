"""BOIL beside the authors' code: what a decision costs, and what the decisions are worth.

    python benchmarks/boil.py [--public PYTHON --code DIR] [--seeds N] [--trainings N] [--json]

The task is recorded learning curves made continuous: the curve at a configuration is the geometric
mean of those of the nearest recorded ones, weighted by distance. Contenders are random search,
ASHA, our BOIL and, in a process of its own, the public BOIL (PYTHON of its environment, which
`tests/oracles/record_boil.py` names, and DIR that holds its package `bayes_opt`); without those
two options the public code is left out. All train one trial at a time, for the same number of
epochs, and pay for every epoch; BOIL of either kind trains new trials for a third of the epochs at
least. The public code is given the recorded losses' range as gains in [0, 1], which ours has to
find out.

First table: the smallest loss reported within so many full trainings, as the median over seeds.
Second: seeds on which our BOIL's was smaller than the other's, equal, and larger, and the p-value
of Wilcoxon's signed ranks. Third: CPU milliseconds of a decision, of the median over decisions
(a decision is what follows a trial's pause: the next leg of a trial on its way is none), ours also
after so many random trials.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import dropwhile, islice
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from _curves import RECORDED, RecordedCurves
from rich.console import Console
from rich.table import Table
from scipy.stats import wilcoxon

from ohgw.core.space import Float, Space
from ohgw.schedulers import make

Array = npt.NDArray[np.float64]
OURS, PUBLIC = "boil", "public BOIL"
SHORTEST = 1 / 3
NEIGHBOURS = 12
MARKS = (5, 10, 20, 30)  # full trainings
AT = (50, 200, 1000)  # trials
WORKER = Path(__file__).parent / "_boil_public.py"


class SmoothCurves:
    """Losses (epochs,) at any point of the unit cube (d,); an epoch is a recorded unit."""

    def __init__(self, name: str) -> None:
        recorded = RecordedCurves(name)
        finite = recorded.losses[np.isfinite(recorded.losses)]
        self.name = name
        self.points = recorded.points
        self.worst = float(np.percentile(finite, 99))  # diverged or nearly
        self.best = float(finite.min())
        self.losses = np.fmin(recorded.losses, self.worst)
        self.epochs, self.d = self.losses.shape[1], self.points.shape[1]

    def at(self, x: Array) -> Array:
        squared = np.sum((self.points - x) ** 2, axis=1)
        near = np.argpartition(squared, NEIGHBOURS)[:NEIGHBOURS]
        weights = np.exp(-4.0 * squared[near] / squared[near].max())
        losses: Array = np.exp(weights @ np.log(self.losses[near]) / weights.sum())
        return losses

    def gains(self, x: Array) -> Array:
        return (self.worst - self.at(x)) / (self.worst - self.best)


@dataclass(frozen=True)
class Step:
    """A leg of training, and the seconds of the decision before it, if there was one."""

    trial: int
    losses: Array
    seconds: float | None


def ours(name: str, task: SmoothCurves, seed: int) -> Iterator[Step]:
    space = Space({f"x{k}": Float(0.0, 1.0) for k in range(task.d)})
    rng = np.random.default_rng(seed)
    scheduler = make(name, space, rng, mode="min", min_resource=1, max_resource=task.epochs)
    curves: dict[int, Array] = {}
    before, seconds = None, 0.0
    while True:
        begin = time.process_time()
        asked = scheduler.ask()
        seconds += time.process_time() - begin
        decided = (asked.trial, asked.start) != before  # else one more leg of the same way
        if asked.is_new:
            curves[asked.trial] = task.at(space.to_unit(asked.configuration))
        losses = curves[asked.trial][asked.start : asked.resource]
        yield Step(asked.trial, losses, seconds if decided else None)
        begin = time.process_time()
        scheduler.tell(asked.trial, asked.resource, float(losses[-1]))
        before, seconds = (asked.trial, asked.resource), time.process_time() - begin


def public(python: str, code: str, task: SmoothCurves, seed: int) -> Iterator[Step]:
    first = int(np.ceil(SHORTEST * task.epochs))
    command = [python, str(WORKER), code, *map(str, (task.d, first, task.epochs, seed))]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        try:
            for trial, line in enumerate(child.stdout):
                asked = json.loads(line)
                x, epochs = np.array(asked["x"]), asked["epochs"]
                yield Step(trial, task.at(x)[:epochs], asked["seconds"])
                child.stdin.write(json.dumps(task.gains(x)[:epochs].tolist()) + "\n")
                child.stdin.flush()
        finally:
            child.kill()
    raise SystemExit(f"The public BOIL ended early: {' '.join(command)}")


Contender = Callable[[SmoothCurves, int], Iterator[Step]]


@dataclass
class Run:
    """The smallest loss after every epoch paid for, and milliseconds of every decision."""

    best: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)


def run(steps: Iterator[Step], epochs: int) -> Run:
    done = Run()
    for step in steps:
        if step.seconds is not None:
            done.ms.append(1e3 * step.seconds)
        for loss in step.losses.tolist():
            done.best.append(min(loss, done.best[-1] if done.best else loss))
        if len(done.best) >= epochs:
            break
    return done


def after(task: SmoothCurves, trials: int) -> float:
    """Milliseconds of our BOIL's decision, the median of ten after so many random trials."""
    steps = ours(f"{OURS}:initial={trials}", task, 0)
    late = dropwhile(lambda step: step.trial < trials - 1, steps)
    seconds = (step.seconds for step in late if step.seconds is not None)
    return 1e3 * median(islice(seconds, 2, 12))  # not the last random one, nor the first fit


@dataclass(frozen=True)
class Result:
    """Of one task; losses by contender, (seeds, marks)."""

    task: str
    marks: list[int]
    losses: dict[str, list[list[float]]]
    ms: dict[str, float]
    decisions: dict[str, float]
    ms_after: dict[int, float]


def measure(
    name: str, contenders: dict[str, Contender], seeds: int, trainings: int, at: Sequence[int]
) -> Result:
    task = SmoothCurves(name)
    marks = [mark for mark in MARKS if mark <= trainings] or [trainings]
    runs = {
        who: [run(steps(task, seed), marks[-1] * task.epochs) for seed in range(seeds)]
        for who, steps in contenders.items()
    }
    return Result(
        name,
        marks,
        {
            who: [[one.best[mark * task.epochs - 1] for mark in marks] for one in of]
            for who, of in runs.items()
        },
        {who: median(ms for one in of for ms in one.ms) for who, of in runs.items()},
        {who: float(np.mean([len(one.ms) for one in of])) for who, of in runs.items()},
        {trials: after(task, trials) for trials in at},
    )


def show(result: Result, console: Console) -> None:
    losses = {who: np.array(of) for who, of in result.losses.items()}
    seeds = len(losses[OURS])
    table = Table(title=f"{result.task}: median of the smallest loss, {seeds} seeds")
    for heading in ("full trainings", *map(str, result.marks)):
        table.add_column(heading, justify="right")
    for who, of in losses.items():
        table.add_row(who, *(f"{value:.4f}" for value in np.median(of, axis=0)))
    console.print(table)
    table = Table(title="our BOIL's loss smaller / equal / larger, and Wilcoxon's p")
    for heading in ("against", *map(str, result.marks)):
        table.add_column(heading, justify="right")
    for who, of in losses.items():
        if who != OURS:
            table.add_row(who, *map(paired, losses[OURS].T, of.T))
    console.print(table)
    table = Table(title="milliseconds of a decision")
    for heading in ("", "median", "decisions of a run"):
        table.add_column(heading, justify="right")
    for who, ms in result.ms.items():
        table.add_row(who, f"{ms:.3f}", f"{result.decisions[who]:.0f}")
    for trials, ms in result.ms_after.items():
        table.add_row(f"{OURS}, {trials} trials", f"{ms:.3f}", "")
    console.print(table)
    if PUBLIC in result.ms:
        # Short runs decide by chance at first, so ours counts where the model decides.
        for trials, ms in result.ms_after.items():
            console.print(
                f"ours after {trials} trials takes 1/{result.ms[PUBLIC] / ms:.0f} of the public "
                "code's time over its run"
            )


def paired(a: Array, b: Array) -> str:
    smaller, equal, larger = int((a < b).sum()), int((a == b).sum()), int((a > b).sum())
    p = 1.0 if equal == len(a) else float(wilcoxon(a, b).pvalue)
    return f"{smaller}/{equal}/{larger}  p={p:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Our BOIL beside the authors' code.")
    parser.add_argument("--public", metavar="PYTHON")
    parser.add_argument("--code", metavar="DIR")
    parser.add_argument("--task", choices=RECORDED, nargs="*", default=RECORDED)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trainings", type=int, default=MARKS[-1])
    parser.add_argument("--at", type=int, nargs="*", default=AT, metavar="TRIALS")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    contenders: dict[str, Contender] = {
        name: partial(ours, name) for name in ("random", "asha", OURS)
    }
    if options.public and options.code:
        contenders[PUBLIC] = partial(public, options.public, options.code)
    else:
        print("Without the public code: give --public PYTHON --code DIR.", file=sys.stderr)
    results = []
    for name in options.task:
        results.append(measure(name, contenders, options.seeds, options.trainings, options.at))
        if not options.json:
            show(results[-1], Console())
    if options.json:
        print(json.dumps([asdict(result) for result in results]))


if __name__ == "__main__":
    main()
