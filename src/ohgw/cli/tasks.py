"""`ohgw tasks`: the tasks that can be named."""

import inspect
import json

import typer
from rich.console import Console
from rich.table import Table

from ohgw.cli import _options as options
from ohgw.tasks import TASKS


def command(as_json: options.Json = False) -> None:
    """List the tasks, their hyperparameters and their rungs."""
    listed = TASKS.values()
    if as_json:
        rows = [
            {
                "name": task.name,
                "space": task.space.to_dict(),
                "metric": task.metric.name,
                "mode": task.metric.mode,
                "min_resource": task.min_resource,
                "max_resource": task.max_resource,
                "steps_per_epoch": task().steps_per_epoch if task.bundled else None,
                "bundled": task.bundled,
                "small": task.small,
            }
            for task in listed
        ]
        typer.echo(json.dumps(rows))
        return
    table = Table()
    for heading in ("task", "what it is", "hyperparameters", "epochs", "data"):
        table.add_column(heading)
    for task in listed:
        table.add_row(
            task.name,
            (inspect.getdoc(task) or "").splitlines()[0],
            ", ".join(task.space.names),
            f"{task.min_resource}-{task.max_resource}",
            "bundled" if task.bundled else "found or downloaded",
        )
    Console().print(table)
