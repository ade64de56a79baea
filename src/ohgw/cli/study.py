"""`ohgw study NAME`: the whole experimental design, run, resumed and reported."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import track as tracked
from rich.table import Table

from ohgw import tasks
from ohgw.analysis import wording
from ohgw.cli import _options as options
from ohgw.cli import report
from ohgw.cli._experiment import is_experiment, run_experiment
from ohgw.cli._study_progress import Mode, observing
from ohgw.core.errors import SettingError
from ohgw.core.layout import StudyPlan, read_study
from ohgw.study.conduct import begin, conduct
from ohgw.study.configuration import compose_study
from ohgw.study.forecast import Forecast, forecast
from ohgw.study.sinks import check_sinks, send_complete
from ohgw.study.trace import trace_probes


def command(
    name: Annotated[
        str,
        typer.Argument(help="exp1, exp2, breadth, desk ... or an experiment folder."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="seeds=10, blocks.digits.scheduler=[pasha], ~blocks.language ..."),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", "--smoke-test", help="Every cell in its smallest form.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", "--full-experiment", help="The study as planned (default).")
    ] = False,
    results_dir: Annotated[
        Path | None,
        typer.Option(help="Directory for everything that comes out.", show_default="runs/<new>"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study in --results-dir.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Processes that share the cells.", min=1)] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be run and what it would cost.")
    ] = False,
    config_dir: Annotated[
        Path | None, typer.Option(help="Further groups: study/, task/, method/.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Run an experiment folder that is not ready.")
    ] = False,
    track: Annotated[
        str, typer.Option(help="Also send the records to mlflow or wandb; joined by commas.")
    ] = "",
    profile: Annotated[
        bool, typer.Option("--profile", help="Also write a profiler's trace of each arm's probe.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="Progress as JSON lines on standard error.")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Run a study: every task, scheduler and arm on every paired seed, then its report."""
    if smoke and full:
        raise SettingError("--smoke and --full exclude each other. Choose one.")
    if is_experiment(name):
        run_experiment(Path(name), results_dir, smoke=smoke, force=force, quiet=quiet)
        return
    if resume and results_dir is None:
        raise SettingError("--resume needs --results-dir, the directory to go on in.")
    trackers = [name.strip() for name in track.split(",") if name.strip()]
    check_sinks(trackers)
    plan = compose_study(name, overrides or (), smoke=smoke, config_dir=config_dir)
    if dry_run:
        _show_forecast(plan, quiet=quiet, as_json=as_json, jobs=jobs)
        return
    directory = results_dir or Path("runs") / f"{plan.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    plan = begin(plan, directory, resume=resume)
    complete = {cell.planned.id for cell in read_study(directory).cells if cell.manifest}
    mode: Mode = "lines" if json_lines else "none" if quiet or as_json else "bars"
    with observing(plan, complete, mode) as observer:
        conduct(plan, directory, jobs=jobs, tell=observer.tell, stopping=observer.stopping)
    for cell in plan.cells if profile else ():
        trace_probes(cell, tasks.load(cell.plan.task, device=cell.plan.device), directory)
    send_complete(trackers, directory)
    console = Console(quiet=quiet)
    report.finish(directory, console, command=options.this_command(), as_json=as_json)


def _show_forecast(plan: StudyPlan, *, quiet: bool, as_json: bool, jobs: int) -> None:
    bar = tracked(plan.cells, "Timing", console=Console(stderr=True), disable=quiet or as_json)
    steps = iter(bar)
    next(steps, None)

    def tell(found: Forecast) -> None:
        next(steps, None)

    found = forecast(plan, tell)
    seconds = sum(cell.seconds for cell in found) / jobs
    if as_json:
        cells = [
            {
                "cell": cell.cell,
                "searches": cell.searches,
                "epochs": cell.epochs,
                "flops": cell.flops,
                "seconds": cell.seconds,
            }
            for cell in found
        ]
        typer.echo(json.dumps({"study": plan.name, "cells": cells, "seconds": seconds}))
        return
    table = Table(box=box.SIMPLE_HEAD, title=f"{plan.name}: {plan.title}", title_justify="left")
    table.add_column("cell")
    for heading in ("searches", "epochs", "FLOPs", "time"):
        table.add_column(heading, justify="right")
    for cell in found:
        flops = "" if cell.flops is None else wording.number(cell.flops)
        table.add_row(
            cell.cell,
            str(cell.searches),
            wording.number(cell.epochs),
            flops,
            wording.seconds(cell.seconds),
        )
    console = Console()
    console.print(table)
    beside = f" with {jobs} jobs" if jobs > 1 else ""
    console.print(
        f"About {wording.seconds(seconds)}{beside}, from two seconds of each; nothing was recorded."
    )
