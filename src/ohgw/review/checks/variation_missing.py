"""Run variations that a configuration lacks: each belongs in the smoke test and in the full one."""

import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.nodes import configurations
from ohgw.review.findings import Finding
from ohgw.review.meaning.runs import SUFFIXES, Run, find, role_of, same_id, words
from ohgw.review.project import Project

_FIX = "Add {id} with its own settings; a comparison without one of its arms cannot be drawn."


def _run(check: Check, context: Context) -> Iterator[Finding]:
    wanted = context.spec.run_variations
    project = context.derived
    if not wanted or not project.modules:
        return
    found = find(project, wanted)
    unreadable = any(config.problem for config in project.configs.values())
    own = {
        "smoke": [run for run in found if run.role == "smoke"],
        "full": [run for run in found if run.role == "full"],
    }
    shared = [run for run in found if run.role == "other"]
    if not _listed(wanted, own["full"]):
        own["full"] += shared
    for role, other in (("smoke", "full"), ("full", "smoke")):
        listed = _listed(wanted, own[role])
        emptied = _emptied(project, role) and _matching(wanted, own[other])
        if listed or emptied:
            yield from _judge(check, project, role, wanted, own[role], listed)
        elif role == "full" and _matching(wanted, own[other]) and not unreadable:
            yield from _only_smoke(check, project, wanted)
    yield from _undefined(check, project, wanted, found)
    if not _matching(wanted, found) and not unreadable:
        yield from _nowhere(check, project, wanted)


def _listed(wanted: tuple[str, ...], runs: list[Run]) -> list[Run]:
    return _matching(wanted, runs) or [
        run for run in runs if any(_within(name, run.id, wanted) for name in wanted)
    ]


def _undefined(
    check: Check, project: Project, wanted: tuple[str, ...], found: list[Run]
) -> Iterator[Finding]:
    """Named somewhere, but without a definition where the others have theirs."""
    families: dict[str, list[Run]] = {}
    for run in found:
        if not run.node.is_scalar and run.role == "other":
            holder = run.collection
            key = f"{holder.path}:{holder.dotted}" if holder else run.path.rpartition("/")[0]
            families.setdefault(key, []).append(run)
    defined = {run.id for run in found if not run.node.is_scalar}
    for runs in families.values():
        have = [name for name in wanted if any(run.id == name for run in runs)]
        lacking = [name for name in wanted if not any(same_id(name, id_) for id_ in defined)]
        if len(have) < 2 or len(have) * 2 < len(wanted):
            continue
        for name in lacking:
            if not any(run.id == name for run in found):
                continue  # said already: it is named nowhere
            holder = runs[0].collection
            yield check.finding(
                "error",
                project.at(holder.path if holder else runs[0].path),
                holder.line if holder else 1,
                f"the variation {name!r} is named, but not defined where the others are.",
                evidence=f"there: {', '.join(sorted(have))}",
                fix=_FIX.format(id=repr(name)),
            )
        return


def _matching(wanted: tuple[str, ...], runs: list[Run]) -> list[Run]:
    return [run for run in runs if any(same_id(name, run.id) for name in wanted)]


def _judge(
    check: Check,
    project: Project,
    role: str,
    wanted: tuple[str, ...],
    runs: list[Run],
    matched: list[Run],
) -> Iterator[Finding]:
    """A configuration that lists variations has to list all of them."""
    renamed: list[tuple[str, Run]] = []
    for name in wanted:
        others = [run for run in runs if run.id == name or run.id not in wanted]
        kinds = {kind: run for run in others if (kind := same_id(name, run.id))}
        if "exact" in kinds:
            continue
        close = list(kinds.values()) or [run for run in runs if _within(name, run.id, wanted)]
        if close:
            renamed.append((name, close[0]))
            continue
        path, line = _place(project, role, matched)
        listed = ", ".join(sorted({run.id for run in matched})) or "none"
        yield check.finding(
            "error",
            project.at(path) if path else None,
            line,
            f"the variation {name!r} is missing from the {role} configuration.",
            evidence=f"there: {listed}",
            fix=_FIX.format(id=repr(name)),
        )
    if renamed:
        yield check.finding(
            "warning",
            [project.at(run.path) for _, run in renamed],
            [run.line for _, run in renamed],
            f"the {role} configuration names variations otherwise than the specification: "
            "results of one name cannot be matched with the other.",
            evidence=", ".join(f"{run.id!r} for {name!r}" for name, run in renamed),
            fix="Use the same ids in every configuration; the file says which role it has.",
        )


def _within(name: str, found: str, wanted: tuple[str, ...]) -> bool:
    """Whether a longer id (`imagenet_vit_tent`) or a shorter one (`adanpc_fake`) means `name`."""
    if any(same_id(other, found) for other in wanted if other != name):
        return False
    own, given = words(name), words(found)
    others = [words(other) for other in wanted if other != name]
    if _contains(given, own):
        return not any(len(other) > len(own) and _contains(given, other) for other in others)
    short = [word for word in given if word not in SUFFIXES]
    for size in range(min(len(short), len(own)), 0, -1):  # its last words are our first ones
        if short[-size:] == own[:size]:
            return not any(other[:size] == own[:size] for other in others)
    return False


def _contains(longer: list[str], shorter: list[str]) -> bool:
    span = len(shorter)
    return bool(span) and any(
        longer[k : k + span] == shorter for k in range(len(longer) - span + 1)
    )


def _only_smoke(check: Check, project: Project, wanted: tuple[str, ...]) -> Iterator[Finding]:
    """Named in the smoke configuration alone, unless the code itself names them."""
    missing = [name for name in wanted if name not in project.strings]
    path, line = _place(project, "full", [])
    if missing:
        yield check.finding(
            "error",
            project.at(path) if path else None,
            line,
            f"the variations {', '.join(map(repr, missing))} stand in the smoke configuration "
            "alone: nothing defines the full experiment.",
            fix="Add a full configuration with every variation.",
        )


def _place(project: Project, role: str, matched: list[Run]) -> tuple[str | None, int | None]:
    for run in matched:
        holder = run.collection or run.node
        return holder.path, holder.line
    for root in configurations(project):
        if role_of(root) == role:
            return root.path, 1
    return None, None


_LISTS = re.compile(r"experiments?|runs?|variations?|run_variations|variants?")


def _emptied(project: Project, role: str) -> bool:
    """Whether a configuration of this role has a list for variations with nothing in it."""
    return any(
        isinstance(node.key, str)
        and _LISTS.fullmatch(node.key)
        and role_of(node) == role
        and not node.children
        and (node.children is not None or node.value is None)
        for root in configurations(project)
        for node in root.walk()
    )


def _nowhere(check: Check, project: Project, wanted: tuple[str, ...]) -> Iterator[Finding]:
    """No configuration names any of them: the code itself may."""
    strings = project.strings
    lowered = {text.lower() for text in strings}
    everything = " ".join(lowered) + " ".join(
        str(node.value).lower()
        for root in configurations(project)
        for node in root.leaves()
        if isinstance(node.value, str)
    )
    for name in wanted:
        if name in strings or name.lower() in lowered:
            continue
        parts = [part for part in re.split(r"[-_/. +=]+", name.lower()) if part]
        composed = all(part in everything for part in parts)
        yield check.finding(
            "warning" if composed else "error",
            None,
            None,
            f"the variation {name!r} is named by no configuration and by no line of code.",
            evidence="its parts occur, so it may be put together when the code runs"
            if composed
            else "",
            fix=_FIX.format(id=repr(name)),
        )


CHECK = Check("variation-missing", "Omission", "configurations compose", _run)
