"""Variations that are set up alike: one experiment run twice under two names."""

import re
from collections.abc import Iterator
from itertools import combinations

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.runs import Run, find
from ohgw.review.meaning.variation import dispatched, settings
from ohgw.review.project import Project


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in find(project, context.spec.run_variations):
        if not run.node.is_scalar:
            place = id(run.collection) if run.collection is not None else 0
            groups.setdefault((run.role, place), []).append(run)
    for group in groups.values():
        reported: set[str] = set()
        for first, second in combinations(group, 2):
            if second.id not in reported and _alike(project, first, second):
                reported.add(second.id)
                yield check.finding(
                    "error",
                    [project.at(second.path), project.at(first.path)],
                    [second.line, first.line],
                    f"the variation {second.id!r} has the same settings as {first.id!r}: they are "
                    "one experiment under two names.",
                    evidence=", ".join(sorted(".".join(k) for k in settings(second.node)))[:300],
                    fix="Give each variation the settings that its description names.",
                )


def _alike(project: Project, first: Run, second: Run) -> bool:
    if first.id == second.id or first.node is second.node:
        return False
    left, right = settings(first.node), settings(second.node)
    if not left or left != right or dispatched(project, first, second):
        return False
    # run-seed0 and run-seed1 are replicates
    return re.sub(r"\d+", "", first.id) != re.sub(r"\d+", "", second.id) or (
        settings(first.node, seeds=True) == settings(second.node, seeds=True)
    )


CHECK = Check("variations-identical", "Method Fidelity", "variations differ", _run)
