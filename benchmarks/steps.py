"""Ways to compute a training step: as it is, in bfloat16, compiled, and both.

    python benchmarks/steps.py [--task TASK ...] [--lanes P ...] [--device D] [--json FILE]

The population engine's own step with P lanes that a search filled, feed and averaging included.
"first" is what the first step took: compilation, mostly. Each way takes turns with the plain step,
and a speed-up is the median over rounds of the ratio of a round's two times. "pays after" is the
number of steps from which on a way has made up for its first one. Wall seconds, the device
synchronised before the clock is read: run it on an idle machine.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from population import filled
from rich.console import Console
from rich.table import Table

from ohgw import tasks
from ohgw.core.protocols import DifferentiableTask
from ohgw.engines.process import tuned_process

PLAIN = "population"
WAYS = {
    "bf16": "population:precision=bf16",
    "compiled": "population:compile=true",
    "bf16, compiled": "population:precision=bf16:compile=true",
}
ROUNDS = 7
SLICE = 0.3  # seconds of each side in a round, at least


@dataclass(frozen=True)
class Result:
    """Seconds of one training step of all lanes; `pays_after` is None where it never does."""

    task: str
    lanes: int
    way: str
    seconds: float
    plain_seconds: float
    speedup: float
    first_seconds: float
    pays_after: int | None


def measure(task: DifferentiableTask, lanes: int) -> list[Result]:
    plain = stepping(task, lanes, PLAIN)
    plain()
    results = []
    for way, spec in WAYS.items():
        step = stepping(task, lanes, spec)
        first = step()
        step()
        calls = max(1, round(SLICE / plain()))
        sides = (plain, step)
        taken: list[list[float]] = [[], []]
        for number in range(ROUNDS):
            for k in (0, 1) if number % 2 else (1, 0):
                taken[k].append(sum(sides[k]() for _ in range(calls)) / calls)
        before, after = map(median, taken)
        results.append(
            Result(
                task=task.name,
                lanes=lanes,
                way=way,
                seconds=after,
                plain_seconds=before,
                speedup=median(a / b for a, b in zip(*taken, strict=True)),
                first_seconds=first,
                pays_after=math.ceil(first / (before - after)) if after < before else None,
            )
        )
    return results


def stepping(task: DifferentiableTask, lanes: int, spec: str) -> Callable[[], float]:
    """A function that takes one training step of a filled engine and returns its seconds."""
    engine = filled(task, lanes, spec)

    def step() -> float:
        began = time.perf_counter()
        engine.step()
        if task.device.type == "cuda":
            torch.cuda.synchronize(task.device)
        return time.perf_counter() - began

    return step


def show(results: Sequence[Result], console: Console) -> None:
    table = Table(title="One training step of all lanes, milliseconds")
    for column in ("task", "lanes", "way", "plain", "so", "speed-up", "first, s", "pays after"):
        table.add_column(column, justify="left" if column in ("task", "way") else "right")
    for result in results:
        table.add_row(
            result.task,
            str(result.lanes),
            result.way,
            f"{1e3 * result.plain_seconds:.2f}",
            f"{1e3 * result.seconds:.2f}",
            f"{result.speedup:.2f}x",
            f"{result.first_seconds:.1f}",
            "never" if result.pays_after is None else f"{result.pays_after:,} steps",
        )
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Ways to compute a training step.")
    parser.add_argument("--task", nargs="+", default=["breast-cancer", "digits", "charlm"])
    parser.add_argument("--lanes", type=int, nargs="+", default=[16], metavar="P")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    if min(options.lanes) < 1:
        parser.error("--lanes must be at least 1")
    if options.device == "cpu":
        torch.set_num_threads(1)
    results = []
    with tuned_process(), Console(stderr=True).status("") as status:
        for name in options.task:
            task = tasks.load(name, device=options.device)
            assert isinstance(task, DifferentiableTask)
            for lanes in options.lanes:
                status.update(f"{name}, {lanes} lanes")
                results += measure(task, lanes)
    show(results, Console())
    if options.json:
        rows = [asdict(result) for result in results]
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
