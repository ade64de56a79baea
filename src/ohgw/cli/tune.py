"""`ohgw tune TASK`: find good hyperparameters."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ohgw.api import tune
from ohgw.cli import _options as options
from ohgw.cli._progress import watching
from ohgw.training.recipes import DEFAULT_RECIPE
from ohgw.warmstart import DEFAULT_METHOD


def command(
    task: options.Task,
    scheduler: options.Scheduler = "asha",
    method: Annotated[
        str, typer.Option(help="vanilla, guided, screen, ohgw, random ...; options after colons.")
    ] = DEFAULT_METHOD,
    recipe: Annotated[str, typer.Option(help="plain or averaged.")] = DEFAULT_RECIPE,
    budget: options.Budget = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Virtual workers.", show_default="4, more where budget and engine have room"
        ),
    ] = None,
    engine: options.Engine = None,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    out: options.Out = None,
    resume: options.Resume = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Find good hyperparameters for TASK."""
    options.require_out(out, resume)
    with watching(quiet or as_json, device) as watcher:
        found = tune(
            task,
            scheduler=scheduler,
            method=method,
            recipe=recipe,
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
        typer.echo(json.dumps(asdict(found) | {"directory": str(found.directory)}))
        return
    table = Table(title=f"Best of {found.trials} trials", title_justify="left")
    table.add_column("hyperparameter")
    table.add_column("value", justify="right")
    for name, value in found.configuration.items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    console = Console()
    console.print(table)
    console.print(f"validation {found.metric} {found.score:.5g}")
    for name, score in found.test.items():
        console.print(f"test {name} " + ("not finite" if score is None else f"{score:.5g}"))
    console.print(f"{found.work:.1f} epochs of work, {found.probe_share:.1%} of it probes")
    console.print(f"Report: {found.directory / 'report.html'}", soft_wrap=True)
