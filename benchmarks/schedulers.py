"""What a decision costs: milliseconds per ask and tell, ours beside other libraries.

    python benchmarks/schedulers.py [--peers DIR] [--at N ...] [--schedulers NAME ...] [--json]

Nothing is trained: a score is a formula that takes microseconds (`peers/_serve.py`). Everyone
searches the same space with the same rungs, one worker, and is driven through its own public
interface. A decision is one report and what follows from it: tell a score, and know what to train
next. It is timed when N trials have been started before; a contender that has not come so far
within the limit is timed where it was by then.

Each contender is a process of its own, in the environment that its library needs: those of ours
run in this one, those of others in DIR/optuna and so on, which `scripts/peers DIR` makes. All are
kept alive and measured in turns, so that what else the machine does hits all of them; a number is
the median over rounds. Seconds are CPU seconds.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from ohgw.schedulers import SCHEDULERS

DRIVERS = Path(__file__).parent / "peers"
OURS = "ohgw"
PEERS = {  # environment, and part of its driver's name -> schedulers
    "optuna": ("random", "TPE", "TPE + Hyperband"),
    "syne-tune": ("ASHA", "BOHB"),
    "neps": ("Hyperband", "async Hyperband", "PriorBand"),
    "smac": ("multi-fidelity",),
}
AT = (100, 1_000, 10_000)
ROUNDS = 5
LIMIT = 60.0  # seconds to come to the next N, and again for the rounds there

# The project's own, at the most trials of a run: milliseconds, and growth no faster than log N.
TARGET = 0.1
TARGETS = ("asha", "asha-stopping", "hyperband", "hyperband-async", "pasha")


@dataclass(frozen=True)
class Result:
    """One contender at one N; milliseconds are CPU time per decision. None: not installed."""

    library: str
    version: str | None
    scheduler: str
    at: int  # N that was asked for
    trials: int | None = None  # started before the first round; fewer than `at` at the limit
    milliseconds: float | None = None
    milliseconds_low: float | None = None
    milliseconds_high: float | None = None
    wall_milliseconds: float | None = None
    decisions_per_trial: float | None = None


class Contender:
    """A scheduler in its process. Leaving the context ends it."""

    def __init__(self, python: str | Path, library: str, scheduler: str) -> None:
        self.library, self.scheduler = library, scheduler
        driver = DRIVERS / f"drive_{library.replace('-', '_')}.py"
        self._process = subprocess.Popen(
            [python, driver, scheduler],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        self.version = str(self._answer()["version"])

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, trials: int, seconds: float) -> Mapping[str, Any]:
        """Decide until so many trials have been started in all, or the seconds are over."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"trials": trials, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The driver of {self.library} {self.scheduler} ended; see above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(contenders: Sequence[Contender], at: int, limit: float) -> list[Result]:
    """Bring each contender to `at` trials, then time all of them in turns."""
    reached = [contender.run(at, limit)["trials"] for contender in contenders]
    rounds: list[list[Mapping[str, Any]]] = [[] for _ in contenders]
    step = max(20, at // 50)  # long enough for a model's dear decisions to mix with cheap ones
    for number in range(ROUNDS):
        order = range(len(contenders))
        for k in reversed(order) if number % 2 else order:
            last = rounds[k][-1]["trials"] if rounds[k] else reached[k]
            rounds[k].append(contenders[k].run(last + step, limit / ROUNDS))
    return [
        _result(contender, at, trials, answers)
        for contender, trials, answers in zip(contenders, reached, rounds, strict=True)
    ]


def _result(
    contender: Contender, at: int, trials: int, rounds: Sequence[Mapping[str, Any]]
) -> Result:
    each = [1e3 * answer["cpu"] / answer["decisions"] for answer in rounds]
    decisions = sum(answer["decisions"] for answer in rounds)
    return Result(
        library=contender.library,
        version=contender.version,
        scheduler=contender.scheduler,
        at=at,
        trials=trials,
        milliseconds=median(each),
        milliseconds_low=min(each),
        milliseconds_high=max(each),
        wall_milliseconds=median(1e3 * answer["wall"] / answer["decisions"] for answer in rounds),
        decisions_per_trial=decisions / max(rounds[-1]["trials"] - trials, 1),
    )


def growth(results: Sequence[Result]) -> float | None:
    """Milliseconds with the most trials by those with the fewest, where both were reached."""
    full = [
        result for result in results if result.trials is not None and result.trials >= result.at
    ]
    if len(full) < 2 or len(full) < len(results):
        return None
    return (full[-1].milliseconds or 0.0) / (full[0].milliseconds or math.nan)


def by_contender(results: Sequence[Result]) -> dict[tuple[str, str], list[Result]]:
    rows: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        rows.setdefault((result.library, result.scheduler), []).append(result)
    return rows


def show(results: Sequence[Result], at: Sequence[int], console: Console) -> None:
    table = Table(title="Milliseconds of CPU time per decision, with N trials started before")
    table.add_column("library", no_wrap=True)
    table.add_column("scheduler", no_wrap=True)
    for n in at:
        table.add_column(f"{n:,}", justify="right", no_wrap=True)
    table.add_column("growth", justify="right", no_wrap=True)
    library = None
    for (name, scheduler), row in by_contender(results).items():
        if library not in (None, name):
            table.add_section()
        label, library = name if name != library else "", name
        if row[0].version is None:
            table.add_row(label, scheduler, *["not installed"] * len(at), "")
            continue
        cells = [_cell(result) for result in row] + [""] * (len(at) - len(row))
        grown = growth(row) if len(row) == len(at) else None
        table.add_row(label, scheduler, *cells, "" if grown is None else f"{grown:.1f}x")
    versions = {row.library: row.version for row in results if row.version is not None}
    table.caption = ", ".join(f"{name} {version}" for name, version in versions.items())
    console.print(table)
    for line in verdicts(results, at):
        console.print(line)


def _cell(result: Result) -> str:
    assert result.milliseconds is not None and result.trials is not None
    text = (
        f"{result.milliseconds:.3g}" if result.milliseconds < 100 else f"{result.milliseconds:.0f}"
    )
    return text if result.trials >= result.at else f"{text} at {result.trials:,}"


def verdicts(results: Sequence[Result], at: Sequence[int]) -> list[str]:
    """What became of the targets; empty where a run had one N only."""
    if len(at) < 2:
        return []
    allowed = math.log(at[-1]) / math.log(at[0])
    lines = [
        f"Targets at N = {at[-1]:,}: at most {TARGET} ms, and growth of at most {allowed:.1f}x, "
        f"that of log N from N = {at[0]:,}."
    ]
    for (library, scheduler), row in by_contender(results).items():
        if library != OURS or scheduler not in TARGETS:
            continue
        last, grown = row[-1].milliseconds, growth(row)
        if last is None or grown is None:
            lines.append(f"  {scheduler}: not reached within the limit")
            continue
        met = "met" if last <= TARGET and grown <= allowed else "missed"
        lines.append(f"  {scheduler}: {last:.3g} ms, {grown:.1f}x: {met}")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What a scheduler's decision costs.")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="where scripts/peers made them")
    parser.add_argument("--at", type=int, nargs="+", default=AT, metavar="N")
    parser.add_argument("--schedulers", nargs="+", default=list(SCHEDULERS), metavar="NAME")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(argv)
    if min(options.at) < 1 or sorted(set(options.at)) != list(options.at):
        parser.error("--at must be rising numbers of at least 1")
    if options.limit <= 0:
        parser.error("--limit must be above 0")
    for name in options.schedulers:
        if name not in SCHEDULERS:
            parser.error(f"{name!r} is none of {', '.join(SCHEDULERS)}")
    wanted: list[tuple[str | Path, str, str]] = [
        (sys.executable, OURS, name) for name in options.schedulers
    ]
    missing = []
    for library, names in PEERS.items():
        python = options.peers / library / "bin" / "python" if options.peers else None
        if python is not None and python.exists():
            wanted += [(python, library, name) for name in names]
        else:
            missing += [Result(library, None, name, options.at[-1]) for name in names]
    results: list[Result] = []
    with ExitStack() as stack, Console(stderr=True).status("") as status:
        contenders = []
        for python, library, name in wanted:
            status.update(f"starting {library} {name}")
            contenders.append(stack.enter_context(Contender(python, library, name)))
        for at in options.at:
            status.update(f"{len(contenders)} schedulers with {at:,} trials")
            found = measure(contenders, at, options.limit)
            results += found
            contenders = [
                contender
                for contender, result in zip(contenders, found, strict=True)
                if result.trials is not None and result.trials >= at
            ]
    results += missing
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        show(results, options.at, Console())


if __name__ == "__main__":
    main()
