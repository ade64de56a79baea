"""Where fusing stops paying: the population engine's step by parameters of a model and by lanes.

    python benchmarks/fusing.py [--parameters N ...] [--lanes P ...] [--json FILE] [--figure FILE]

Multilayer perceptrons 64 -> h -> h -> 10 on the handwritten digits, SGD with momentum, mini-batches
of 32. One side is the engine's own step with P lanes filled by a real search; the other trains one
model with `torch.nn` and `torch.optim.SGD`. In turns, on one thread, in CPU seconds, as in
`population.py`.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from population import filled, in_turns
from rich.console import Console
from rich.table import Table
from torch import nn

from ohgw import Float, ModuleTask, Space, tasks
from ohgw.analysis.style import GRID, styled
from ohgw.engines.process import tuned_process

PARAMETERS = (1_000, 10_000, 100_000, 1_000_000)
LANES = (1, 4, 16, 64, 256, 1024)
MOST = 1e8  # parameters of all lanes together, each of which is held about five times
BATCH = 32
ROUNDS = 5
SLICE = 0.3  # seconds of each side in a round, at least
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")

Row = dict[str, Any]


def perceptron(parameters: int) -> nn.Sequential:
    """With about so many parameters: h^2 + 76 h + 10."""
    h = round(-38 + math.sqrt(38**2 + parameters - 10))
    return nn.Sequential(nn.Linear(64, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, 10))


def make_task(parameters: int, device: str = "cpu") -> ModuleTask:
    data = tasks.load("digits").data
    splits = [(x.flatten(1), y) for x, y in (data["train"], data["val"])]
    space = Space({"learning_rate": Float(1e-4, 1e-1, log=True), "momentum": Float(0.0, 0.99)})
    return ModuleTask(
        lambda: perceptron(parameters),
        nn.CrossEntropyLoss(),
        *splits,
        space,
        batch_size=BATCH,
        device=device,
    )


def alone(task: ModuleTask, parameters: int) -> Iterator[None]:
    """One training step for each `next`, as users write it."""
    torch.manual_seed(0)
    model, loss = perceptron(parameters), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x, y = task.data["train"]
    while True:
        for batch in torch.randperm(len(x)).split(BATCH)[:-1]:
            optimizer.zero_grad()
            loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
            yield


def measure(parameters: int, lanes: int) -> Row:
    task = make_task(parameters)
    engine, reference = filled(task, lanes), alone(task, parameters)
    fused, single = in_turns(engine.step, lambda: next(reference), ROUNDS, SLICE)
    ratios = [lanes * one / all_ for all_, one in zip(fused, single, strict=True)]
    return {
        "parameters": task.layout.size,
        "lanes": lanes,
        "step_flops": engine.step_flops,
        "seconds_per_fused_step": median(fused),
        "seconds_per_step_alone": median(single),
        "speedup": median(ratios),
        "speedup_low": min(ratios),
        "speedup_high": max(ratios),
    }


def show(rows: Sequence[Row], console: Console) -> None:
    lanes = sorted({row["lanes"] for row in rows})
    table = Table(title="Speed-up of a step of one configuration (us of the fused step)")
    for column in ("parameters", "alone, us", *map(str, lanes)):
        table.add_column(column, justify="right", no_wrap=True)
    for parameters in sorted({row["parameters"] for row in rows}):
        own = {row["lanes"]: row for row in rows if row["parameters"] == parameters}
        cells = [
            f"{own[n]['speedup']:.1f}x ({1e6 * own[n]['seconds_per_fused_step']:,.0f})"
            if n in own
            else "-"
            for n in lanes
        ]
        single = median(row["seconds_per_step_alone"] for row in own.values())
        table.add_row(f"{parameters:,}", f"{1e6 * single:,.0f}", *cells)
    console.print(table)


def draw(rows: Sequence[Row], path: Path) -> None:
    with styled():
        figure = Figure(figsize=(5.6, 3.6), dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for parameters, colour in zip(
            sorted({row["parameters"] for row in rows}), COLOURS, strict=False
        ):
            own = [row for row in rows if row["parameters"] == parameters]
            x, y = [row["lanes"] for row in own], [row["speedup"] for row in own]
            axes.plot(x, y, color=colour, marker="o", label=f"{parameters:,} parameters")
            low, high = ([row[key] for row in own] for key in ("speedup_low", "speedup_high"))
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.axhline(1, color=GRID, zorder=0)
        axes.set_xscale("log", base=4)
        axes.set_yscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.yaxis.set_major_formatter("{x:g}x")
        axes.set_xlabel("lanes")
        axes.set_ylabel("speed-up per configuration")
        axes.legend()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Where fusing stops paying.")
    parser.add_argument("--parameters", type=int, nargs="+", default=PARAMETERS, metavar="N")
    parser.add_argument("--lanes", type=int, nargs="+", default=LANES, metavar="P")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tuned_process(), Console(stderr=True).status("") as status:
        for parameters in options.parameters:
            for lanes in options.lanes:
                if parameters * lanes <= MOST:
                    status.update(f"{parameters:,} parameters, {lanes} lanes")
                    rows.append(measure(parameters, lanes))
    show(rows, Console())
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    if options.figure is not None:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()
