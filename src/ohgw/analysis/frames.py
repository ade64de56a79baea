"""Records as tidy frames, and the anytime curve of each search.

A search is one (arm label, seed). Work is in train-step equivalents throughout; `Curve` and every
time to target stay in that unit, and only tables and figures divide by `steps_per_epoch`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ohgw.core.errors import RecordError
from ohgw.core.protocols import Mode
from ohgw.core.records import RECORDS_NAME, Final, Header, Report, read_records

Floats = NDArray[np.float64]
Rows = tuple[Header, list[Report], list[Final]]
Search = tuple[str, int]
Clock = Literal["work", "wall"]


def load(source: Path | str | Rows) -> Rows:
    """The rows of a results directory, of a record file, or the rows given.

    Raises `RecordError` where the file is broken or a row belongs to no arm or seed of the plan.
    """
    if isinstance(source, tuple):
        rows = source
    else:
        path = Path(source)
        rows = read_records(path / RECORDS_NAME if path.is_dir() else path)
    header, reports, finals = rows
    labels = {arm.label for arm in header.plan.arms}
    seeds = {*header.plan.seeds, *header.plan.calibration_seeds}
    searches: list[Report | Final] = [*reports, *finals]
    for row in searches:
        if row.search not in labels or row.seed not in seeds:
            raise RecordError(
                f"Search {row.search!r} with seed {row.seed!r} is not in the record's own plan "
                f"(arms {', '.join(sorted(labels))}). Two records were mixed: restore the file "
                "from a copy, or start again in an empty directory."
            )
    return rows


def frame(header: Header, reports: Iterable[Report]) -> pd.DataFrame:
    """One line per report, in order of arrival.

    Columns: search, seed, trial, start, resource, score (NaN where the trial diverged), epochs
    (work of the whole search so far, in epochs), wall (seconds), proposed and configuration
    (dicts, x and x').
    """
    columns = {
        "search": "str",
        "seed": "int64",
        "trial": "int64",
        "start": "int64",
        "resource": "int64",
        "score": "float64",
        "epochs": "float64",
        "wall": "float64",
        "proposed": "object",
        "configuration": "object",
    }
    rows = [
        (
            r.search,
            r.seed,
            r.trial,
            r.start,
            r.resource,
            np.nan if r.score is None else r.score,
            r.work / header.steps_per_epoch,
            r.wall,
            r.proposed,
            r.configuration,
        )
        for r in reports
    ]
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def worst(mode: Mode) -> float:
    """The score of a search that has none: infinitely bad."""
    return np.inf if mode == "min" else -np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The incumbent's best validation score so far, as a step function of work.

    `work` (n,) is where the incumbent improved, increasing; `best` (n,) its score from there on.
    Both are empty where no report had a finite score.
    """

    work: Floats
    best: Floats
    mode: Mode

    def at(self, work: ArrayLike) -> Floats:
        """Best score after `work`, of the same shape; infinitely bad before the first report."""
        padded = np.concatenate([[worst(self.mode)], self.best])
        steps: Floats = padded[np.searchsorted(self.work, work, side="right")]
        return steps

    @property
    def final(self) -> float:
        """The last best score; infinitely bad where there was none."""
        return float(self.best[-1]) if self.best.size else worst(self.mode)


def improvements(reports: Iterable[Report], mode: Mode) -> list[Report]:
    """The reports of one search, in order of arrival, that became the incumbent."""
    found: list[Report] = []
    best = worst(mode)
    for report in reports:
        score = report.score
        if score is not None and (score < best if mode == "min" else score > best):
            found.append(report)
            best = score
    return found


def curve(reports: Iterable[Report], mode: Mode, clock: Clock = "work") -> Curve:
    """The anytime curve of one search's reports, which are in order of arrival.

    With the clock "wall" its `work` is measured seconds since the run began.
    """
    found = improvements(reports, mode)
    work = np.array([getattr(r, clock) for r in found], dtype=float)
    return Curve(work, np.array([r.score for r in found], dtype=float), mode)


def curves(header: Header, reports: Iterable[Report], clock: Clock = "work") -> dict[Search, Curve]:
    """The anytime curve of every search that reported anything."""
    by_search: dict[Search, list[Report]] = {}
    for report in reports:
        by_search.setdefault((report.search, report.seed), []).append(report)
    return {search: curve(rows, header.mode, clock) for search, rows in by_search.items()}
