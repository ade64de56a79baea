"""Sinks: where the records of complete cells are sent besides their files. One file each.

A cell is sent when it is complete, from its record, so that what a resumed run computes twice is
told once; a mark in the cell's directory says that it was sent.
"""

from collections.abc import Sequence
from importlib import import_module, util
from pathlib import Path
from typing import Protocol

from ohgw.core.errors import MissingExtraError, SettingError, UnknownNameError
from ohgw.core.layout import Cell, StudyPlan, read_study

SINKS = ("mlflow", "wandb")


class Sink(Protocol):
    """Takes complete cells of one study."""

    def send(self, cell: Cell) -> None:
        """Send a complete cell; may be called again after it was cut short."""
        ...


def check_sinks(names: Sequence[str]) -> None:
    """Raises `UnknownNameError`, or `MissingExtraError` for one whose library is not installed."""
    for name in names:
        if name not in SINKS:
            raise UnknownNameError("tracker", name, SINKS)
        if util.find_spec(name) is None:
            raise MissingExtraError(f"Tracking with {name}", name)


def send_complete(names: Sequence[str], directory: Path) -> int:
    """Send every complete cell that was not sent before to each sink; returns how many were."""
    study, sent = read_study(directory), 0
    for name in names:
        waiting = [cell for cell in study.cells if cell.manifest and not _mark(cell, name).exists()]
        if not waiting:
            continue
        sink = _open(name, study.plan, directory)
        for cell in waiting:
            try:
                sink.send(cell)
            except Exception as error:  # of a service that is not ours, and must not cost a study
                raise SettingError(
                    f"{name} did not take cell {cell.planned.id!r}: {error}. The study's files are "
                    "complete; send it again with --resume."
                ) from error
            _mark(cell, name).touch()
            sent += 1
    return sent


def _open(name: str, plan: StudyPlan, directory: Path) -> Sink:
    sink: Sink = import_module(f"ohgw.study.sinks.to_{name}").open_sink(plan, directory)
    return sink


def _mark(cell: Cell, name: str) -> Path:
    return cell.path / f".sent-{name}"
