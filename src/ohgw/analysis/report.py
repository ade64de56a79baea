"""Reports: one self-contained HTML page, figures as PNG and PDF, and every number as JSON.

Both writers read `records.jsonl` in a directory and write beside it: `report.html` (no scripts,
nothing loaded from elsewhere), `summary.json` (strict JSON; infinities are "inf" and "-inf", NaN is
null), `table.csv` and `figures/`. All text that came from a user is escaped by the template engine.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from ohgw.analysis import figures, wording
from ohgw.analysis.frames import Rows, curves, frame, load
from ohgw.analysis.moves import Move, moves
from ohgw.analysis.progress import progress
from ohgw.analysis.results import Summary, jsonable
from ohgw.analysis.statistics import Floats, quantile, ratios
from ohgw.analysis.style import save
from ohgw.analysis.summary import compared_times, summarise
from ohgw.analysis.time_to_target import LABELS, RULES
from ohgw.analysis.tune import TuneSummary, summarise_search
from ohgw.core.errors import StorageError
from ohgw.core.records import Header, Report

REPORT_NAME, SUMMARY_NAME, TABLE_NAME, FIGURES_NAME = (
    "report.html",
    "summary.json",
    "table.csv",
    "figures",
)


@dataclass(frozen=True, slots=True)
class _Picture:
    name: str
    title: str
    caption: str
    uri: str


def write_compare_report(directory: Path | str, command: str | None = None) -> Summary:
    """Compare the arms of a study and write its report.

    `command` is printed as the way to make the record again. Raises `RecordError` for a broken
    record and `StorageError` where the directory cannot be written.
    """
    directory = Path(directory)
    rows = load(directory)
    summary = summarise(rows)
    displacements = moves(_compared_reports(rows, summary))
    pictures = _pictures(directory, _compare_figures(rows, summary, displacements))
    values = summary.as_json() | {"moves": _move_numbers(displacements)}
    _write(directory / SUMMARY_NAME, _json(values))
    _write(directory / TABLE_NAME, table(summary).to_csv(index=False, na_rep=""))
    page = _render(
        "compare.html",
        summary=summary,
        displacements=displacements,
        pictures=pictures,
        **_common(rows[0], command),
    )
    _write(directory / REPORT_NAME, page)
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
    pictures = _pictures(directory, [("progress", "Best score against cost", caption, drawn)])
    _write(directory / SUMMARY_NAME, _json(summary.as_json()))
    steps = pd.DataFrame(summary.as_json()["improvements"])
    _write(directory / TABLE_NAME, steps.to_csv(index=False))
    page = _render(
        "tune.html",
        summary=summary,
        pictures=pictures,
        **_common(header, command),
    )
    _write(directory / REPORT_NAME, page)
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


def _compared_reports(rows: Rows, summary: Summary) -> list[Report]:
    _, reports, finals = rows
    kept = {(f.search, f.seed) for f in finals if f.seed in set(summary.seeds)}
    return [r for r in reports if (r.search, r.seed) in kept]


def _compare_figures(
    rows: Rows, summary: Summary, displacements: Sequence[Move]
) -> list[tuple[str, str, str, Figure | None]]:
    header = rows[0]
    arms = [cost.arm for cost in summary.costs]
    reports = _compared_reports(rows, summary)
    epochs = np.linspace(0, summary.budget, figures.GRID_POINTS)
    found = curves(header, reports)
    bests: dict[str, Floats] = {
        arm: np.array(
            [c.at(epochs * header.steps_per_epoch) for (a, _), c in found.items() if a == arm]
        )
        for arm in arms
    }
    times = compared_times(rows)
    by_target = {
        target: {arm: np.array(list(seeds.values())) for arm, seeds in by_arm.items()}
        for target, by_arm in times.items()
    }
    paired = {
        target: {
            row.key: _paired(by_arm[row.arm], by_arm[row.reference])
            for row in summary.comparisons
            if row.reference is not None
        }
        for target, by_arm in times.items()
    }
    return [
        (
            "anytime",
            "Best score against work",
            "Median over seeds of the incumbent's validation score, with the band between the "
            "quartiles. Dashed lines are the targets.",
            figures.anytime(bests, epochs, summary),
        ),
        (
            "time_to_target",
            "Time to target",
            "One dot per search; the diamond is the median, the bar runs from the lower to the "
            "upper quartile. Searches that never reached the target are counted at the right.",
            figures.times(by_target, summary),
        ),
        (
            "paired_changes",
            "Paired changes of time to target",
            "One dot per seed; the diamond is the median, the bar its 95 % bootstrap interval. "
            "Left of the line the arm was faster. Grey edges: only one of the two reached the "
            "target. Pairs in which both missed count as 1.",
            figures.changes(paired, summary),
        ),
        (
            "survival",
            "Trials that survive to each resource",
            "Number of trials per search that were trained to a resource or beyond.",
            figures.survival(_survivors(frame(header, reports), summary)),
        ),
        (
            "moves",
            "How far configurations moved",
            "From x, as the scheduler asked, to x′, as it was trained. Marker: median; thick bar: "
            "middle 50 % of trials; thin bar: middle 90 %.",
            figures.displacement(displacements, arms),
        ),
    ]


def _paired(arm: Mapping[int, float], reference: Mapping[int, float]) -> Floats:
    both = [seed for seed in arm if seed in reference]
    return ratios([arm[s] for s in both], [reference[s] for s in both])


def _survivors(reports: pd.DataFrame, summary: Summary) -> dict[str, dict[int, float]]:
    """Trials per search that reached each resource or went beyond, by arm."""
    last = reports.groupby(["search", "seed", "trial"], as_index=False)["resource"].max()
    rungs = sorted(int(r) for r in reports["resource"].unique())
    result = {}
    for cost in summary.costs:
        reached = last.loc[last["search"] == cost.arm, "resource"].to_numpy()
        counts = {r: int((reached >= r).sum()) for r in rungs}
        result[cost.arm] = {r: n / cost.searches for r, n in counts.items() if n}
    return result


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


def _pictures(
    directory: Path, drawn: Sequence[tuple[str, str, str, Figure | None]]
) -> list[_Picture]:
    pictures = []
    for name, title, caption, figure in drawn:
        if figure is not None:
            uri = save(figure, directory / FIGURES_NAME, name)
            pictures.append(_Picture(name, title, caption, uri))
    return pictures


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


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        words=wording, labels=LABELS, rules=RULES, quantile=quantile, figures_name=FIGURES_NAME
    )
    return environment.get_template(template).render(**values)


def _json(value: Any) -> str:
    return json.dumps(jsonable(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). "
            "Check the directory's permissions and the free space."
        ) from error
