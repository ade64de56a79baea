"""`ohgw new-experiment DIR`: a complete experiment to derive one's own from."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ohgw.cli._experiment import TEMPLATE
from ohgw.core.errors import StorageError


def command(
    directory: Annotated[Path, typer.Argument(help="A directory that is new or empty.")],
) -> None:
    """Write a complete experiment to derive one's own from."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise StorageError(f"{directory} is not empty. Choose a new directory.")
    try:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(TEMPLATE, directory, dirs_exist_ok=True, ignore=ignored)
    except OSError as error:
        raise StorageError(
            f"{directory}: cannot be written ({error.strerror}). Check its permissions."
        ) from None
    Console().print(
        f"{directory} holds a complete experiment. Change data, model and config, then:\n"
        f"  ohgw review shipped {directory} --spec {directory / 'SPEC.yaml'}\n"
        f"  ohgw study {directory} --smoke --results-dir {directory / 'results/smoke'}",
        soft_wrap=True,
        highlight=False,
    )
