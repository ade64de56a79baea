"""DyHPO as it is here against the authors' code: decisions as good, and what one costs.

    python benchmarks/dyhpo.py [--public PYTHON --code DIR] [--keep DIR] [--seeds N]

Recorded learning curves (`record_curves.py`) are the pool: every contender may train any of their
rows, an epoch is a look-up. Regret is how far the best loss seen so far lies above the best of the
whole table, as a share of the way there from the median loss after the first epoch. Decisions are
timed in CPU seconds, on one thread.

PYTHON runs the authors' code in DIR, both as `tests/oracles/record_dyhpo.py` says; without it
their row is left out. It always maximises and takes scores as they come, so it is given one minus
the share above, at least 0, which is also its score for a trial that diverged; the others are told
losses. A run of it takes minutes: --keep DIR keeps each, and does not repeat those it finds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _curves import RECORDED, RecordedCurves
from rich.console import Console
from rich.table import Table as RichTable

from ohgw.core.space import Float, Space
from ohgw.core.trial import Configuration
from ohgw.schedulers import make

CHILD = Path(__file__).parent / "_dyhpo_public.py"
PUBLIC = "DyHPO, authors' code"
OURS = {
    "DyHPO, their schedule": "dyhpo:refit_growth=0:fit_rows=1000000",
    "DyHPO": "dyhpo",
    "ASHA": "asha",
    "random": "random",
}
AT = (25, 50, 100, 200, 300)
FIRST = 40  # decisions that are timed apart: most fits from fresh weights fall into them


class Rows(Space):
    """The rows of a table as a space: every draw is one of them, none twice."""

    __slots__ = ("_left", "points")

    def __init__(self, points: np.ndarray) -> None:
        super().__init__({f"x{k}": Float(0.0, 1.0) for k in range(points.shape[1])})
        self.points = points
        self._left: list[int] = []

    def sample(self, rng: np.random.Generator) -> Configuration:
        if not self._left:
            self._left = rng.permutation(len(self.points)).tolist()
        return dict(zip(self.names, self.points[self._left.pop()].tolist(), strict=True))


class Table:
    """Points (N, d) of the unit cube and their losses (N, S), NaN from where one diverged."""

    def __init__(self, name: str) -> None:
        task = RecordedCurves(name)
        self.name, self.points, self.losses = name, task.points, task.losses
        self.best = float(np.nanmin(self.losses))
        self.start = float(np.nanmedian(self.losses[:, 0]))

    @property
    def scores(self) -> np.ndarray:
        """What the authors' code is told."""
        shares = (self.start - self.losses) / (self.start - self.best)
        return np.where(np.isfinite(shares), np.maximum(shares, 0.0), 0.0)

    def regret(self, picks: Sequence[Sequence[int]]) -> np.ndarray:
        """After each epoch of `picks` (row, epoch)."""
        rows, epochs = np.array(picks).T
        losses = np.where(np.isnan(self.losses), np.inf, self.losses)[rows, epochs - 1]
        losses = np.minimum(losses, self.start)
        return (np.minimum.accumulate(losses) - self.best) / (self.start - self.best)


@dataclass(frozen=True)
class Run:
    """The epochs trained, as (row, epoch), and CPU seconds of each decision."""

    picks: list[list[int]]
    seconds: list[float]


def run_ours(table: Table, spec: str, seed: int, epochs: int) -> Run:
    space = Rows(table.points)
    row_of = {tuple(point): row for row, point in enumerate(table.points.tolist())}
    if spec.startswith("dyhpo"):
        spec += f":candidates={len(table.points)}"
    scheduler = make(
        spec,
        space,
        np.random.default_rng(seed),
        mode="min",
        min_resource=1,
        max_resource=table.losses.shape[1],
    )
    picks: list[list[int]] = []
    seconds = []
    while len(picks) < epochs:
        begin = time.process_time()
        asked = scheduler.ask()
        decided = time.process_time()
        row = row_of[tuple(asked.configuration.values())]
        picks += [[row, epoch] for epoch in range(asked.start + 1, asked.resource + 1)]
        loss = float(table.losses[row, asked.resource - 1])
        told = time.process_time()
        scheduler.tell(asked.trial, asked.resource, loss if np.isfinite(loss) else np.inf)
        seconds.append(decided - begin + time.process_time() - told)
    return Run(picks[:epochs], seconds)


def run_public(
    table: Table, python: Path, code: Path, keep: Path | None, seed: int, epochs: int
) -> Run:
    with tempfile.TemporaryDirectory() as scratch:
        given = Path(scratch) / "table.npz"
        out = Path(scratch) / "run.json" if keep is None else keep / f"{table.name}-{seed}.json"
        if not out.exists() or len(json.loads(out.read_text())["picks"]) < epochs:
            np.savez(given, points=table.points, scores=table.scores)
            subprocess.run(
                [python, CHILD, code.resolve(), given, str(seed), str(epochs), out.resolve()],
                check=True,
                cwd=scratch,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        recorded = json.loads(out.read_text())
    return Run(recorded["picks"][:epochs], recorded["seconds"][:epochs])


@dataclass(frozen=True)
class Result:
    """One contender on one table, over all seeds. Milliseconds are CPU time per decision."""

    table: str
    contender: str
    seeds: int
    regret: dict[int, float]  # by epochs spent
    mean_regret: float  # over all epochs
    milliseconds_first: float
    milliseconds: float
    less_than_public: float | None = None  # of mean regret, paired by seed; above 0 is better
    less_than_public_error: float | None = None  # its standard error
    speedup_first: float | None = None
    speedup: float | None = None


def summarise(
    table: Table, contender: str, runs: Sequence[Run], public: Sequence[Run] | None
) -> Result:
    regret = np.stack([table.regret(run.picks) for run in runs])
    compared: dict[str, Any] = {}
    first, every = _milliseconds(runs)
    if public is not None and contender != PUBLIC:
        theirs = np.stack([table.regret(run.picks) for run in public])
        less = theirs.mean(axis=1) - regret.mean(axis=1)
        their_first, their_every = _milliseconds(public)
        compared = {
            "less_than_public": float(less.mean()),
            "less_than_public_error": float(less.std(ddof=1) / len(less) ** 0.5),
            "speedup_first": their_first / first,
            "speedup": their_every / every,
        }
    return Result(
        table=table.name,
        contender=contender,
        seeds=len(runs),
        regret={at: float(regret[:, at - 1].mean()) for at in AT if at <= regret.shape[1]},
        mean_regret=float(regret.mean()),
        milliseconds_first=first,
        milliseconds=every,
        **compared,
    )


def _milliseconds(runs: Sequence[Run]) -> tuple[float, float]:
    """Per decision: of the first ones, and of all."""
    return (
        1e3 * float(np.mean([np.mean(run.seconds[:FIRST]) for run in runs])),
        1e3 * float(np.mean([np.mean(run.seconds) for run in runs])),
    )


def show(results: Sequence[Result], console: Console) -> None:
    for name in dict.fromkeys(result.table for result in results):
        rows = [result for result in results if result.table == name]
        table = RichTable(title=f"{name}, {rows[0].seeds} seeds: mean regret after so many epochs")
        table.add_column("")
        for at in rows[0].regret:
            table.add_column(str(at), justify="right")
        for column in ("all", "less than theirs", f"ms, first {FIRST}", "ms", "faster"):
            table.add_column(column, justify="right")
        for row in rows:
            compared = row.less_than_public is not None
            table.add_row(
                row.contender,
                *(f"{value:.3f}" for value in row.regret.values()),
                f"{row.mean_regret:.3f}",
                f"{row.less_than_public:+.3f} ± {row.less_than_public_error:.3f}"
                if compared
                else "",
                f"{row.milliseconds_first:.3g}",
                f"{row.milliseconds:.3g}",
                f"{row.speedup_first:.0f}x, {row.speedup:.0f}x" if compared else "",
            )
        console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="DyHPO here against the authors' code.")
    parser.add_argument("--public", type=Path, metavar="PYTHON", help="runs the authors' code")
    parser.add_argument("--code", type=Path, metavar="DIR", help="the authors' code")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="for runs of the authors' code")
    parser.add_argument("--tables", nargs="+", choices=RECORDED, default=list(RECORDED))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=AT[-1])
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(argv)
    if (options.public is None) != (options.code is None):
        parser.error("--public and --code go together")
    if options.seeds < 2 or options.epochs < AT[0]:
        parser.error(f"at least 2 seeds and {AT[0]} epochs")
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    results = []
    with Console(stderr=True).status("") as status:
        for name in options.tables:
            table = Table(name)
            runs: dict[str, list[Run]] = {}
            for seed in range(options.seeds):
                status.update(f"{name}, seed {seed}")
                if options.public is not None:
                    runs.setdefault(PUBLIC, []).append(
                        run_public(
                            table, options.public, options.code, options.keep, seed, options.epochs
                        )
                    )
                for contender, spec in OURS.items():
                    runs.setdefault(contender, []).append(
                        run_ours(table, spec, seed, options.epochs)
                    )
            for contender, group in runs.items():
                results.append(summarise(table, contender, group, runs.get(PUBLIC)))
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return
    show(results, Console())
    if options.public is None:
        print("The authors' code was not run: give --public PYTHON --code DIR.", file=sys.stderr)


if __name__ == "__main__":
    main()
