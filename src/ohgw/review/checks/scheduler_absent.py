"""A scheduler that the experiment is about, and that no code schedules with."""

import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.runs import runs
from ohgw.review.vocabulary import SCHEDULING, TERMS, shown


def _run(check: Check, context: Context) -> Iterator[Finding]:
    spec, project = context.spec, context.derived
    about = f"{spec.description}\n{' '.join(spec.run_variations)}"
    for term in TERMS:
        if term.kind != "scheduler" or not re.search(term.said, about, re.IGNORECASE):
            continue
        if not any(project.parsed()) or shown(project, f"{term.shown}|{SCHEDULING}"):
            continue
        named = [run for run in runs(project) if re.search(term.said, run.id, re.IGNORECASE)]
        yield check.finding(
            "error",
            project.at(named[0].path) if named else None,
            named[0].line if named else None,
            f"The experiment is about {term.name}, but no code schedules: no name, import or "
            "argument speaks of it, of rungs, promotions or brackets.",
            evidence=f"only the run {named[0].id!r} is called so" if named else "",
            fix=f"Implement or import {term.name}, and let it decide what is trained for how long.",
        )
        return


CHECK = Check("scheduler-absent", "Method Fidelity", "method implemented", _run)
