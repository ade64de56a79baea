"""`ohgw compare TASK`: methods side by side on paired seeds."""

import json
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ohgw.analysis import wording
from ohgw.analysis.results import Cell, Summary
from ohgw.analysis.time_to_target import LABELS
from ohgw.api import DEFAULT_METHODS, DEFAULT_SEEDS, compare
from ohgw.cli import _options as options
from ohgw.cli._progress import watching
from ohgw.engines.build import DEFAULT_WORKERS


def command(
    task: options.Task,
    seeds: Annotated[int, typer.Option(help="Paired seeds.")] = DEFAULT_SEEDS,
    methods: Annotated[
        str, typer.Option(help="Joined by commas; vanilla is always among them.")
    ] = ",".join(DEFAULT_METHODS),
    recipes: Annotated[
        str | None,
        typer.Option(
            help="Joined by commas; all methods run under each.",
            show_default="averaged, and plain for vanilla and the default method",
        ),
    ] = None,
    calibration: Annotated[
        int | None, typer.Option(help="Vanilla runs on other seeds that fix the targets.")
    ] = None,
    scheduler: options.Scheduler = "asha",
    budget: options.Budget = None,
    workers: options.Workers = DEFAULT_WORKERS,
    engine: options.Engine = None,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    out: options.Out = None,
    resume: options.Resume = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare methods on TASK: time to target, scores and overhead on paired seeds."""
    options.require_out(out, resume)
    with watching(quiet or as_json, device) as watcher:
        summary, directory = compare(
            task,
            scheduler=scheduler,
            methods=_words(methods),
            recipes=None if recipes is None else _words(recipes),
            seeds=seeds,
            calibration=calibration,
            budget=budget,
            workers=workers,
            engine=engine,
            device=device,
            seed=seed,
            out=out,
            resume=resume,
            watcher=watcher,
            command=options.this_command(),
        )
    if as_json:
        typer.echo(json.dumps(summary.as_json() | {"directory": str(directory)}))
        return
    show(summary, Console())
    Console().print(f"Report: {directory / 'report.html'}", soft_wrap=True)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def show(summary: Summary, console: Console) -> None:
    """One line per arm, then one sentence per comparison."""
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False, pad_edge=False, collapse_padding=True
    )
    table.add_column("arm", no_wrap=True)
    for target, tau in summary.targets.items():
        table.add_column(f"{LABELS[target]}\nτ = {wording.number(tau)}", justify="right")
    for heading in ("valid", "test", "probes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in {row.arm: row for row in summary.rows}.values():
        table.add_row(
            row.arm,
            *(_time(cell) for cell in row.cells),
            wording.number(row.validation.median),
            "" if row.test is None else wording.number(row.test.median),
            wording.percent(row.overhead, signed=False),
        )
    console.print(
        f"{summary.task} with {summary.scheduler}, {len(summary.seeds)} paired seeds: median and "
        f"quartiles of T@τ in epochs of work, final {summary.metric} of the incumbent, and the "
        "probes' share of the work",
        markup=False,
    )
    console.print(table)
    for row in summary.comparisons:
        console.print(Text.assemble(("• " + wording.headline(row), "bold"), wording.details(row)))
    console.print(Text(wording.explanation(summary), "dim"))


def _time(cell: Cell) -> str:
    """Median over quartiles; how many reached the target where some did not."""
    median, _, quartiles = wording.spread(cell.time).partition(" ")
    missed = "" if cell.reached == cell.searches else f"\n{cell.reached} of {cell.searches}"
    return escape(f"{median}\n{quartiles}{missed}")
