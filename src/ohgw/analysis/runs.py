"""The specification's folder contract: one `results.json` for each run id, and their comparison.

A run is one arm of a cell over all its seeds. `comparison` is what an experiment prints at its end.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ohgw.analysis.frames import Curve, Rows, curves
from ohgw.analysis.results import jsonable
from ohgw.analysis.statistics import quantile
from ohgw.analysis.summary import compared_seeds
from ohgw.analysis.time_to_target import targets as find_targets
from ohgw.analysis.time_to_target import time_to_target
from ohgw.core.errors import StorageError
from ohgw.core.layout import RESULTS_NAME, Cell
from ohgw.core.records import Final


def write_cell_results(directory: Path, cell: Cell, rows: Rows) -> list[dict[str, Any]]:
    """Write RUN_ID/results.json into `directory` for every arm of a complete cell, from its rows.

    Returns the cell's part of the comparison. Times in epochs of work; a target that was missed
    has the time "inf". Raises `StorageError` where a file cannot be written.
    """
    comparison = []
    for result in _results(cell, rows):
        folder = directory / str(result["run_id"])
        _write(folder, json.dumps(result, indent=2, allow_nan=False) + "\n")
        comparison.append(_compared(result))
    return comparison


def _results(cell: Cell, source: Rows) -> list[dict[str, Any]]:
    header, reports, finals = source
    found = curves(header, reports)
    taus = find_targets(header, reports)
    seeds = compared_seeds(header)
    by_search = {(final.search, final.seed): final for final in finals}
    results = []
    for arm in header.plan.arms:
        ends = [by_search[arm.label, s] for s in seeds if (arm.label, s) in by_search]
        rows = [
            _replicate(end, found.get((arm.label, end.seed)), taus, header.steps_per_epoch)
            for end in ends
        ]
        results.append(
            jsonable(
                {
                    "run_id": cell.planned.run_ids.get(arm.label, f"{cell.planned.id}.{arm.label}"),
                    "cell": cell.planned.id,
                    "task": header.plan.task,
                    "scheduler": header.plan.scheduler,
                    "method": arm.method,
                    "recipe": arm.recipe,
                    "workers": header.plan.workers,
                    "budget_epochs": header.plan.budget,
                    "metric": header.metric,
                    "mode": header.mode,
                    "replicates": len(rows),
                    "thresholds": taus,
                    **_medians(rows, taus, header.metric),
                    "seeds": rows,
                }
            )
        )
    return results


def _replicate(
    final: Final, anytime: Curve | None, taus: dict[str, float], per_epoch: float
) -> dict[str, Any]:
    return {
        "seed": final.seed,
        "best_val": final.score,
        "final_test": final.metrics,
        "time_to_threshold": {
            name: float("inf") if anytime is None else time_to_target(anytime, tau) / per_epoch
            for name, tau in taus.items()
        },
        "epochs": final.work / per_epoch,
        "probe_share": final.probe_work / final.work if final.work else 0.0,
        "trials": final.trials,
        "configuration": final.configuration,
        "epoch_metrics": []
        if anytime is None
        else [
            {"epoch": work / per_epoch, "best_val": best}
            for work, best in zip(anytime.work.tolist(), anytime.best.tolist(), strict=True)
        ],
    }


def _medians(rows: Sequence[dict[str, Any]], taus: dict[str, float], metric: str) -> dict[str, Any]:
    def median(values: Sequence[float | None]) -> float | None:
        """None where a seed has no number: a median over the others would flatter."""
        numbers = [value for value in values if value is not None]
        return float(quantile(numbers, 0.5)) if len(numbers) == len(values) > 0 else None

    tests = sorted({name for row in rows for name in row["final_test"]})
    return {
        f"best_val_{metric}": median([row["best_val"] for row in rows]),
        "final_test": {
            name: median([row["final_test"].get(name) for row in rows]) for name in tests
        },
        "time_to_threshold": {
            name: median([row["time_to_threshold"][name] for row in rows]) for name in taus
        },
        "probe_share": median([row["probe_share"] for row in rows]),
    }


def _compared(result: dict[str, Any]) -> dict[str, Any]:
    best = f"best_val_{result['metric']}"
    names = ("run_id", "replicates", best, "time_to_threshold", "final_test", "probe_share")
    return {name: result[name] for name in names}


def _write(folder: Path, text: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULTS_NAME).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror}). Check its permissions and the free "
            "space; `ohgw report` writes it again."
        ) from error
