"""From a race's runs to its table: seconds to targets with misses as infinity, medians, speed-ups.

A run is {"seed", "took", "reports"} as `_race_arms.run` returns them. Plain arithmetic.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from _race_arms import PEERS, STRICT

from ohgw.analysis.statistics import quantile

Run = Mapping[str, Any]


def seconds_to(run: Run, target: float) -> float:
    """Seconds until the first report of at most `target`; infinite where there was none."""
    for report in run["reports"]:
        if report["loss"] is not None and report["loss"] <= target:
            return float(report["seconds"])
    return math.inf


def test_after(run: Run, seconds: float) -> float:
    """Test loss of the incumbent after so many seconds; infinite where nothing was reported."""
    found = math.inf
    for report in run["reports"]:
        if "test" in report and report["seconds"] <= seconds:
            found = report["test"]
    return found


def summary(
    runs: Mapping[str, Mapping[str, Sequence[Run]]],
    targets: Mapping[str, Mapping[str, Any]],
    *,
    at: float,
    limit: float,
) -> list[dict[str, Any]]:
    """A row for each task of `runs` (task -> arm -> runs), as `peers.json` has it.

    `speedup_over_best_peer` is that of `ohgw-plain` at the hardest target. Where the median of
    every peer is a miss, they needed more than `limit`: then the ratio is a lower bound and
    `speedup_is_lower_bound` is true. Null: ours missed, or a side is absent.
    """
    rows = []
    for task, by_arm in runs.items():
        goals = [_goal(loss, by_arm, limit) for loss in targets[task]["losses"]]
        rows.append(
            {
                "task": task,
                "speedup_over_best_peer": goals[-1]["speedup"],
                "speedup_is_lower_bound": goals[-1]["speedup_is_lower_bound"],
                "best_peer": goals[-1]["best_peer"],
                "never_behind": all(
                    goal["speedup"] is not None and goal["speedup"] >= 1 for goal in goals
                ),
                "targets": goals,
                "arms": {arm: _costs(found, at) for arm, found in by_arm.items() if found},
                "calibration": targets[task],
            }
        )
    return rows


def _goal(target: float, by_arm: Mapping[str, Sequence[Run]], limit: float) -> dict[str, Any]:
    arms, medians = {}, {}
    for arm, found in by_arm.items():
        if not found:
            continue
        seconds = [seconds_to(run, target) for run in found]
        medians[arm] = float(quantile(seconds, 0.5))
        arms[arm] = {
            "median_seconds": _finite(medians[arm]),
            "q1": _finite(quantile(seconds, 0.25)),
            "q3": _finite(quantile(seconds, 0.75)),
            "censored": sum(map(math.isinf, seconds)),
            "seeds": len(seconds),
            "start_up_share": _share(found, seconds),
        }
    peers = [arm for arm in PEERS if arm in medians]
    best = min(peers, key=medians.__getitem__) if peers else None
    speedup, bound = None, False
    if best is not None and math.isfinite(medians.get(STRICT, math.inf)):
        bound = math.isinf(medians[best])
        speedup = (limit if bound else medians[best]) / medians[STRICT]
    return {
        "loss": target,
        "best_peer": None if bound else best,
        "speedup": speedup,
        "speedup_is_lower_bound": bound,
        "arms": arms,
    }


def _share(found: Sequence[Run], seconds: Sequence[float]) -> float | None:
    """Median share of start-up in the time to a target, over the seeds that reached it."""
    shares = [
        run["took"]["start_up"] / value
        for run, value in zip(found, seconds, strict=True)
        if math.isfinite(value)
    ]
    return float(quantile(shares, 0.5)) if shares else None


def _costs(found: Sequence[Run], at: float) -> dict[str, Any]:
    """Medians over seeds of what is not a time to a target."""

    def middle(values: Sequence[float]) -> float | None:
        return _finite(quantile(values, 0.5))

    starts = [run["took"]["start_up"] for run in found]
    return {
        "start_up_seconds": middle([math.inf if start is None else start for start in starts]),
        "test_loss_after": at,
        "test_loss": middle([test_after(run, at) for run in found]),
        "peak_rss_mib": middle([run["took"]["peak_rss_mib"] for run in found]),
        "peak_pss_mib": middle([run["took"]["peak_pss_mib"] for run in found]),
        "cpu_seconds": middle([run["took"]["cpu_seconds"] for run in found]),
        "cores": middle([run["took"]["cpu_seconds"] / run["took"]["seconds"] for run in found]),
        "epochs_per_second": middle([_epochs(run) / run["took"]["seconds"] for run in found]),
    }


def _epochs(run: Run) -> float:
    """Epochs trained in all, by the last report of each trial."""
    reached: dict[Any, int] = {}
    for report in run["reports"]:
        reached[report["trial"]] = max(report["epoch"], reached.get(report["trial"], 0))
    return float(sum(reached.values()))


def _finite(value: SupportsFloat) -> float | None:
    return float(value) if math.isfinite(value) else None
