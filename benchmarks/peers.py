"""A race in wall-clock time: seconds to a validation loss, ours beside what people use today.

    python benchmarks/peers.py --peers DIR [--tasks TASK ...] [--arms ARM ...] [--seeds N]
                               [--minutes M] [--limit S] [--at S] [--out DIR] [--json FILE]

Every arm searches the same space for the same task on the same machine, one arm at a time: the
peers with the training program that `race/` holds, each as its documentation has a user run it;
ours with the command `ohgw tune TASK`. Seconds count from the launch of the first process. Arms
take turns within each seed, and begin elsewhere at each.

Results lie in `--out`, a file for each run; a run that is there is not run again, so a race that
was stopped goes on. The parts: `_race_targets.py` (targets), `_race_arms.py` (the arms),
`_race_run.py` (one run), `_race_results.py` (arithmetic), `_race_figure.py` (the picture).
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _race_arms import ARMS, OURS_OPTIONS, STRICT, RunFailed, run
from _race_figure import draw
from _race_results import Run, summary
from _race_targets import EPOCHS_A_MINUTE, calibrate
from rich import box
from rich.console import Console
from rich.table import Table

SEEDS = 10
MINUTES = 1.0  # of one core, for each search of the calibration
LIMIT = 45.0
AT = 15.0
BOX = box.SIMPLE_HEAD

Runs = dict[str, dict[str, list[Run]]]


def load_targets(
    names: Sequence[str], minutes: float, out: Path, console: Console
) -> dict[str, dict[str, Any]]:
    """Those in `out`, and new ones for tasks that have none there."""
    path = out / "targets.json"
    targets: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    for task in names:
        if task in targets:
            if targets[task]["minutes_of_one_core"] != minutes:
                raise SystemExit(
                    f"{path} was made with --minutes {targets[task]['minutes_of_one_core']:g}. "
                    "Give that, or choose another --out."
                )
            continue
        with console.status(f"calibrating {task}"):
            targets[task] = calibrate(task, minutes, out / "calibration" / task)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(targets, indent=2) + "\n")
    return {task: targets[task] for task in names}


def race(
    targets: Mapping[str, Mapping[str, Any]],
    arms: Mapping[str, Path],
    seeds: Sequence[int],
    *,
    at: float,
    limit: float,
    out: Path,
    console: Console,
) -> tuple[Runs, int]:
    """Run what is missing in `out`; returns all of it, and how many runs failed."""
    runs: Runs = {task: {arm: [] for arm in arms} for task in targets}
    warm: set[str] = set()
    failed = 0

    def one(name: str, task: str, seed: int) -> Run:
        """The run, from its file or afresh; an arm's first is preceded by an unmeasured one."""
        hardest = targets[task]["losses"][-1]
        path = out / task / name / f"{seed}.jsonl"
        settings = {
            "task": task, "arm": name, "seed": seed, "target": hardest, "at": at, "limit": limit,
            "ours": list(OURS_OPTIONS) if ARMS[name].ours else None,
        }  # fmt: skip
        found = read_run(path, settings)
        if found is None:
            if name not in warm:  # compiled modules, and files in memory
                warm.add(name)
                run(ARMS[name], arms[name], task, seed, target=math.inf, at=0, limit=limit)
            took, reports = run(
                ARMS[name], arms[name], task, seed, target=hardest, at=at, limit=limit
            )
            found = {"seed": seed, "took": took, "reports": reports}
            write_run(path, settings, found)
            console.print(_line(name, task, found, hardest), soft_wrap=True)
        return found

    for seed in seeds:
        for task in targets:
            for name in _in_turn(list(arms), seed):
                try:
                    runs[task][name].append(one(name, task, seed))
                except RunFailed as failure:
                    failed += 1
                    console.print(str(failure), style="red", markup=False, soft_wrap=True)
    return runs, failed


def _in_turn(arms: list[str], seed: int) -> list[str]:
    """The arms from another one on at each seed: none always follows the same idle time."""
    first = seed % len(arms)
    return arms[first:] + arms[:first]


def write_run(path: Path, settings: Mapping[str, Any], found: Run) -> None:
    """A line of settings, one for each report, one of what the run took; complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        for row in (settings, *found["reports"], found["took"]):
            file.write(json.dumps(row) + "\n")
    os.replace(temporary, path)


def read_run(path: Path, settings: Mapping[str, Any]) -> Run | None:
    """A run that is there. Raises SystemExit where it was run with other settings."""
    if not path.exists():
        return None
    first, *reports, took = map(json.loads, path.read_text().splitlines())
    for key, value in settings.items():
        if first[key] != value:
            raise SystemExit(
                f"{path} was run with {key} = {first[key]!r}, not {value!r}. Give the settings it "
                "was run with, or choose another --out."
            )
    return {"seed": first["seed"], "took": took, "reports": reports}


def _line(name: str, task: str, found: Run, target: float) -> str:
    losses = [report["loss"] for report in found["reports"] if report["loss"] is not None]
    took = found["took"]
    best = f"{min(losses):.4f}" if losses else "no report"
    start = "-" if took["start_up"] is None else f"{took['start_up']:.1f}"
    return (
        f"{task} seed {found['seed']} {name}: best {best} (target {target:.4f}), "
        f"start-up {start} s, stopped after {took['seconds']:.1f} s"
    )


def show(rows: Sequence[Mapping[str, Any]], at: float, limit: float, console: Console) -> None:
    for row in rows:
        task = row["task"]
        times = Table(title=f"{task}: seconds to a loss, median (quartiles) -misses", box=BOX)
        times.add_column("arm", no_wrap=True)
        for goal in row["targets"]:
            times.add_column(f"{goal['loss']:.4f}", justify="right", no_wrap=True)
        costs = Table(title=f"{task}: medians (test loss after {at:g} s, memory as PSS)", box=BOX)
        costs.add_column("arm", no_wrap=True)
        for column in ("start-up", "share", "test", "MiB", "CPU s", "cores", "epochs/s"):
            costs.add_column(column, justify="right", no_wrap=True)
        for arm, took in row["arms"].items():
            style = "bold" if arm == STRICT else None
            cells = [_time(goal["arms"][arm], limit) for goal in row["targets"]]
            times.add_row(arm, *cells, style=style)
            costs.add_row(
                arm,
                _number(took["start_up_seconds"], ".1f"),
                _number(row["targets"][-1]["arms"][arm]["start_up_share"], ".0%"),
                _number(took["test_loss"], ".4f"),
                _number(took["peak_pss_mib"], ".0f"),
                _number(took["cpu_seconds"], ".1f"),
                _number(took["cores"], ".2f"),
                _number(took["epochs_per_second"], ".1f"),
                style=style,
            )
        console.print(times)
        for goal in row["targets"]:
            console.print(f"  {goal['loss']:.4f}: {_verdict(goal)}")
        console.print(costs)


def _time(found: Mapping[str, Any], limit: float) -> str:
    def one(value: float | None) -> str:
        return f">{limit:.0f}" if value is None else f"{value:.1f}"

    if found["censored"] == found["seeds"]:
        return one(None)
    text = f"{one(found['median_seconds'])} ({one(found['q1'])}-{one(found['q3'])})"
    return text + (f" -{found['censored']}" if found["censored"] else "")


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)


def _verdict(goal: Mapping[str, Any]) -> str:
    if goal["speedup"] is None:
        return f"{STRICT} or its peers are missing, or its median is a miss"
    if goal["speedup_is_lower_bound"]:
        return f"{STRICT} at least {goal['speedup']:.1f} times as fast as every peer"
    return f"{STRICT} {goal['speedup']:.1f} times as fast as the best peer, {goal['best_peer']}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Seconds to a loss, beside other libraries.")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="as scripts/peers DIR made it")
    parser.add_argument(
        "--tasks", nargs="+", choices=list(EPOCHS_A_MINUTE), default=list(EPOCHS_A_MINUTE)
    )
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, metavar="M",
        help="how long one core would train in each search of the calibration",
    )  # fmt: skip
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="S", help="seconds")
    parser.add_argument(
        "--at", type=float, default=AT, metavar="S", help="when test losses are compared, seconds"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/peers"), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="by default in --out")
    options = parser.parse_args(argv)
    if options.seeds < 1 or not 0 < options.at <= options.limit or options.minutes <= 0:
        parser.error("needs at least one seed, minutes above 0, and --at between 0 and --limit")
    if sys.platform != "linux":
        parser.error("counts CPU time and memory as Linux does")
    if find_spec("psutil") is None:
        parser.error("needs psutil: pip install -c constraints.txt psutil")
    console = Console()
    arms = {}
    for name in (name for name in ARMS if name in options.arms):
        python = ARMS[name].python(options.peers)
        if python is None:
            console.print(f"{name}: not installed; scripts/peers DIR makes its environment")
        else:
            arms[name] = python
    targets = load_targets(options.tasks, options.minutes, options.out, console)
    runs, failed = race(
        targets, arms, range(options.seeds), at=options.at, limit=options.limit,
        out=options.out, console=console,
    )  # fmt: skip
    rows = summary(runs, targets, at=options.at, limit=options.limit)
    show(rows, options.at, options.limit, console)
    figure = options.figure or options.out / "peers.png"
    draw(rows, runs, options.limit, figure)
    console.print(f"Picture: {figure}")
    if options.json:
        content = {
            "tasks": rows,
            "seeds": list(range(options.seeds)),
            "limit_seconds": options.limit,
            "ours": list(OURS_OPTIONS),
            "cores": os.cpu_count(),
            "machine": f"{platform.system()} {platform.machine()}",
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    if failed:
        raise SystemExit(f"{failed} runs failed and are missing; the same command tries again.")


if __name__ == "__main__":
    main()
