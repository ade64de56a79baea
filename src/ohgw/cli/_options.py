"""Options that `tune` and `compare` share."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

Task = Annotated[str, typer.Argument(help="A task's name; `ohgw tasks` lists them.")]
Scheduler = Annotated[
    str, typer.Option(help="`ohgw schedulers` lists them; options after colons: asha:eta=4.")
]
Budget = Annotated[
    float | None,
    typer.Option(help="Epochs of work for each search.", show_default="3 x top rung"),
]
Workers = Annotated[int, typer.Option(help="Virtual workers of each search.")]
Engine = Annotated[
    str | None,
    typer.Option(
        help="population, serial, ray or slurm; options after colons: ray:gpus=0.5:lanes=16.",
        show_default="population where it pays",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Seed = Annotated[int, typer.Option(help="The seed, or the first of several.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Directory for everything that comes out.", show_default="runs/<new>"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, results only.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def this_command() -> str:
    """The command line as it was typed, for a report to repeat."""
    return shlex.join(["ohgw", *sys.argv[1:]])


def require_out(out: Path | None, resume: bool) -> None:
    """Resuming needs to know where."""
    if resume and out is None:
        raise typer.BadParameter("--resume needs --out, the directory to go on in.")
