"""Calls of the tree's own functions and classes with arguments that they do not take."""

import ast
from collections import Counter
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.bindings import own_scope
from ohgw.review.code.memo import once
from ohgw.review.code.resolve import names
from ohgw.review.code.signatures import (
    FUNCTIONS,
    Signature,
    calls_of,
    is_torch_module,
    lineage,
    method,
    signature,
)
from ohgw.review.code.uses import class_around
from ohgw.review.findings import Finding
from ohgw.review.packages import STDLIB
from ohgw.review.project import Definition, Module, Project, dotted
from ohgw.review.tools import diagnostics

_RULES = frozenset(
    "missing-argument unknown-argument too-many-positional-arguments "
    "parameter-already-assigned".split()
)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    seen: set[tuple[str, int]] = set()
    for module in project.parsed():
        rebound = _rebound(module)
        for call in calls_of(module):
            found = _target(project, module, call, rebound)
            problem = found[1].problem(call) if found else ""
            if not found or not problem or _expects_error(module, call):
                continue
            target = found[0]
            seen |= {(module.path, line) for line in range(call.lineno, (call.end_lineno or 0) + 1)}
            yield check.finding(
                "error",
                project.at(module.path),
                call.lineno,
                f"{target.name} ({target.module.path}:{target.line}) {problem}: the call raises "
                "TypeError.",
                evidence=module.source(call.lineno),
                fix=f"Call {target.name} as it is defined, or change its parameters.",
            )
    for said in diagnostics(project):
        if said.rule not in _RULES or (said.path, said.line) in seen:
            continue
        caller = project.modules.get(said.path)
        if "`object.__init__`" in said.message:
            continue  # a decorator that is not known here gives the class its constructor
        if caller is None or _is_chosen(caller, said.line):
            continue
        certain = _is_stdlib(project, caller, said.line)
        yield check.finding(
            "error" if certain else "warning",
            project.at(said.path),
            said.line,
            f"A call does not fit what is called: {said.message}.",
            evidence=caller.source(said.line),
            fix="Give the arguments that it takes.",
        )


def _target(
    project: Project, module: Module, call: ast.Call, rebound: frozenset[str]
) -> tuple[Definition, Signature] | None:
    """What is certainly called, and its signature."""
    name = dotted(call.func)
    head, _, rest = name.partition(".")
    if not name:
        return None
    if head in ("self", "cls") and rest and "." not in rest:
        return _own_method(project, module, call, rest)
    if head in rebound:
        return _of_object(project, module, call, head, rest)
    found = names(project).definition(module, name)
    if found is None or not _is_visible(found):
        return None
    if "." in found.name:
        return None  # a method through its class: self is given, or it is static
    known = signature(project, found)
    return (found, known) if known else None


def _is_visible(found: Definition) -> bool:
    """Whether the definition is the only one of its name that the call can mean."""
    defined = sum(
        isinstance(node, (*FUNCTIONS, ast.ClassDef)) and node.name == found.name
        for node in _own(found.module)
    )
    around = found.module.parents.get(found.node)
    return defined == 1 and around is found.module.tree and found.name not in _rebound(found.module)


def _own(module: Module) -> list[ast.AST]:
    return [d.node for d in module.definitions.values()]


_known: WeakKeyDictionary[Module, frozenset[str]] = WeakKeyDictionary()


def _rebound(module: Module) -> frozenset[str]:
    if module not in _known:
        _known[module] = _read_rebound(module)
    return _known[module]


def _read_rebound(module: Module) -> frozenset[str]:
    """Names that something else than one import or definition binds, parameters included."""
    counts: Counter[str] = Counter()
    for node in module.nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            counts[node.id] += 2
        elif isinstance(node, ast.arg):
            counts[node.arg] += 2
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            counts[node.name] += 2
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            if not isinstance(module.parents.get(node), ast.ClassDef):
                counts[node.name] += 1
        elif isinstance(node, ast.ImportFrom):
            counts.update({alias.asname or alias.name for alias in node.names})
    return frozenset(name for name, count in counts.items() if count > 1)


def _own_method(
    project: Project, module: Module, call: ast.Call, name: str
) -> tuple[Definition, Signature] | None:
    owner = module.definitions.get(class_around(module, call))
    if owner is None or not owner.is_class:
        return None
    found, uncertain = method(project, owner, name)
    if found is None or uncertain or _is_replaced(project, name):
        return None
    known = signature(project, found, bound=True)
    return (found, known) if known else None


@once
def _attributes(project: Project) -> tuple[Counter[str], frozenset[str]]:
    """How often a function of each name is defined; names assigned to as attributes."""
    defined: Counter[str] = Counter()
    assigned = set()
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                defined[node.name] += 1
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                assigned.add(node.attr)
    return defined, frozenset(assigned)


def _is_replaced(project: Project, name: str) -> bool:
    """Whether several classes have a method of that name, or one is assigned to an object."""
    defined, assigned = _attributes(project)
    return defined[name] > 1 or name in assigned


def _of_object(
    project: Project, module: Module, call: ast.Call, head: str, rest: str
) -> tuple[Definition, Signature] | None:
    """`head(...)` or `head.method(...)` where `head` is made once, by a class of the tree."""
    scope = _scope(module, call)
    if "." in rest or scope is None:
        return None
    arguments = getattr(scope, "args", None)
    if arguments and any(isinstance(a, ast.arg) and a.arg == head for a in ast.walk(arguments)):
        return None
    made = [n for n in own_scope(scope) if isinstance(n, ast.Name) and n.id == head]
    stores = [n for n in made if not isinstance(n.ctx, ast.Load)]
    if len(stores) != 1:
        return None
    statement = module.parents.get(stores[0])
    value = getattr(statement, "value", None)
    if not isinstance(statement, ast.Assign) or not isinstance(value, ast.Call):
        return None
    if stores[0] not in statement.targets or dotted(value.func) == "":
        return None
    if dotted(value.func).partition(".")[0] in _rebound(module):
        return None
    owner = names(project).definition(module, dotted(value.func))
    if owner is None or not owner.is_class or owner.node not in _single(owner.module):
        return None
    if not rest:
        outside = lineage(project, owner)[1]
        if not is_torch_module(outside) or method(project, owner, "__call__")[0]:
            return None
    found, uncertain = method(project, owner, rest or "forward")
    if found is None or uncertain or (rest and _is_assigned(project, rest)):
        return None
    known = signature(project, found, bound=True)
    return (found, known) if known else None


def _is_assigned(project: Project, name: str) -> bool:
    return name in _attributes(project)[1]


def _single(module: Module) -> list[ast.AST]:
    """Classes whose name is bound once in their module."""
    rebound = _rebound(module)
    return [n for n in module.nodes if isinstance(n, ast.ClassDef) and n.name not in rebound]


def _scope(module: Module, node: ast.AST) -> ast.AST | None:
    up = module.parents.get(node)
    while up is not None and not isinstance(up, (*FUNCTIONS, ast.Lambda, ast.Module)):
        up = module.parents.get(up)
    return up


def _expects_error(module: Module, call: ast.Call) -> bool:
    """Inside `try ... except TypeError`, or `pytest.raises`."""
    inner: ast.AST = call
    up = module.parents.get(call)
    while up is not None:
        if isinstance(up, ast.Try) and inner in up.body:
            for handler in up.handlers:
                kinds = ast.dump(handler.type) if handler.type else "Exception"
                if "TypeError" in kinds or "'Exception'" in kinds or kinds == "Exception":
                    return True
        elif isinstance(up, ast.With) and "raises" in ast.dump(up.items[0].context_expr):
            return True
        inner, up = up, module.parents.get(up)
    return False


def _is_chosen(module: Module, line: int) -> bool:
    """Whether what is called was chosen when running: out of a registry, or a class's own `cls`."""
    return any(
        call.lineno <= line <= (call.end_lineno or line)
        and (isinstance(call.func, ast.Subscript | ast.Call) or dotted(call.func) in ("cls", ""))
        for call in calls_of(module)
    )


def _is_stdlib(project: Project, module: Module, line: int) -> bool:
    """Whether every call that begins on a line is of the standard library, by its full name."""
    found = [call for call in calls_of(module) if call.lineno == line]
    tops = set()
    for call in found:
        full = names(project).full(module, call.func)
        tops.add(full.partition(".")[0] if "." in full else "")
    return bool(tops) and tops <= STDLIB


CHECK = Check("wrong-call", "Not Executable", "imports resolve", _run)
