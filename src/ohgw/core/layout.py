"""Where a study's files lie, and how a study is read back from them.

    OUT/study.yaml                  what was asked for, written first
    OUT/cells/ID/records.jsonl      one comparison each: the record of `core.records`
    OUT/cells/ID/manifest.json      what the cell cost and on what, written last
    OUT/cells/ID/*.parquet          the rows of a complete cell, for pandas and DuckDB
    OUT/RUN_ID/results.json         one file for each run of the experiment's own naming
    OUT/report/                     what `ohgw report` writes

A study that was stopped has cells without a manifest, or without a record; readers say which.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ohgw.core.errors import RecordError
from ohgw.core.records import RECORDS_NAME, Plan, first_fault

STUDY_NAME = "study.yaml"
CELLS = "cells"
MANIFEST_NAME = "manifest.json"
REPORTS_NAME, FINALS_NAME = "reports.parquet", "finals.parquet"
RESULTS_NAME = "results.json"
REPORT = "report"
SCHEMA = 1

M = TypeVar("M", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sweep(_Strict):
    """What varies over a block: a setting and its value, for the whole cell or for each arm."""

    name: str  # eta, workers, batch_size ...
    value: float | None = None  # of the cell
    values: Mapping[str, float] = {}  # by arm label


class CellPlan(_Strict):
    """One comparison of a study: its plan and its place in the study."""

    id: str
    block: str
    plan: Plan
    run_ids: Mapping[str, str] = {}  # arm label -> the name of its results folder
    sweep: Sweep | None = None


class StudyPlan(_Strict):
    """The content of `study.yaml`."""

    schema_version: int = SCHEMA
    name: str
    title: str
    description: str = ""
    overrides: tuple[str, ...] = ()
    cells: tuple[CellPlan, ...]


class Memory(_Strict):
    """Peak bytes of tensors, of one configuration: in a training step, and in each arm's probe."""

    step_bytes: int
    arms: Mapping[str, int]


class Loss(_Strict):
    """A worker of a cluster that was lost. What it was training was trained again, from its pause.

    So the record's rows are those of a run without the loss.
    """

    time: str  # ISO 8601, UTC
    worker: str  # NODE:PID, or the batch system's name of it
    reason: str
    trials: tuple[str, ...]  # ARM seed S trial T to RESOURCE


class Cluster(_Strict):
    """What a run used of a cluster, over all interruptions."""

    engine: str
    nodes: tuple[str, ...]
    workers: int  # processes that trained something
    worker_seconds: float  # in which they did, summed
    gpu_hours: float  # of the GPUs, or parts of one, that they held meanwhile
    partition: str | None = None  # of Slurm
    jobs: tuple[str, ...] = ()  # of Slurm: what `sacct --jobs` is asked about
    losses: tuple[Loss, ...] = ()


class Manifest(_Strict):
    """What a complete cell cost, and what it ran on."""

    schema_version: int = SCHEMA
    id: str
    versions: Mapping[str, str]
    git: str | None  # revision, with "+" where the tree had changes; None outside a repository
    device: str
    started: str  # ISO 8601, UTC
    seconds: float
    cpu_seconds: float
    device_seconds: float | None
    gpu_hours: float
    peak_rss_bytes: int
    peak_cuda_bytes: int | None
    energy_joules: float | None  # None where no driver tells
    memory: Memory | None
    cluster: Cluster | None = None  # beyond this process; None on a local engine
    step_flops: float | None
    reports: int
    finals: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a study on disk."""

    planned: CellPlan
    path: Path
    manifest: Manifest | None  # None: not complete

    @property
    def started(self) -> bool:
        record = self.path / RECORDS_NAME
        return record.exists() and record.stat().st_size > 0


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study's directory, read without its rows."""

    path: Path
    plan: StudyPlan
    cells: tuple[Cell, ...]


def read_study(directory: Path | str) -> StudyRecord:
    """The plan of the study in `directory`, and how far each of its cells is.

    Raises `RecordError` naming file, place and remedy where there is none, or it is damaged.
    """
    path = Path(directory)
    plan = read_plan(path)
    cells = []
    for planned in plan.cells:
        folder = path / CELLS / planned.id
        cells.append(Cell(planned, folder, _manifest(folder / MANIFEST_NAME)))
    return StudyRecord(path, plan, tuple(cells))


def read_plan(directory: Path) -> StudyPlan:
    """The content of `study.yaml`. Raises `RecordError`."""
    path = directory / STUDY_NAME
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(
            f"{directory}: no {STUDY_NAME}, so this is not the directory of a study. "
            "Check the name; `ohgw study NAME --results-dir DIR` makes one."
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecordError(f"{path}: damaged ({error}). Restore it from a copy.") from None
    _check_schema(content, path)
    return _validated(StudyPlan, content, path)


def file_name(spec: str) -> str:
    """A spec as part of a file's name: letters, digits, - and =, and _ for all else."""
    return "".join(c if c.isalnum() or c in "-=" else "_" for c in spec)


def to_yaml(plan: StudyPlan) -> str:
    """The text of `study.yaml`."""
    return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _manifest(path: Path) -> Manifest | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RecordError(
            f"{path}: damaged ({error}). Delete this file and resume the study: the cell's record "
            "is kept, and the manifest is written again."
        ) from None
    _check_schema(content, path)
    return _validated(Manifest, content, path)


def _check_schema(content: Any, path: Path) -> None:
    found = content.get("schema_version") if isinstance(content, dict) else None
    if found != SCHEMA:
        raise RecordError(
            f"{path}: written with schema {found!r}, this version reads {SCHEMA}. Read it with the "
            "version of ohgw that wrote it, or run the study again in a new directory."
        )


def _validated(model: type[M], content: Any, path: Path) -> M:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        place, message = first_fault(error)
        raise RecordError(
            f"{path}: {message} (at {place}). Restore the file from a copy."
        ) from None
