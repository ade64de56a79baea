"""A scheduler that the experiment is about, and that schedules nothing.

No code speaks of it; or what is called so compares no scores; or it is asked and never told; or the
settings that make it one are read by nothing.
"""

import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import flow
from ohgw.review.code.nodes import Node, configurations
from ohgw.review.findings import Finding
from ohgw.review.meaning.mentions import mentioned
from ohgw.review.meaning.metrics import words
from ohgw.review.meaning.runs import runs
from ohgw.review.meaning.selection import unanswered, unselective, untold
from ohgw.review.meaning.vocabulary import SCHEDULING, TERMS, Term, shown

_SECTIONS = frozenset("scheduler asha pasha hyperband bohb pruner halving dyhpo search hpo".split())
# Only a scheduler that stops or promotes has these.
_SETTINGS = re.compile(
    r"(?:eta|reduction_factor|eta_s|min_epochs|min_resource|min_budget|grace_period|rungs?|brackets?"
    r"|r_min|min_t|rung_levels|halving_rate|promotion|promote|top_fraction|keep_fraction)"
)
FIX = "Implement or import it, and let it decide what is trained for how long."


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for definition in unselective(project):
        yield check.finding(
            "error",
            project.at(definition.module.path),
            definition.line,
            f"{definition.name} never compares scores: nothing is promoted, stopped or selected "
            "by what was measured.",
            evidence=definition.module.source(definition.line),
            fix="Rank the trials of a rung by what they report, and go on with the best of them.",
        )
    for definition, method in untold(project):
        yield check.finding(
            "error",
            project.at(definition.module.path),
            definition.line,
            f"Nothing calls {definition.name}.{method}: the scheduler never gets to know a score.",
            evidence=definition.module.source(definition.line),
            fix="Report every evaluation to it.",
        )
    for module, call in unanswered(project):
        yield check.finding(
            "error",
            project.at(module.path),
            call.lineno,
            "It is asked what to train next and never told how that went: nothing is selected by "
            "what was measured.",
            evidence=module.source(call.lineno),
            fix="Tell it the score of every trial that it gave.",
        )
    about = _about(context)
    if about is None or not any(project.parsed()):
        return
    if shown(project, f"{about.shown}|{SCHEDULING}"):
        yield from _unread(check, context, about)
        return
    named = [run for run in runs(project) if re.search(about.said, run.id, re.IGNORECASE)]
    yield check.finding(
        "error",
        project.at(named[0].path) if named else None,
        named[0].line if named else None,
        f"The experiment is about {about.name}, but no code schedules: no name, import or "
        "argument speaks of it, of rungs, promotions or brackets.",
        evidence=f"only the run {named[0].id!r} is called so" if named else "",
        fix=FIX,
    )


def _about(context: Context) -> Term | None:
    """The first scheduler that the experiment is about; one that the code speaks of comes last."""
    spec = context.spec
    text = f"{spec.description}\n{' '.join(spec.run_variations)}"
    terms = [t for t in TERMS if t.kind == "scheduler" and re.search(t.said, text, re.IGNORECASE)]
    terms.sort(key=lambda t: shown(context.derived, f"{t.shown}|{SCHEDULING}") is not None)
    return terms[0] if terms else None


def _unread(check: Check, context: Context, about: Term) -> Iterator[Finding]:
    """`scheduler: {eta: 3, max_epochs: 9}` of which the code reads max_epochs alone."""
    project = context.derived
    answers = flow(project)
    for root in configurations(project):
        for node in root.walk():
            if not node.is_mapping or not isinstance(node.key, str):
                continue
            if not _SECTIONS & set(words(node.key)) or {"lr", "learning"} & set(words(node.key)):
                continue
            children = [child for child in (node.children or {}).values() if child.is_scalar]
            read = [child for child in children if child.origin in answers.read_nodes]
            lost = [child for child in children if _is_lost(child) and child not in read]
            if not read or any(_is_lost(child) for child in read):
                continue
            lost = [child for child in lost if not mentioned(project, str(child.key))]
            if not lost:
                continue
            shown_keys = ", ".join(str(child.key) for child in lost)
            yield check.finding(
                "error",
                project.at(lost[0].path),
                lost[0].line,
                f"No code reads {shown_keys}, which make {node.dotted} {about.name}: nothing is "
                "stopped or promoted by it.",
                evidence=f"read: {', '.join(str(child.key) for child in read)}",
                fix=FIX,
            )
            return


def _is_lost(child: Node) -> bool:
    return isinstance(child.key, str) and bool(_SETTINGS.fullmatch(child.key))


CHECK = Check("scheduler-absent", "Method Fidelity", "method implemented", _run)
