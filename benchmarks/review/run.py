"""How much of what should be flagged the review flags, and how much of what should not.

Every operator changes every good pair at several places. A mutant is flagged where the review has
an error that the unchanged pair has not; a benign edit raises an alarm where it does.

    .venv/bin/python benchmarks/review/run.py [--sites N] [--smoke] [--only OPERATOR ...]
"""

import argparse
import contextlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

from benign import BENIGN
from config_mutations import CONFIG_MUTATIONS
from metric_mutations import METRIC_MUTATIONS
from mutations import MUTATIONS
from operators import Operator, combined, recipes
from pairs import RUNNABLE, Change, Pair, load_pairs
from rich.console import Console
from rich.table import Table

from ohgw.review import Finding, review
from ohgw.review.smoke import Observation, smoke
from ohgw.review.smoke.sandbox import Limits

SMOKE_LIMITS = Limits(seconds=60.0)


@dataclass
class Outcome:
    """What the review said of one change."""

    operator: str
    kind: str
    pair: str
    change: Change
    new: list[Finding]  # errors that the unchanged pair has not
    missing: list[str]
    seconds: float
    smoke: bool

    @property
    def flagged(self) -> bool:
        return bool(self.new)

    @property
    def wrong(self) -> bool:
        return self.flagged == (self.kind == "benign")


@dataclass
class Judge:
    """Reviews pairs, changed and not; what the unchanged pair says is asked once."""

    with_smoke: bool = False
    said: dict[tuple[str, bool], list[Finding]] = field(default_factory=dict)

    def errors(self, pair: Pair, change: Change | None, run: bool) -> tuple[list[Finding], list]:
        context = pair.context(change)
        seen: Observation | None = None
        if run:
            seen = smoke(context, python=sys.executable, limits=SMOKE_LIMITS)
        result = review(context, observation=seen)
        return [f for f in result.findings if f.severity == "error"], result.missing

    def unchanged(self, pair: Pair, run: bool) -> list[Finding]:
        if (pair.name, run) not in self.said:
            found, missing = self.errors(pair, None, run)
            if missing:
                print(f"{pair.name}, unchanged: {missing}", file=sys.stderr)
            self.said[pair.name, run] = found
        return self.said[pair.name, run]

    def outcome(self, operator: Operator, pair: Pair, change: Change) -> Outcome:
        run = self.with_smoke and operator.kind != "static" and pair.name in RUNNABLE
        known = Counter(map(_sameness, self.unchanged(pair, run)))
        began = time.perf_counter()
        found, missing = self.errors(pair, change, run)
        seconds = time.perf_counter() - began
        new = []
        for finding in found:
            known[_sameness(finding)] -= 1
            if known[_sameness(finding)] < 0:
                new.append(finding)
        return Outcome(operator.name, operator.kind, pair.name, change, new, missing, seconds, run)


def _sameness(finding: Finding) -> tuple[str, str, str]:
    """A change moves lines: they do not count."""
    return finding.id, str(finding.file), finding.message


def all_operators() -> list[Operator]:
    """Static, then dynamic, then benign ones."""
    static = combined(MUTATIONS, CONFIG_MUTATIONS, recipes("static"))
    benign = combined(BENIGN, recipes("benign"))
    dynamic = combined(METRIC_MUTATIONS, recipes("dynamic"))
    return [*static.values(), *dynamic.values(), *benign.values()]


def outcomes(judge: Judge, pairs: list[Pair], operators: list[Operator], sites: int):
    """Of every change, in order; what needs running only of pairs that can be run."""
    for operator in operators:
        for pair in pairs:
            if operator.kind == "dynamic" and not (judge.with_smoke and pair.name in RUNNABLE):
                continue
            for change in operator.changes(pair, sites):
                yield judge.outcome(operator, pair, change)


def totals(found: list[Outcome]) -> list[dict]:
    """One row an operator, and one a kind."""
    rows = []
    for name in dict.fromkeys((o.kind, o.operator) for o in found):
        rows.append(_row(*name, [o for o in found if (o.kind, o.operator) == name]))
    for kind in dict.fromkeys(o.kind for o in found):
        rows.append(_row(kind, "all", [o for o in found if o.kind == kind]))
    return rows


def _row(kind: str, name: str, found: list[Outcome]) -> dict:
    flagged = sum(o.flagged for o in found)
    ids = Counter(f.id for o in found for f in o.new)
    return {
        "kind": kind,
        "operator": name,
        "applied": len(found),
        "flagged": flagged,
        "share": flagged / len(found),
        "by": dict(ids.most_common(4)) if name != "all" else {},
    }


def show(found: list[Outcome], console: Console) -> None:
    table = Table(title="Mutations and benign edits")
    for column in ("kind", "operator", "applied", "flagged", "share", "by"):
        table.add_column(
            column, justify="right" if column in ("applied", "flagged", "share") else "left"
        )
    for row in totals(found):
        by = ", ".join(f"{name} {count}" for name, count in row["by"].items())
        share = f"{100 * row['share']:.0f}%"
        style = "bold" if row["operator"] == "all" else None
        cells = (row["kind"], row["operator"], str(row["applied"]), str(row["flagged"]), share, by)
        table.add_row(*cells, style=style)
    console.print(table)
    slowest = max(found, key=lambda o: o.seconds * (not o.smoke))
    console.print(
        f"slowest static review: {slowest.seconds:.1f} s ({slowest.pair})", highlight=False
    )


def described(outcome: Outcome, pair: Pair) -> str:
    """A miss or a false alarm, with what was changed."""
    word = "FALSE ALARM" if outcome.kind == "benign" else "MISS"
    head = f"{word} {outcome.operator} ({outcome.kind}) | {pair.name} | {outcome.change.what}"
    lines = ["", head, *(f"  {_line(finding)}" for finding in outcome.new)]
    lines += [f"  could not tell: {text}" for text in outcome.missing]
    return "\n".join([*lines, *(f"  {line}" for line in _diff(pair, outcome.change))])


def _line(finding: Finding) -> str:
    places = ", ".join(f"{file}:{line}" for file, line in finding.places)
    return f"[{finding.id}] {places}: {finding.message}"


def _diff(pair: Pair, change: Change, limit: int = 24) -> list[str]:
    before = pair.base if change.side == "base" else pair.derived
    lines: list[str] = []
    for path, text in change.files.items():
        old = before.get(path, "").splitlines()
        lines += unified_diff(old, (text or "").splitlines(), path, path, lineterm="", n=1)
    return lines[:limit] + ([f"... {len(lines) - limit} more lines"] if len(lines) > limit else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=3, help="places of an operator in a pair")
    parser.add_argument("--smoke", action="store_true", help="also run what needs running")
    parser.add_argument("--only", nargs="+", metavar="OPERATOR")
    parser.add_argument("--pair", nargs="+", metavar="PAIR")
    parser.add_argument("--kind", nargs="+", choices=("static", "dynamic", "benign"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--report", type=Path, help="misses and false alarms go there, not to standard error"
    )
    arguments = parser.parse_args()
    pairs = load_pairs()
    chosen = [pairs[name] for name in arguments.pair or pairs]
    operators = [
        operator
        for operator in all_operators()
        if (not arguments.only or operator.name in arguments.only)
        and (not arguments.kind or operator.kind in arguments.kind)
    ]
    judge, found = Judge(arguments.smoke), []
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(arguments.report.open("w")) if arguments.report else sys.stderr
        for pair in chosen:
            for finding in judge.unchanged(pair, False):
                print(f"GOOD {pair.name}: {_line(finding)}", file=out)
        for outcome in outcomes(judge, chosen, operators, arguments.sites):
            found.append(outcome)
            if outcome.wrong:
                print(described(outcome, pairs[outcome.pair]), file=out, flush=True)
    if not found:
        raise SystemExit("nothing to do: no such operator, or it applies to none of the pairs")
    if arguments.json:
        print(json.dumps(totals(found), indent=1))
    else:
        show(found, Console(width=None if sys.stdout.isatty() else 120))


if __name__ == "__main__":
    main()
