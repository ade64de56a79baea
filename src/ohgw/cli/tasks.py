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
    loaded = [make() for make in TASKS.values()]
    if as_json:
        rows = [
            {
                "name": task.name,
                "space": task.space.to_dict(),
                "metric": task.metric.name,
                "mode": task.metric.mode,
                "min_resource": task.min_resource,
                "max_resource": task.max_resource,
                "steps_per_epoch": task.steps_per_epoch,
            }
            for task in loaded
        ]
        typer.echo(json.dumps(rows))
        return
    table = Table()
    for heading in ("task", "what it is", "hyperparameters", "epochs"):
        table.add_column(heading)
    for task in loaded:
        table.add_row(
            task.name,
            (inspect.getdoc(type(task)) or "").splitlines()[0],
            ", ".join(task.space.names),
            f"{task.min_resource}-{task.max_resource}",
        )
    Console().print(table)
