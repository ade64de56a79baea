"""The command line: one thin file per verb, whose function `command` becomes the verb."""

import os
import sys
from importlib import import_module
from typing import Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from ohgw.core.errors import Interrupted, OHGWError, UnknownNameError

STOPPED = 130  # what a shell reports for Ctrl-C
VERBS = {
    "tune": "Find good hyperparameters for TASK.",
    "compare": "Compare methods on TASK: time to target, scores and overhead on paired seeds.",
    "study": "Run a study: every task, scheduler and arm on every paired seed, then its report.",
    "report": "Write the report of a study, a comparison or a search from its record.",
    "new-experiment": "Write a complete experiment to derive one's own from.",
    "tasks": "List the tasks, their hyperparameters and their rungs.",
    "schedulers": "List the schedulers and their options.",
    "review": "Decide from evidence whether experiment code derived from BASE is ready.",
    "doctor": "Show versions, the device that would be used, and which extras are installed.",
}


class Verbs(TyperGroup):
    """Loads the module of a verb when it is called: most need torch, which takes seconds."""

    # The types are those of click, which typer carries inside itself or depends on, by version.

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What the list of verbs shows; `resolve_command` gives the verb itself."""
        return TyperCommand(cmd_name, help=VERBS[cmd_name])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, *rest = args
        if name not in VERBS:
            raise UnknownNameError("command", name, VERBS)
        verb = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        verb.command(name)(import_module(f"ohgw.cli.{name.replace('-', '_')}").command)
        return name, typer.main.get_command(verb), rest


app = typer.Typer(
    cls=Verbs,
    help="Hyperparameter search with one-shot hyper-gradient warm-starts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Nothing happens before a verb."""


def main() -> None:
    """Entry point: errors a user can cause become one panel and exit status 2."""
    try:
        app()
    except Interrupted as stop:
        _panel(f"{stop}\nGo on with: {_resume_command(stop.directory)}", "Stopped", "yellow")
        sys.exit(STOPPED)
    except OHGWError as error:
        _panel(str(error), type(error).__name__, "red")
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _panel(message: str, title: str, style: str) -> None:
    Console(stderr=True).print(Panel(Text(message), title=title, border_style=style))


def _resume_command(directory: object) -> str:
    """The present command with what it needs to go on in the same place."""
    words = ["ohgw", *sys.argv[1:]]
    option = "--results-dir" if "study" in words[:2] else "--out"
    if not any(word == option or word.startswith(f"{option}=") for word in words):
        words += [option, str(directory)]
    if "--resume" not in words:
        words.append("--resume")
    return " ".join(words)
