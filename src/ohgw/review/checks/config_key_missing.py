"""Keys that the code reads and the configuration does not have, by whichever side renamed them."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import At, Flow, Splat, flow
from ohgw.review.code.flow.lookups import Lookup, happens, lookup
from ohgw.review.code.flow.origin import loads_configuration
from ohgw.review.code.flow.values import Obj, Read
from ohgw.review.code.nodes import Node, configurations, files
from ohgw.review.code.resolve import names
from ohgw.review.findings import Finding
from ohgw.review.meaning.keynames import all_keys, all_parameters, reflects
from ohgw.review.meaning.mentions import alike, mentioned
from ohgw.review.project import Project, constant

_FIX = "Use one name on both sides."


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    answers = flow(project)
    missing: dict[tuple[str, int, str], list[Lookup]] = {}
    for read in sorted(answers.reads, key=_place):
        if read.kind in ("in", "remove") or read.key in answers.record.written:
            continue
        if read.kind == "attribute":
            yield from _option(check, project, answers, read)
        found = lookup(answers, read)
        if found is None:
            continue
        if not found.certain:
            if _nowhere(project, answers, read) and happens(answers, read):
                yield _unknown(check, project, answers, read)
            continue
        if read.optional:
            yield from _renamed(check, context, answers, found)
            continue
        for node in _lacking(found)[:1]:
            if happens(answers, read, node if found.has else None):
                missing.setdefault((node.path, node.line, node.dotted), []).append(found)
    for lookups in missing.values():
        yield _missing(check, project, lookups)
    for splat in (*answers.splats, *_comprehended(project, answers)):
        yield from _arguments(check, project, answers, splat)
    yield from _twins(check, project)


def _twins(check: Check, project: Project) -> Iterator[Finding]:
    """`load(path)["runs"]`, where no mapping has `runs`, and nothing reads `runs_value` of a file.

    Such a read was followed to no mapping, because none of the files has its key.
    """
    tops = [
        child
        for root in files(project)
        for child in (root.children or {}).values()
        if isinstance(child.key, str) and not mentioned(project, child.key)
    ]
    for module in project.parsed() if tops else ():
        for node in module.nodes:
            key = constant(node.slice) if isinstance(node, ast.Subscript) else None
            if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
                continue
            if not isinstance(key, str) or key in all_keys(project) or len(key) < 3:
                continue
            twins = [top for top in tops if alike(key, str(top.key))]
            if not twins or not loads_configuration(project, module, node.value):
                continue
            yield check.finding(
                "error",
                [project.at(module.path), *(project.at(twin.path) for twin in twins[:4])],
                [node.lineno, *(twin.line for twin in twins[:4])],
                f"{module.path} reads the key {key!r} without a default; {twins[0].path} has "
                f"{twins[0].key!r}, which no code reads: the run stops there.",
                evidence=module.source(node.lineno),
                fix=_FIX,
            )


def _place(read: Read) -> tuple[str, int]:
    return read.module.path, getattr(read.expr, "lineno", 1)


def _nowhere(project: Project, answers: Flow, read: Read) -> bool:
    """Whether no mapping of any configuration, and no line of code, has a key that is read.

    For mappings that are merged or chosen in ways that cannot be followed.
    """
    if read.optional or read.kind not in ("item", "attribute") or read.key.startswith("_"):
        return False
    if read.key in all_keys(project) or (
        read.key in all_parameters(project) and (read.kind == "attribute" or reflects(project))
    ):
        return False
    base = getattr(read.expr, "value", None)
    parts = [item.node for item in read.bases if isinstance(item, At) and item.node.children]
    key = _own_key(base)
    if key is not None:
        return any(part.key == key or _is_group(part, key) for part in parts)
    if not isinstance(base, ast.Name) or not parts:
        return False
    known = {
        other.key
        for other in answers.reads
        if other.scope is read.scope
        and isinstance(other_base := getattr(other.expr, "value", None), ast.Name)
        and other_base.id == base.id
        and any(part.child(other.key) is not None for part in parts)
    }
    return bool(known)


def _own_key(base: object) -> str | None:
    """`a` of `cfg["a"]` and `cfg.a`."""
    if isinstance(base, ast.Subscript):
        value = constant(base.slice)
        return value if isinstance(value, str) else None
    return base.attr if isinstance(base, ast.Attribute) else None


def _is_group(part: Node, key: str) -> bool:
    """A file that is merged under the name of its folder: conf/model/small.yaml as `model`."""
    folders = part.path.split("/")[:-1]
    return part.parent is None and bool(folders) and folders[-1] == key


def _unknown(check: Check, project: Project, answers: Flow, read: Read) -> Finding:
    _, line = _place(read)
    parts = [item.node for item in read.bases if isinstance(item, At) and item.node.children]
    key = _own_key(getattr(read.expr, "value", None))
    named = sorted(
        (p for p in parts if key is None or p.key == key or _is_group(p, key)),
        key=lambda p: (p.path, p.line),
    )
    part = named[0]
    return check.finding(
        "error",
        [project.at(read.module.path), project.at(part.path)],
        [line, part.line],
        f"{read.module.path} reads the key {read.key!r} without a default, and no configuration "
        "has a key of this name: the run stops there.",
        evidence=f"{read.module.source(line)}  # there: {', '.join(map(str, part.children or {}))}",
        fix=_FIX,
    )


def _lacking(found: Lookup) -> list[Node]:
    """The mappings in which a key that is read without a default should stand."""
    lacks = found.lacks
    if found.has:
        lacks = () if found.merged else tuple(n for n in lacks if _peer(n, found.has))
    return _distinct(lacks)


def _missing(check: Check, project: Project, lookups: list[Lookup]) -> Finding:
    """Read without a default: the run stops there. One finding for one mapping."""
    first = lookups[0]
    read, places = first.read, _lacking(first)
    _, line = _place(read)
    where = places[0].dotted or "the top level"
    known = ", ".join(str(key) for key in (places[0].children or {}))
    others = sorted(
        {f"{f.read.key!r} at {':'.join(map(str, _place(f.read)))}" for f in lookups[1:]}
    )
    return check.finding(
        "error",
        [project.at(read.module.path), *(project.at(node.path) for node in places[:5])],
        [line, *(node.line for node in places[:5])],
        f"{read.module.path} reads the key {read.key!r} without a default, and {where} of "
        f"{places[0].path} does not have it: the run stops there.",
        evidence=f"{read.module.source(line)}  # there: {known or 'nothing'}"
        + (f"; also missing: {', '.join(others)}" if others else ""),
        fix=_FIX,
    )


def _peer(node: Node, others: tuple[Node, ...]) -> bool:
    """Whether a mapping stands where the others stand: same keys above it, lists apart."""
    pattern = _pattern(node)
    return any(_pattern(other) == pattern for other in others)


def _pattern(node: Node) -> tuple[object, ...]:
    route: list[object] = []
    current = node
    while current.parent is not None:
        alike_siblings = current.parent.key_kind is int or all(
            child.key_kind is str for child in (current.parent.children or {}).values()
        )
        route.append("*" if alike_siblings else current.key)
        current = current.parent
    return (node.path.rpartition("/")[0], *reversed(route))


def _distinct(nodes: tuple[Node, ...]) -> list[Node]:
    """Each mapping once, in order."""
    unique = {(node.path, node.line, node.key): node for node in reversed(nodes)}
    return sorted(unique.values(), key=lambda node: (node.path, node.line))


def _renamed(check: Check, context: Context, answers: Flow, found: Lookup) -> Iterator[Finding]:
    """Read with a default, while the configuration says it by another name, which nothing reads."""
    read, project = found.read, context.derived
    if found.has and found.merged:
        return
    for node in _distinct(found.lacks):
        for key, child in (node.children or {}).items():
            if child.origin in answers.read_nodes or mentioned(project, str(key)):
                continue
            if any(_peer(node, (other,)) and other.child(key) is not None for other in found.has):
                continue
            if not alike(read.key, str(key)) and not any(
                _but_for(node, other, str(key), read.key)
                for other in [*found.has, *_of_base(context, node)]
            ):
                continue
            line = getattr(read.expr, "lineno", 1)
            yield check.finding(
                "error",
                [project.at(child.path), project.at(read.module.path)],
                [child.line, line],
                f"{child.path} sets {key!r}, which no code reads, while {read.module.path} reads "
                f"{read.key!r} with a default: the setting is ignored without a word.",
                evidence=read.module.source(line)[:300],
                fix=_FIX,
            )
            return


def _but_for(node: Node, other: Node, key: str, wanted: str) -> bool:
    """Whether two mappings have the same keys, but for `key` here and `wanted` there."""
    mine = {str(name) for name in node.children or {}}
    theirs = {str(name) for name in other.children or {}}
    return mine - {key} == theirs - {wanted} and wanted in theirs and key not in theirs


def _of_base(context: Context, node: Node) -> list[Node]:
    """Mappings of this name in the base's configuration."""
    if context.base is None or not isinstance(node.key, str):
        return []
    return [
        other
        for root in configurations(context.base)
        for other in root.walk()
        if other.children and other.key == node.key
    ]


def _option(check: Check, project: Project, answers: Flow, read: Read) -> Iterator[Finding]:
    """An option that the command line does not have."""
    spaces = [item for item in read.bases if isinstance(item, Obj) and item.kind == "namespace"]
    if not spaces or len(spaces) != len(read.bases) or read.key.startswith("_"):
        return
    known = [set(answers.solver.heap.keys(item.site)) for item in spaces]
    if any(read.key in keys or keys & {"*", "**"} for keys in known):
        return
    line = getattr(read.expr, "lineno", 1)
    yield check.finding(
        "error",
        project.at(read.module.path),
        line,
        f"{read.module.path} reads the option {read.key!r}, which the command line does not "
        "define: the run stops there.",
        evidence=f"{read.module.source(line)}  # defined: {', '.join(map(str, sorted(known[0])))}",
        fix=_FIX,
    )


def _comprehended(project: Project, answers: Flow) -> Iterator[Splat]:
    """`F(**{name: bounds[0] for name, bounds in part.items()})` has the keys of the part."""
    for module in project.parsed():
        for node in module.nodes:
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            made = [k.value for k in node.keywords if k.arg is None]
            if len(made) != 1 or not isinstance(made[0], ast.DictComp):
                continue
            (first, *more), key = made[0].generators, made[0].key
            over, target = first.iter, first.target
            if more or first.ifs or not isinstance(key, ast.Name):
                continue
            if not isinstance(over, ast.Call) or not isinstance(over.func, ast.Attribute):
                continue
            named = target.elts[0] if isinstance(target, ast.Tuple) else None
            if over.func.attr == "items" and getattr(named, "id", "") == key.id:
                callee = names(project).definition(module, node.func.id)
                parts = answers.record.values.get(over.func.value, frozenset())
                if callee is not None and parts:
                    yield Splat(node, module, callee, parts)


def _arguments(check: Check, project: Project, answers: Flow, splat: Splat) -> Iterator[Finding]:
    """`F(**part)` for a function or class of the project: its keys have to be parameters."""
    if splat.callee is None:
        return
    signature = _signature(answers, splat)
    if signature is None:
        return
    required, accepted = signature
    parts = [item for item in splat.parts if isinstance(item, At)]
    if len(parts) != len(splat.parts) or any(part.loose for part in parts):
        return
    for node in _distinct(tuple(part.node for part in parts)):
        if node.children is None or node.key_kind is int:
            continue
        keys = {str(key) for key in node.children}
        removed = _removed(answers, node)
        added = {str(key) for key in answers.solver.heap.keys(node)}
        for key in sorted(keys - accepted - removed):
            child = node.children[key]
            yield check.finding(
                "error",
                [project.at(child.path), project.at(splat.module.path)],
                [child.line, splat.call.lineno],
                f"{child.path} sets {key!r}, which {splat.callee.name} takes no argument for: the "
                "run stops there.",
                evidence=f"{splat.module.source(splat.call.lineno)}"
                f"  # takes: {', '.join(sorted(accepted))}"[:300],
                fix=_FIX,
            )
        missing = required - (keys - removed) - added
        if missing and not added & {"*", "**"}:
            yield check.finding(
                "error",
                [project.at(splat.module.path), project.at(node.path)],
                [splat.call.lineno, node.line],
                f"{splat.callee.name} needs {', '.join(sorted(missing))}, which "
                f"{node.dotted or 'the top level'} of {node.path} does not have: the run stops "
                "there.",
                evidence=splat.module.source(splat.call.lineno)[:300],
                fix=_FIX,
            )


def _removed(answers: Flow, node: Node) -> set[str]:
    """Keys that the code takes out of a mapping before it hands it on."""
    return {
        read.key
        for read in answers.reads
        if read.kind == "remove"
        and any(isinstance(item, At) and item.node.origin is node.origin for item in read.bases)
    }


def _signature(answers: Flow, splat: Splat) -> tuple[set[str], set[str]] | None:
    """(needed from the mapping, accepted) of a callee; None where it takes anything."""
    from ohgw.review.code.flow.binding import signature

    if splat.callee is None:
        return None
    given = {keyword.arg for keyword in splat.call.keywords if keyword.arg}
    if sum(keyword.arg is None for keyword in splat.call.keywords) != 1:
        return None
    if any(isinstance(argument, ast.Starred) for argument in splat.call.args):
        return None
    found = signature(answers.solver, splat.callee)
    if found is None:
        return None
    names, required = found
    positional = set(names[: len(splat.call.args)])
    return required - given - positional, set(names) - given - positional


CHECK = Check("config-key-missing", "Configuration", "configurations compose", _run)
