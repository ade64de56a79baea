"""From what a smoke run did to findings and rungs of the ladder."""

import ast
import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ohgw.review.checks import Context
from ohgw.review.code.nodes import configurations
from ohgw.review.findings import Finding, Rung
from ohgw.review.project import Project
from ohgw.review.smoke import metric_relations, probe
from ohgw.review.smoke.command import environment, lacking, smoke_command
from ohgw.review.smoke.fate import fate
from ohgw.review.smoke.kinds import (
    ALIKE,
    FINITE,
    FLOOD,
    OUTSIDE,
    REPEAT,
    RESULTS,
    VARIATION,
    Observation,
)
from ohgw.review.smoke.results import Results, differences, read_results
from ohgw.review.smoke.sandbox import CODE, OBSERVED, Limits, Outcome, run
from ohgw.review.smoke.standins import StandIns

_NOTHING = StandIns()
FLOOD_BYTES = 64 * 1024  # what a pipe holds: more, unread, stops the process that writes


@dataclass
class _Process:
    """What the probe saw in one Python process."""

    argv: list[str]
    lines: dict[str, list[int]]
    events: list[list[str]]


def smoke(
    context: Context, *, python: str, limits: Limits, offered: StandIns = _NOTHING
) -> Observation:
    """Run the smoke test twice and compare; never raises for what the code does.

    `offered` stands in for what the sandbox cannot reach, and is named wherever it was there.
    """
    seen = Observation(tool={"stand-ins": offered.named} if offered.named else {})
    command = smoke_command(context.derived, context.spec, python)
    if command is None:
        return _not_run(seen, "no smoke command: no src/main.py and no smoke_command in the spec")
    try:
        absent, version = lacking(context.derived, python)
    except (OSError, subprocess.SubprocessError) as error:
        return _not_run(seen, f"{python} is not a Python that can be asked: {error}")
    if absent:
        names = ", ".join(absent)
        return _not_run(seen, f"{python} lacks declared dependencies: {names}; --install adds them")
    with tempfile.TemporaryDirectory(prefix="ohgw-review-") as scratch:
        tree, watch = Path(scratch, "tree"), Path(scratch, "probe")
        _write(context.derived, tree)
        watch.mkdir()
        shutil.copy(probe.__file__, watch / "sitecustomize.py")
        Path(scratch).chmod(0o755)
        watched = [("OHGW_CODE", CODE), ("OHGW_OBSERVED", OBSERVED)]
        settings = environment([*watched, *offered.environment.items()])

        def sandboxed(command: Sequence[str], limits: Limits) -> Outcome:
            return run(
                command,
                tree,
                watch,
                python=python,
                limits=limits,
                environment=settings,
                shown=offered.binds,
            )

        outcomes = []
        for _ in range(2):
            outcome = sandboxed(command, limits)
            outcomes.append(outcome)
            if outcome.exit_code != 0:
                break  # nothing to compare
        asked = metric_relations.plan(context.derived, watch, python, limits)
        if asked and outcomes[0].exit_code is not None and not outcomes[0].stopped:
            _measured(context, seen, asked, sandboxed(asked.command, asked.limits))
    first = outcomes[0]
    seen.tool |= {"isolation": first.isolation, "smoke python": version}
    if first.exit_code is None:
        return _not_run(seen, f"the sandbox could not be made ({first.failure})")
    _conclude(context, limits, seen, outcomes)
    for name in ("smoke runs", "variations differ"):
        if name in seen.rungs:
            rung = seen.rungs[name]
            seen.rungs[name] = Rung(status=rung.status, reason=rung.reason + offered.suffix)
    return seen


def _not_run(seen: Observation, why: str) -> Observation:
    seen.missing.append(why)
    for name in ("smoke runs", "variations differ"):
        seen.rungs[name] = Rung(status="not checked", reason=why)
    return seen


def _write(project: Project, folder: Path) -> None:
    """A copy of the tree as it was read: what was left out for its size is left out here."""
    folder.mkdir()
    for path, file in project.tree.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.data is not None:
            place.write_bytes(file.data)
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)


def _conclude(context: Context, limits: Limits, seen: Observation, outcomes: list[Outcome]) -> None:
    first = outcomes[0]
    processes = _processes(first)
    seen.findings += fate(context, limits, first, seen.missing)
    seen.findings += _attempts(processes)
    if first.stderr.total > FLOOD_BYTES:
        seen.findings.append(
            FLOOD.finding(
                "note",
                None,
                None,
                f"The smoke test wrote {first.stderr.total:,} bytes to standard error; a parent "
                "that does not read while it waits stops at 65,536.",
                fix="Read both pipes at once, or send one into the other.",
            )
        )
    results = read_results(first.files)
    if first.exit_code == 0:
        seen.findings += _written(context, results)
        seen.findings += _variations(context, results, processes)
        if len(outcomes) > 1 and outcomes[1].exit_code is not None:
            seen.findings += _repeat(context, outcomes[1], results)
    covered = {(f, n) for p in processes for f, found in p.lines.items() for n in found}
    if first.exit_code == 0:
        seen.rungs["smoke runs"] = Rung(
            status="passed",
            reason=f"exit 0 in {first.seconds:.1f} s, {len(covered)} lines executed "
            f"({first.isolation})",
        )
        seen.rungs["variations differ"] = Rung(
            status="passed", reason=f"{len(results)} result files compared"
        )
    elif seen.missing:
        for name in ("smoke runs", "variations differ"):
            seen.rungs[name] = Rung(status="not checked", reason=seen.missing[-1])


def _measured(
    context: Context, seen: Observation, asked: metric_relations.Plan, answered: Outcome
) -> None:
    """What the tree's own metrics said of predictions whose quality is known."""
    found, count = metric_relations.judged(context.derived, asked, answered)
    seen.findings += found
    if count:
        seen.rungs["metrics valid"] = Rung(
            status="passed",
            reason=f"nothing found; {count} of the tree's metrics called with known predictions",
        )


def _processes(outcome: Outcome) -> list[_Process]:
    found = []
    for name, data in sorted(outcome.files.items()):
        if name.startswith("observed/"):
            try:
                found.append(_Process(**json.loads(data)))
            except (ValueError, TypeError):  # the reviewed code can write there too
                continue
    return found


def _attempts(processes: list[_Process]) -> Iterator[Finding]:
    """What the code tried to reach. Nothing of it was there."""
    for kind, severity, what in (
        ("secret", "error", "read credentials"),
        ("network", "warning", "reach the network"),
    ):
        found = sorted({e[1] for p in processes for e in p.events if e[0] == kind})
        if found:
            yield OUTSIDE.finding(
                "error" if severity == "error" else "warning",
                None,
                None,
                f"The smoke test tried to {what}: {', '.join(found[:5])}.",
                fix="A smoke test needs nothing but its own tree and environment.",
            )


def _written(context: Context, results: list[Results]) -> Iterator[Finding]:
    if not results:
        yield RESULTS.finding(
            "error",
            None,
            None,
            "The smoke test exited with 0 and wrote no JSON results into its results directory.",
            fix="Write results for every run where --results-dir points.",
        )
    for result in results:
        if result.problem:
            yield RESULTS.finding(
                "error",
                None,
                None,
                f"Results file {result.path} is {result.problem}.",
                fix="Write complete JSON.",
            )
        if result.non_finite:
            yield FINITE.finding(
                "error",
                None,
                None,
                f"Results file {result.path} holds numbers that are not finite: "
                f"{', '.join(result.non_finite[:5])}.",
                fix="Find out why, and exit with an error where a metric is not finite.",
            )


def _variations(
    context: Context, results: list[Results], processes: list[_Process]
) -> Iterator[Finding]:
    """Every variation wrote results, and no two wrote the same."""
    variations = context.spec.run_variations
    numbers, apart = _by_variation(variations, results)
    for variation in variations if numbers else ():
        if variation not in numbers:
            yield VARIATION.finding(
                "error" if apart else "warning",
                None,
                None,
                f"The smoke test wrote no results for variation {variation!r}.",
                fix="Run every variation in the smoke test.",
            )
    names = list(numbers)
    for k, first in enumerate(names):
        for second in names[k + 1 :]:
            if _alike(numbers[first], numbers[second]):
                same = _same_lines(first, second, processes)
                yield ALIKE.finding(
                    "error",
                    None,
                    None,
                    f"Variations {first!r} and {second!r} wrote the same "
                    f"{len(numbers[first])} numbers"
                    f"{' and executed the same lines' if same else ''}.",
                    evidence=", ".join(f"{k}={v:g}" for k, v in list(numbers[first].items())[:5]),
                    fix="Find out why what distinguishes them has no effect.",
                )


def _by_variation(
    variations: tuple[str, ...], results: list[Results]
) -> tuple[dict[str, dict[str, float]], bool]:
    """From folders and files of their own (True), else from rows of common tables (False), where
    one may have another name; empty where neither names any of them.
    """
    found: dict[str, dict[str, float]] = {}
    for variation in variations:
        own = _longest_match(variation, variations, results)
        if own:
            found[variation] = {
                f"{Path(result.path).name}:{key}": value
                for result in own
                for key, value in result.comparable.items()
            }
    apart = bool(found)
    if not apart:
        for result in results:
            for variation, numbers in result.owned(variations).items():
                own_numbers = found.setdefault(variation, {})
                own_numbers |= {f"{result.path}:{key}": v for key, v in numbers.items()}
    return found, apart


def _longest_match(
    variation: str, variations: tuple[str, ...], results: list[Results]
) -> list[Results]:
    """Results of a variation, not of another whose name merely begins with it."""
    longer = [v for v in variations if v != variation and v.startswith(variation)]
    return [
        result
        for result in results
        if result.belongs_to(variation) and not any(result.belongs_to(v) for v in longer)
    ]


def _alike(first: dict[str, float], second: dict[str, float]) -> bool:
    """Equal but for rounding, in at least one number that is not whole."""
    if not any(math.isfinite(value) and value != round(value) for value in first.values()):
        return False
    return first.keys() == second.keys() and all(
        math.isclose(value, second[key], rel_tol=1e-9, abs_tol=1e-12)
        for key, value in first.items()
        if value == value or second[key] == second[key]
    )


def _same_lines(first: str, second: str, processes: list[_Process]) -> bool:
    """True where each variation had processes of its own and they executed the same lines."""
    traces = []
    for name in (first, second):
        own = [p for p in processes if any(name in word for word in p.argv)]
        if not own:
            return False
        traces.append({(f, n) for p in own for f, found in p.lines.items() for n in found})
    return traces[0] == traces[1]


def _repeat(context: Context, second: Outcome, results: list[Results]) -> Iterator[Finding]:
    """Two runs of one seed wrote the same numbers."""
    again = {result.path: result.comparable for result in read_results(second.files)}
    for result in results:
        other = again.get(result.path)
        if other is None:
            continue
        changed = differences(result.comparable, other)
        if changed:
            key = changed[0]
            seeded = _takes_seed(context.derived)
            yield REPEAT.finding(
                "error" if seeded else "warning",
                None,
                None,
                f"Two runs with one seed wrote different numbers: {key} of {result.path} was "
                f"{result.comparable.get(key)} and {other.get(key)}.",
                evidence=", ".join(changed[:8]),
                fix="Seed every source of randomness from the configured seed.",
            )
            return


def _takes_seed(project: Project) -> bool:
    """Whether a configuration, or a parameter of the code, is called a seed."""
    return any(
        isinstance(node.key, str) and "seed" in node.key.lower()
        for root in configurations(project)
        for node in root.walk()
    ) or any(
        isinstance(node, ast.arg) and "seed" in node.arg.lower()
        for module in project.parsed()
        for node in module.nodes
    )
