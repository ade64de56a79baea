"""The command line: one thin file per verb over `ohgw.api`."""

import os
import sys

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from ohgw.core.errors import OHGWError

STOPPED = 130  # what a shell reports for Ctrl-C

app = typer.Typer(
    help="Hyperparameter search with one-shot hyper-gradient warm-starts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point: errors a user can cause become one panel and exit status 2."""
    from ohgw.cli import compare, doctor, tasks, tune  # noqa: F401  (they register themselves)
    from ohgw.study.run import Interrupted

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
    if "--out" not in words and not any(word.startswith("--out=") for word in words):
        words += ["--out", str(directory)]
    if "--resume" not in words:
        words.append("--resume")
    return " ".join(words)
