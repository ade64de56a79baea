"""An experiment folder under `ohgw study`: reviewed first, then run by its own entry point."""

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

import ohgw
from ohgw.core.errors import NotReadyError, SettingError, WorkerError
from ohgw.review.checks import Context
from ohgw.review.findings import Review
from ohgw.review.formats import FORMATS
from ohgw.review.project import Project
from ohgw.review.run import review
from ohgw.review.spec import read_spec
from ohgw.review.tree import read_tree

TEMPLATE = Path(ohgw.__file__).parent / "template"
SPEC = "SPEC.yaml"


def is_experiment(name: str) -> bool:
    """Whether what a user named is a folder, not a study."""
    return os.sep in name or name in (".", "..") or (Path(name) / "src").is_dir()


def run_experiment(
    folder: Path, results_dir: Path | None, *, smoke: bool, force: bool, quiet: bool
) -> None:
    """Review `folder` against the shipped experiment, then run it.

    A full run of code that is not ready raises `NotReadyError` unless `force`; the findings are
    printed either way. Raises `WorkerError` where the experiment itself fails.
    """
    if not (folder / "src" / "main.py").exists():
        raise SettingError(
            f"{folder} has no src/main.py, so it is no experiment. `ohgw new-experiment {folder}` "
            "writes one."
        )
    if results_dir is None:
        raise SettingError("An experiment needs --results-dir, where its results go.")
    found, derived = _review(folder)
    ready = found.is_experiment_code_ready
    console = Console(stderr=True)
    if not ready or not quiet:
        console.print(FORMATS["text"](found, {derived.label: derived.tree}), highlight=False)
    if not ready and not smoke and not force:
        raise NotReadyError(
            f"{folder} is not ready for a full run: {found.experiment_code_issue} Fix what is "
            "listed above, try it with --smoke, or run it all the same with --force."
        )
    mode = "--smoke-test" if smoke else "--full-experiment"
    command = [sys.executable, "-m", "src.main", mode, "--results-dir", str(results_dir.resolve())]
    status = subprocess.run(command, cwd=folder).returncode
    if status:
        raise WorkerError(
            f"The experiment in {folder} ended with status {status}; its own message is above. "
            f"What it wrote is in {results_dir}."
        )


def _review(folder: Path) -> tuple[Review, Project]:
    spec = folder / SPEC
    derived = Project(read_tree("derived", str(folder)))
    base = Project(read_tree("base", str(TEMPLATE)))
    context = Context(derived, base, None, read_spec(str(spec) if spec.exists() else None))
    return review(context), derived
