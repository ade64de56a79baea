"""`ohgw schedulers`: the schedulers that can be named, and what may be set of each."""

import inspect
import json

import typer
from rich.console import Console
from rich.table import Table

from ohgw.cli import _options as options
from ohgw.schedulers import SCHEDULERS
from ohgw.schedulers import options as options_of


def command(as_json: options.Json = False) -> None:
    """List the schedulers and their options."""
    if as_json:
        rows = [
            {"name": name, "summary": _summary(factory), "options": options_of(name)}
            for name, factory in SCHEDULERS.items()
        ]
        typer.echo(json.dumps(rows))
        return
    table = Table()
    table.add_column("scheduler", no_wrap=True)
    for heading in ("what it does", "options"):
        table.add_column(heading)
    for name, factory in SCHEDULERS.items():
        settings = ", ".join(f"{option}={value}" for option, value in options_of(name).items())
        table.add_row(name, _summary(factory), settings)
    Console().print(table)


def _summary(factory: object) -> str:
    return (inspect.getdoc(factory) or "").split("\n\n")[0].replace("\n", " ")
