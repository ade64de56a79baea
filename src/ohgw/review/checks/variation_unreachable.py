"""Variations whose difference the code never sees: no code reads it, or no branch knows it."""

from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import Flow, flow
from ohgw.review.code.flow.branching import Branch, branches_on, guarded
from ohgw.review.code.flow.uses import dead, uses
from ohgw.review.code.nodes import Node, files
from ohgw.review.findings import Finding
from ohgw.review.meaning.idchains import chains
from ohgw.review.meaning.mentions import mentioned
from ohgw.review.meaning.runs import Run, find
from ohgw.review.meaning.variation import asked_for, dispatched, is_name, settings
from ohgw.review.project import Project


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    runs = find(project, context.spec.run_variations)
    answers = flow(project)
    yield from _unknown_values(check, project, answers, runs)
    yield from _unknown_ids(check, project, context.spec.run_variations)
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        place = id(run.collection) if run.collection is not None else 0
        groups.setdefault((run.role, place), []).append(run)
    for group in groups.values():
        for k, run in enumerate(group):
            for other in group[:k]:
                finding = _same(check, project, answers, run, other, group)
                if finding is not None:
                    yield finding
                    break


def _leaves(run: Run) -> dict[tuple[str, ...], Node]:
    depth = len(run.node.route)
    return {
        tuple(map(str, leaf.route[depth:])): leaf
        for leaf in run.node.leaves()
        if leaf is not run.node and not is_name(leaf, run.node) and leaf.key != "seed"
    }


def _same(
    check: Check, project: Project, answers: Flow, run: Run, other: Run, group: list[Run]
) -> Finding | None:
    """Two variations that differ, but in nothing that the code looks at."""
    if run.id == other.id or dispatched(project, run, other):
        return None
    if settings(run.node) == settings(other.node):
        if settings(run.node) or not _by_id(project, answers, run, other, group):
            return None  # what is equal and not empty is for variations-identical
        asked = ", ".join(r.id for r in group if asked_for(project, r.id))
        return check.finding(
            "error",
            project.at(run.path),
            run.line,
            f"the variations {run.id!r} and {other.id!r} are told apart by their ids, but no code "
            "asks for either: both run the same experiment.",
            evidence=f"asked for: {asked}",
            fix=f"Implement {run.id!r}.",
        )
    left, right = _leaves(run), _leaves(other)
    if not _followed(answers, [*left.values(), *right.values()]):
        return None
    different = [
        key
        for key in [*left, *(k for k in right if k not in left)]
        if _value(left, key) != _value(right, key)
    ]
    for key in different:
        mine, theirs = left.get(key), right.get(key)
        if not _without_effect(project, answers, mine, theirs):
            return None
    shown = [".".join(key) for key in different]
    place = next((left[key] for key in different if key in left), run.node)
    return check.finding(
        "error",
        project.at(place.path),
        place.line,
        f"the variation {run.id!r} differs from {other.id!r} only in {', '.join(shown[:4])}, "
        "which reaches no branch and no argument of the code: both run the same experiment.",
        evidence="; ".join(
            f"{'.'.join(key)}: {_value(left, key)!r} / {_value(right, key)!r}"
            for key in different[:4]
        ),
        fix="Implement what the setting means, or correct the key that the code reads.",
    )


def _by_id(project: Project, answers: Flow, run: Run, other: Run, group: list[Run]) -> bool:
    """Whether ids decide, elsewhere: these two flow into the same questions without an answer."""
    if not any(asked_for(project, member.id) for member in group):
        return False
    for member in (run, other):
        named = [leaf for leaf in member.node.leaves() if leaf.value == member.id]
        kinds = {use.kind for leaf in named for use in uses(answers, leaf)}
        if not named or not kinds & {"test", "registry"} or kinds & {"value", "stored"}:
            return False
    return True


def _value(leaves: dict[tuple[str, ...], Node], key: tuple[str, ...]) -> object:
    return leaves[key].value if key in leaves else None


def _followed(answers: Flow, leaves: list[Node]) -> bool:
    """Whether the flow of this part of the configuration was understood at all."""
    read = sum(leaf.origin in answers.read_nodes for leaf in leaves)
    return read * 2 >= len(leaves)


def _without_effect(
    project: Project, answers: Flow, mine: Node | None, theirs: Node | None
) -> bool:
    """True only where it is certain that two values of one key (or its absence) act alike."""
    given = [node for node in (mine, theirs) if node is not None]
    if all(node.origin not in answers.read_nodes for node in given):
        return not any(mentioned(project, str(node.key)) for node in given)
    if all(dead(answers, node) or node.origin not in answers.read_nodes for node in given):
        return True
    if mine is None or theirs is None:
        return False
    if not isinstance(mine.value, str) or not isinstance(theirs.value, str):
        return False
    for node in given:
        if any(use.loose or use.kind in ("value", "stored") for use in uses(answers, node)):
            return False
        if not uses(answers, node):
            return False
    asked = [*branches_on(project, mine), *branches_on(project, theirs)]
    if not asked or any(not branch.certain for branch in asked):
        return False
    one, two = mine.value.lower(), theirs.value.lower()
    return all(one not in branch.known and two not in branch.known for branch in asked)


def _unknown_values(
    check: Check, project: Project, answers: Flow, runs: list[Run]
) -> Iterator[Finding]:
    """Values that every branch on them refuses, in variations and in what they share."""
    owners = {leaf: run for run in runs for leaf in run.node.leaves()}
    leaves = [*owners, *(leaf for root in files(project) for leaf in root.leaves())]
    reported: set[tuple[str, str, str]] = set()
    for leaf in dict.fromkeys(leaves):
        if not isinstance(leaf.value, str) or leaf.origin not in answers.read_nodes:
            continue
        for branch in branches_on(project, leaf):
            what = (str(leaf.key), leaf.value, branch.use.module.path)
            if what not in reported and _refused(answers, branch, leaf):
                reported.add(what)
                yield _unknown(check, project, owners.get(leaf), leaf, branch)
                break


def _refused(answers: Flow, branch: Branch, leaf: Node) -> bool:
    value = str(leaf.value).lower()
    if (
        branch.use.loose
        or not branch.refuses
        or not branch.certain
        or not branch.known
        or value in branch.known
    ):
        return False
    return not guarded(answers, branch.use.module, branch.use.expr, leaf)


def _unknown(
    check: Check, project: Project, run: Run | None, leaf: Node, branch: Branch
) -> Finding:
    module = branch.use.module
    who = f"the variation {run.id!r}" if run else leaf.path
    return check.finding(
        "error",
        [project.at(leaf.path), project.at(module.path)],
        [leaf.line, branch.line],
        f"{who} sets {leaf.dotted or leaf.key} to {leaf.value!r}, which the code that chooses by "
        "it does not know: the run stops there.",
        evidence=f"{module.source(branch.line)}  # known: {', '.join(sorted(branch.known))}",
        fix=f"Implement {leaf.value!r} there, or name one of the known values.",
    )


def _unknown_ids(check: Check, project: Project, wanted: tuple[str, ...]) -> Iterator[Finding]:
    """Ids from the command line or a list that the code's branches on ids refuse."""
    reported: set[str] = set()
    for chain in chains(project, frozenset(wanted)):
        for name in wanted:
            if name not in chain.known and name not in reported:
                if asked_for(project, name):
                    continue  # elsewhere
                reported.add(name)
                yield check.finding(
                    "error",
                    project.at(chain.module.path),
                    chain.line,
                    f"the variation {name!r} is refused by the code that chooses by the "
                    "variation's name.",
                    evidence=f"{chain.module.source(chain.line)}  "
                    f"# known: {', '.join(sorted(chain.known))}",
                    fix=f"Implement {name!r} there.",
                )


CHECK = Check("variation-unreachable", "Method Fidelity", "variations differ", _run)
