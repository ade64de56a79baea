"""Reports: one self-contained HTML page, figures as PNG and PDF, and every number as JSON.

Both writers read `records.jsonl` in a directory and write beside it: `report.html` (no scripts,
nothing loaded from elsewhere), `summary.json` (strict JSON; infinities are "inf" and "-inf", NaN is
null), `table.csv` and `figures/`. All text that came from a user is escaped by the template engine.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ohgw.analysis import wording
from ohgw.analysis.figures import comparison
from ohgw.analysis.figures.numbers import Shown, compared_reports
from ohgw.analysis.figures.progress import progress
from ohgw.analysis.frames import frame, load
from ohgw.analysis.moves import Move, moves
from ohgw.analysis.pages import (
    REPORT_NAME,
    SUMMARY_NAME,
    TABLE_NAME,
    Drawing,
    json_text,
    pictures,
    render,
    write,
)
from ohgw.analysis.results import Summary
from ohgw.analysis.statistics import quantile
from ohgw.analysis.summary import Searches
from ohgw.analysis.tune import TuneSummary, summarise_search
from ohgw.core.records import Header


def write_compare_report(directory: Path | str, command: str | None = None) -> Summary:
    """Compare the arms of a study and write its report.

    `command` is printed as the way to make the record again. Raises `RecordError` for a broken
    record and `StorageError` where the directory cannot be written.
    """
    directory = Path(directory)
    rows = load(directory)
    searches = Searches.of(rows)
    summary = searches.summary()
    displacements = moves(compared_reports(searches))
    drawings = _drawings(Shown.of(searches, summary), summary, displacements)
    values = summary.as_json() | {"moves": _move_numbers(displacements)}
    write(directory / SUMMARY_NAME, json_text(values))
    write(directory / TABLE_NAME, table(summary).to_csv(index=False, na_rep=""))
    page = render(
        "compare.html",
        summary=summary,
        displacements=displacements,
        pictures=pictures(directory, drawings),
        **_common(rows[0], command),
    )
    write(directory / REPORT_NAME, page)
    return summary


def write_tune_report(directory: Path | str, command: str | None = None) -> TuneSummary:
    """Describe a single search and write its report. Raises as `write_compare_report` does."""
    directory = Path(directory)
    rows = load(directory)
    header, reports, _ = rows
    summary = summarise_search(rows)
    drawn = progress(frame(header, reports), summary)
    caption = (
        "Every report of the search against the work spent until it arrived. The line is the best "
        "score so far, the star the incumbent's. A trial appears once for each resource it reached."
    )
    drawing = Drawing("progress", "Best score against cost", caption, drawn)
    write(directory / SUMMARY_NAME, json_text(summary.as_json()))
    steps = pd.DataFrame(summary.as_json()["improvements"])
    write(directory / TABLE_NAME, steps.to_csv(index=False))
    page = render(
        "tune.html",
        summary=summary,
        pictures=pictures(directory, [drawing]),
        **_common(header, command),
    )
    write(directory / REPORT_NAME, page)
    return summary


def table(summary: Summary) -> pd.DataFrame:
    """The summary in long form: one line per arm, reference and target.

    Times in epochs; an infinite number is written `inf`, an undefined one is empty.
    """
    lines = []
    for row in summary.rows:
        shared: dict[str, Any] = {
            "arm": row.arm,
            "reference": row.reference,
            "pairs": row.pairs,
            "validation_median": row.validation.median,
            "test_median": row.test.median if row.test else np.nan,
            "validation_gain": row.validation_gain.median if row.validation_gain else np.nan,
            "test_gain": row.test_gain.median if row.test_gain else np.nan,
            "overhead": row.overhead,
            "outcome": row.outcome,
        }
        lines += [
            shared
            | {
                "target": cell.target,
                "tau": cell.tau,
                "time_median": cell.time.median,
                "time_q25": cell.time.low,
                "time_q75": cell.time.high,
                "reached": cell.reached,
                "searches": cell.searches,
                "change": cell.change,
                "change_low": cell.low,
                "change_high": cell.high,
                "p": cell.p,
                "p_holm": cell.p_holm,
                "deviation_ratio": cell.deviation,
                "target_outcome": cell.outcome,
            }
            for cell in row.cells
        ] or [shared]
    return pd.DataFrame(lines)


def _drawings(shown: Shown, summary: Summary, displacements: Sequence[Move]) -> list[Drawing]:
    return [
        Drawing(
            "anytime",
            "Best score against work",
            "Median over seeds of the incumbent's validation score, with the band between the "
            "quartiles. Dashed lines are the targets.",
            comparison.anytime(shown.bests, shown.epochs, summary),
        ),
        Drawing(
            "time_to_target",
            "Time to target",
            "One dot per search; the diamond is the median, the bar runs from the lower to the "
            "upper quartile. Searches that never reached the target are counted at the right.",
            comparison.times(shown.times, summary),
        ),
        Drawing(
            "paired_changes",
            "Paired changes of time to target",
            "One dot per seed; the diamond is the median, the bar its 95 % bootstrap interval. "
            "Left of the line the arm was faster. Grey edges: only one of the two reached the "
            "target. Pairs in which both missed count as 1.",
            comparison.changes(shown.paired, summary),
        ),
        Drawing(
            "survival",
            "Trials that survive to each resource",
            "Number of trials per search that were trained to a resource or beyond.",
            comparison.survival(shown.survivors),
        ),
        Drawing(
            "moves",
            "How far configurations moved",
            "From x, as the scheduler asked, to x′, as it was trained. Marker: median; thick bar: "
            "middle 50 % of trials; thin bar: middle 90 %.",
            comparison.displacement(displacements, [cost.arm for cost in summary.costs]),
        ),
    ]


def _move_numbers(found: Sequence[Move]) -> list[dict[str, Any]]:
    return [
        {
            "arm": move.arm,
            "hyperparameter": move.name,
            "unit": move.unit,
            "trials": int(move.values.size),
            "moved": move.moved,
            **{f"q{q:02d}": float(quantile(move.values, q / 100)) for q in (5, 25, 50, 75, 95)},
        }
        for move in found
    ]


def _common(header: Header, command: str | None) -> dict[str, Any]:
    plan = header.plan.model_dump()
    plan["arms"] = ", ".join(arm.label for arm in header.plan.arms)
    plan["seeds"] = wording.listed(header.plan.seeds)
    plan["calibration_seeds"] = wording.listed(header.plan.calibration_seeds)
    plan["budget"] = f"{wording.number(header.plan.budget, 6)} epochs of work for each search"
    return {
        "plan": {name.replace("_", " "): value for name, value in plan.items()},
        "steps_per_epoch": header.steps_per_epoch,
        "step_flops": header.step_flops,
        "versions": header.versions,
        "command": command,
    }
