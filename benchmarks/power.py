"""What the study's test can see: false positives without an effect, power with one of 20 %.

    python benchmarks/power.py [--studies N] [--seed N]

Every study is made up as rows of a record (calibration searches, then two arms on paired seeds)
and goes through the analysis of `ohgw report`: targets from the calibration seeds, T@tau with
misses as infinity, log ratios, signed-rank test. The arms differ by the effect alone: all work of
the second is 20 % less. `sd` is the standard deviation of a pair's log ratio, which was 0.3 to
0.8 on the tasks that come with the package.

Of the outcomes that are printed, *raw* is p < .05 before any adjustment, *of 20* is p < .05 after
Bonferroni in a family of 20 tests, *criterion* is the verdict's: median reduction of 15 % or more
with p < .05 after Bonferroni in that family.

A second table says how often the criteria on scores and on deviations fail by noise alone.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from ohgw.analysis.frames import Rows
from ohgw.analysis.statistics import log_ratios, quantile, ratios, signed_rank
from ohgw.analysis.summary import Searches
from ohgw.analysis.verdict import ALPHA, DEVIATION, LESS_TIME, SCORE_DROP
from ohgw.core.records import Arm, Final, Header, Plan, Report

REFERENCE, ARM = Arm(method="vanilla", recipe="plain"), Arm(method="screen", recipe="plain")
BUDGET = 256.0  # epochs
CALIBRATION = 12
FAMILY = 20
RUNGS, LEVELS = 2.0 ** np.arange(0, 10), 2.0 ** np.arange(-5, 8)
SCORE_NOISE = (0.002, 0.02, 0.1)  # standard deviation of a pair's relative gain
PAIRS = (10, 20, 30, 50)


@dataclass(slots=True)
class _Row:
    """What the analysis of times reads of a `Report` or a `Final`: a quarter of their cost."""

    search: str
    seed: int
    score: float | None = None
    work: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """How searches differ: between seeds, within a pair, and where they may report."""

    name: str
    seeds_sd: float  # of the log of a seed's difficulty, which its two arms share
    pair_sd: float  # of the log ratio of two arms' times
    rungs: bool  # reports at powers of two only, so that times tie
    target: str


SCENARIOS = (
    Scenario("sd 0.3", 0.5, 0.3, False, "reach_90"),
    Scenario("sd 0.5", 0.5, 0.5, False, "reach_90"),
    Scenario("sd 0.8", 0.5, 0.8, False, "reach_90"),
    Scenario("sd 0.5, at rungs", 0.5, 0.5, True, "reach_90"),
    Scenario("sd 0.5, at rungs, hard target", 1.4, 0.5, True, "budget_50"),
)


def made_up(scenario: Scenario, pairs: int, effect: float, rng: np.random.Generator) -> Rows:
    """One study: rows as a run would have recorded them."""
    plan = Plan(
        task="made-up",
        scheduler="asha",
        arms=(REFERENCE, ARM),
        seeds=tuple(range(pairs)),
        calibration_seeds=tuple(range(1000, 1000 + CALIBRATION)),
        budget=BUDGET,
        workers=1,
        engine="population",
        device="cpu",
        threads=1,
    )
    header = Header(plan=plan, steps_per_epoch=1.0, metric="loss", mode="min")
    reports: list[_Row] = []
    finals: list[_Row] = []
    for seed in (*plan.calibration_seeds, *plan.seeds):
        difficulty = rng.normal(2.0, scenario.seeds_sd)
        for arm in (REFERENCE,) if seed >= 1000 else (REFERENCE, ARM):
            scale = math.exp(rng.normal(difficulty, scenario.pair_sd / math.sqrt(2)))
            factor = 1.0 - effect if arm is ARM else 1.0
            reports += _reports(arm.label, seed, scale, factor, scenario.rungs)
            finals.append(_Row(arm.label, seed))
    return header, cast(list[Report], reports), cast(list[Final], finals)


def _reports(arm: str, seed: int, scale: float, factor: float, rungs: bool) -> Iterator[_Row]:
    """The incumbent's loss falls as a power of work over `scale`; `factor` shortens all work."""
    at = RUNGS if rungs else scale * LEVELS
    at = at[at * factor <= BUDGET]
    for work, score in zip((at * factor).tolist(), ((at / scale) ** -0.8).tolist(), strict=True):
        yield _Row(arm, seed, score, work)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the analysis says about one study."""

    p: float
    change: float
    ties: float  # share of the pairs
    misses: float  # share of the searches


def analysed(rows: Rows, target: str) -> Outcome:
    """T@tau of both arms at the target, and the test of the pairs."""
    searches = Searches.of(rows)
    tau = searches.targets[target]
    seeds = searches.seeds(ARM.label, REFERENCE.label)
    arm, base = (searches.times(a.label, seeds, tau) for a in (ARM, REFERENCE))
    found = log_ratios(arm, base)
    return Outcome(
        signed_rank(found).p,
        float(quantile(ratios(arm, base) - 1, 0.5)),
        float(np.mean(found == 0)),
        float(np.mean(np.isinf([arm, base]))),
    )


def studies(scenario: Scenario, pairs: int, effect: float, count: int, seed: int) -> list[Outcome]:
    """`count` independent studies."""
    rng = np.random.default_rng([seed, pairs, int(1000 * effect)])
    return [analysed(made_up(scenario, pairs, effect, rng), scenario.target) for _ in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000, help="of each kind")
    parser.add_argument("--effect", type=float, default=0.2, help="share of the work saved")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    table = Table(box=box.MARKDOWN)
    table.add_column("searches")
    headings = "pairs, ties, misses, false positives, power: raw, of 20, criterion"
    for heading in headings.split(", "):
        table.add_column(heading, justify="right")
    for scenario in SCENARIOS:
        for pairs in PAIRS:
            null = studies(scenario, pairs, 0.0, given.studies, given.seed)
            real = studies(scenario, pairs, given.effect, given.studies, given.seed)
            adjusted = [o.p * FAMILY < ALPHA for o in real]
            shares = (
                np.mean([o.ties for o in null]),
                np.mean([o.misses for o in null]),
                np.mean([o.p < ALPHA for o in null]),
                np.mean([o.p < ALPHA for o in real]),
                np.mean(adjusted),
                np.mean(
                    [a and o.change <= -LESS_TIME for a, o in zip(adjusted, real, strict=True)]
                ),
            )
            cells = [f"{100 * share:.1f} %" for share in shares]
            table.add_row(scenario.name, str(pairs), *cells)
    Console(width=140).print(table)
    Console(width=140).print(_by_noise(given.seed))


def _by_noise(seed: int) -> Table:
    """How often criteria fail where the arm and the reference differ by nothing but noise."""
    rng = np.random.default_rng(seed)
    table = Table(box=box.MARKDOWN)
    headings = [f"score drops, noise {100 * noise:g} %" for noise in SCORE_NOISE]
    for heading in ("pairs", *headings, "deviation inflated"):
        table.add_column(heading, justify="right")
    for pairs in PAIRS:
        drops = [
            np.median(noise * rng.normal(size=(20000, pairs)), axis=1) < -SCORE_DROP
            for noise in SCORE_NOISE
        ]
        logs = rng.normal(0, 0.5, (20000, pairs, 1)) + rng.normal(0, 0.35, (20000, pairs, 2))
        arm, base = np.exp(logs).std(axis=1, ddof=1).T
        found = [*drops, arm / base > DEVIATION]
        table.add_row(str(pairs), *(f"{100 * np.mean(fails):.0f} %" for fails in found))
    return table


if __name__ == "__main__":
    main()
