"""The one row schema: what a study writes and an analysis reads.

A record is a JSON-lines file: one `Header`, then `Report` rows in the order in which they arrived
and one `Final` row for each search that ended. Work is counted in train-step equivalents (FLOPs
divided by the FLOPs of one training step of the task), so it does not depend on the machine;
seconds are measured and stand beside it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ohgw.core.errors import RecordError

SCHEMA = 1
RECORDS_NAME = "records.jsonl"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Arm(_Row):
    """A method under a recipe; `label` names it in every table and file."""

    method: str
    recipe: str

    @property
    def label(self) -> str:
        return f"{self.method}/{self.recipe}"


class Plan(_Row):
    """What a study runs. Two runs with equal plans make equal records, apart from seconds."""

    task: str
    scheduler: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    calibration_seeds: tuple[int, ...] = ()
    budget: float  # epochs of work for each search
    workers: int
    engine: str
    device: str
    threads: int  # of the tensor library; part of the plan because it decides rounding


class Header(_Row):
    """First line of a record."""

    kind: Literal["header"] = "header"
    schema_version: int = SCHEMA
    plan: Plan
    steps_per_epoch: float
    metric: str
    mode: Literal["min", "max"]
    step_flops: float | None = None
    space: dict[str, dict[str, Any]] | None = None  # `Space.to_dict`; None in older records
    versions: dict[str, str] = {}
    started: str = ""  # ISO 8601, UTC


class Report(_Row):
    """One trial reached one resource."""

    kind: Literal["report"] = "report"
    search: str  # the arm's label
    seed: int
    trial: int
    worker: int
    start: int
    resource: int
    score: float | None  # None: the trial diverged
    metrics: dict[str, float | None]
    work: float  # spent by the whole search until this report arrived, train-step equivalents
    job_work: float  # of this job alone, probe included
    probe_work: float  # the probe's part, beyond training; its steps that train on are training
    wall: float  # seconds since the study began
    proposed: dict[str, Any]  # x, as the scheduler asked
    configuration: dict[str, Any]  # x', as it was trained
    diagnostics: dict[str, Any] = {}  # of the probe; on a trial's first report only


class Final(_Row):
    """A search ended: its incumbent, whose test score is computed here, once."""

    kind: Literal["final"] = "final"
    search: str
    seed: int
    trial: int | None  # None: no trial had a finite score
    resource: int | None
    score: float | None
    metrics: dict[str, float | None]  # on the test split
    configuration: dict[str, Any]
    work: float
    probe_work: float
    trials: int
    reports: int
    diverged: int
    wall: float


Row = Annotated[Header | Report | Final, Field(discriminator="kind")]
_ROW: TypeAdapter[Header | Report | Final] = TypeAdapter(Row)


def to_line(row: Header | Report | Final) -> str:
    """One JSON line, with its newline."""
    return row.model_dump_json() + "\n"


def parse_line(line: str, where: str) -> Header | Report | Final:
    """Read one line back; `where` (file and line number) goes into the error."""
    try:
        return _ROW.validate_json(line)
    except ValidationError as error:
        place, message = first_fault(error)
        raise RecordError(
            f"{where}: not a record row: {message} (at {place or 'start of line'}; "
            f"line begins {line[:60]!r}). Restore the file from a copy, or start again in an "
            "empty directory."
        ) from None


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Where the first thing that is wrong stands, "" for all of it, and what is wrong with it."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]


def read_records(path: Path) -> tuple[Header, list[Report], list[Final]]:
    """All rows of a record file. Raises `RecordError` naming file, line and remedy."""
    rows = _rows(path)
    header = next(rows, None)
    if not isinstance(header, Header):
        raise RecordError(
            f"{path}: no header in the first line; this is not a record, or it was cut before "
            "anything was recorded. Start again in an empty directory."
        )
    reports: list[Report] = []
    finals: list[Final] = []
    for row in rows:
        if isinstance(row, Report):
            reports.append(row)
        elif isinstance(row, Final):
            finals.append(row)
        else:
            raise RecordError(f"{path}: a second header; two records were joined in one file.")
    return header, reports, finals


def _rows(path: Path) -> Iterator[Header | Report | Final]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecordError(f"{path}: there is no record here. Check the directory's name.") from None
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not a text file ({error.reason}).") from None
    if text and not text.endswith("\n"):
        raise RecordError(
            f"{path}: the last line is half-written (the run was cut while writing). "
            "Resume the run with --resume: it repairs the record from its last checkpoint."
        )
    for number, line in enumerate(text.splitlines(), start=1):
        if number == 1:
            check_schema(line, str(path))
        yield parse_line(line, f"{path}, line {number}")


def check_schema(line: str, where: str) -> None:
    """Refuse a header of another schema by name, before its fields are looked at."""
    try:
        version = _VERSION.validate_json(line).schema_version
    except ValidationError:
        return  # not a header at all: the row parser says so with its place
    if version != SCHEMA:
        raise RecordError(
            f"{where}: written with record schema {version}, this version reads schema {SCHEMA}. "
            "Read it with the version of ohgw that wrote it, or run it again in a new directory."
        )


class _Version(BaseModel):
    schema_version: int


_VERSION = TypeAdapter(_Version)
