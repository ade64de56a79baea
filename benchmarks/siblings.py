"""Every task at a size for two cores, tuned once: what it takes, what it reaches, and a picture.

    python benchmarks/siblings.py [--tasks TASK ...] [--out DIR] [--json FILE] [--figure FILE]

Runs `ohgw tune SPEC` with its defaults for the small spec that each task names, one after the
other; a search that is complete in `--out` is not run again. One seed each: it shows that a task
learns, not how well it can.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from ohgw import tasks, tune
from ohgw.analysis.style import FAINT, INK, log_axis, styled
from ohgw.core.errors import OHGWError
from ohgw.core.layout import MANIFEST_NAME
from ohgw.core.records import RECORDS_NAME, Header, Report, read_records

# Of work, in epochs, where three times the longest training would take more than two minutes.
BUDGETS = {"charlm": 12.0, "cifar10": 60.0, "cifar100": 40.0, "wikitext": 60.0, "atari": 27.0}
COLUMNS = 4

Row = dict[str, Any]


def run(name: str, directory: Path) -> Row:
    """Tune the small sibling of a task, or read what is there. Raises `OHGWError`."""
    spec, budget = tasks.TASKS[name].small, BUDGETS.get(name)
    if not (directory / MANIFEST_NAME).exists():
        tune(spec, budget=budget, out=directory, resume=True)
    header, reports, (final,) = read_records(directory / RECORDS_NAME)
    manifest = json.loads((directory / MANIFEST_NAME).read_text())
    return {
        "task": name,
        "command": f"ohgw tune {spec}" + (f" --budget {budget:g}" if budget else ""),
        "work": final.work / header.steps_per_epoch,
        "cpu_seconds": manifest["cpu_seconds"],
        "trials": final.trials,
        "resource": final.resource,
        "max_resource": tasks.TASKS[name].max_resource,
        "metric": header.metric,
        "mode": header.mode,
        "validation": final.score,
        "test": dict(final.metrics),
        "curve": curve(header, reports),
    }


def curve(header: Header, reports: Sequence[Report]) -> list[tuple[float, float]]:
    """(work in epochs, best score so far) of every report."""
    sign = 1 if header.mode == "min" else -1
    best, found = math.inf, []
    for report in reports:
        if report.score is not None:
            best = min(best, sign * report.score)
            found.append((report.work / header.steps_per_epoch, sign * best))
    return found


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table(title="Small siblings")
    for column in ("task", "work", "CPU s", "trials", "incumbent at", "test"):
        table.add_column(column, justify="left" if column in ("task", "test") else "right")
    for row in rows:
        table.add_row(
            row["task"],
            f"{row['work']:.0f}",
            f"{row['cpu_seconds']:.0f}",
            str(row["trials"]),
            f"{row['resource']} of {row['max_resource']}",
            ", ".join(f"{key} {value:.4g}" for key, value in sorted(row["test"].items())),
        )
    console.print(table)


def draw(rows: Sequence[Row], path: Path) -> None:
    """The best validation score of each search against its work."""
    lines = math.ceil(len(rows) / COLUMNS)
    with styled():
        figure = Figure(figsize=(2.6 * COLUMNS, 2.1 * lines), dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        panels = list(figure.subplots(lines, COLUMNS, squeeze=False).flat)
        for axes, row in zip(panels, rows, strict=False):
            work, best = zip(*row["curve"], strict=True)
            axes.step(work, best, where="post", color=INK)
            axes.plot(work[-1], best[-1], "o", color="#D55E00", markersize=4)
            if min(best) > 0 and max(best) > 4 * min(best):
                log_axis(axes, "y", 0.8 * min(best), 1.2 * max(best))
            axes.set_title(row["task"])
            axes.set_xlim(left=0)
            axes.set_ylabel(row["metric"], color=FAINT)
        for axes in panels[len(rows) :]:
            axes.set_axis_off()
        figure.supxlabel("work of the search, epochs (units where the task is a black box)")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Every task at a size for two cores.")
    parser.add_argument("--tasks", nargs="+", choices=list(tasks.TASKS), default=list(tasks.TASKS))
    parser.add_argument("--out", type=Path, default=Path("runs/siblings"), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    console = Console()
    rows: list[Row] = []
    for name in options.tasks:
        with console.status(name):
            try:
                rows.append(run(name, options.out / name))
            except OHGWError as error:  # data or an extra that are not here
                console.print(f"{name}: {error}", markup=False)
    show(rows, console)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    if options.figure and rows:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()
