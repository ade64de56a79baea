"""`ohgw tasks`: the tasks that can be named."""

import inspect
import json

import typer
from rich.console import Console
from rich.table import Table

from ohgw.cli import _options as options
from ohgw.tasks import TASKS, TaskClass
from ohgw.tasks._common import ClassificationTask
from ohgw.tasks.tabular._mixed import MixableTask


def command(as_json: options.Json = False) -> None:
    """List the tasks, their hyperparameters and their rungs."""
    listed = TASKS.values()
    if as_json:
        rows = [
            {
                "name": task.name,
                "space": task.space.to_dict(),
                "mixed": list(task.choices) if issubclass(task, MixableTask) else [],
                "metric": task.metric.name,
                "mode": task.metric.mode,
                "min_resource": task.min_resource,
                "max_resource": task.max_resource,
                "steps_per_epoch": _steps_per_epoch(task),
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
            ", ".join(task.space.names) + _mixed(task),
            f"{task.min_resource}-{task.max_resource}",
            "bundled" if task.bundled else "found or downloaded",
        )
    Console().print(table)


def _steps_per_epoch(task: TaskClass) -> int | None:
    """None where it depends on data that have to be found, or where there are no steps."""
    if not task.bundled or not issubclass(task, ClassificationTask):
        return None
    return task().steps_per_epoch


def _mixed(task: TaskClass) -> str:
    """What `space=mixed` adds."""
    if not issubclass(task, MixableTask):
        return ""
    return f"; space=mixed: {', '.join(task.choices)}"
