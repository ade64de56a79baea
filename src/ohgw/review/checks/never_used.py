"""What the experiment is about, written and then used by nothing, or shut out of its own name."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.memo import once
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import is_test_module, words
from ohgw.review.project import Definition, Module, Project, constant

# Words that any experiment's code is full of.
_COMMON = frozenset(
    "model models data dataset loss train trained training test tests valid validation evaluate "
    "evaluation load loader make build create get set run runs step steps batch epoch epochs seed "
    "seeds config configuration result results metric metrics score scores log with from into the "
    "and for that then each every network layer layers optimizer learning rate parameter "
    "parameters value values compute save read write print plot main init utils helper split "
    "sample samples number mean name names list table best last first base baseline update apply "
    "point points time times text texts image images label labels class classes function forward "
    "backward gradient gradients weight weights their after before while other without over".split()
)
_OUTSIDE = frozenset(
    "main cli app setup forward training_step validation_step test_step predict_step "
    "configure_optimizers train_dataloader val_dataloader test_dataloader".split()
)
MIN_STATEMENTS = 2


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        if is_test_module(module):
            continue
        for node in module.nodes:
            if isinstance(node, ast.Dict):
                yield from _shut_out(check, project, module, _entries(node))
            elif isinstance(node, ast.If):
                yield from _shut_out(check, project, module, _branch(node))
    yield from _about(check, context)


@once
def _mentions(project: Project) -> Counter[str]:
    """How often each name is used: loaded, as an attribute, or as a text. Imports use nothing."""
    found: Counter[str] = Counter()
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found[node.id] += 1
            elif isinstance(node, ast.Attribute):
                found[node.attr] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if len(node.value) < 200:
                    found.update(re.split(r"[^\w]+", node.value))
            elif isinstance(node, ast.alias) and node.asname:
                found[node.name.rpartition(".")[2]] += 1
    for config in project.configs.values():
        for entry in config.leaves():
            if isinstance(entry.value, str):
                found.update(re.split(r"[^\w]+", entry.value))
    return found


def _unused(project: Project, definition: Definition) -> bool:
    """Whether nothing but its own body and imports has the name of a definition."""
    own = sum(
        isinstance(node, ast.Name | ast.Attribute)
        and definition.node.name == getattr(node, "id", getattr(node, "attr", None))
        for node in ast.walk(definition.node)
    )
    return _mentions(project)[definition.node.name] <= own


def _entries(node: ast.Dict) -> list[tuple[str, ast.expr]]:
    """Texts and the classes or functions that stand for them."""
    pairs = zip(node.keys, node.values, strict=True)
    return [
        (label, value)
        for key, value in pairs
        if isinstance(label := constant(key), str) and isinstance(value, ast.Name)
    ]


def _branch(node: ast.If) -> list[tuple[str, ast.expr]]:
    """`if name == "halving": return RandomSearch(config)`, and what follows it."""
    found: list[tuple[str, ast.expr]] = []
    branch: ast.stmt | None = node
    while isinstance(branch, ast.If):
        test, body = branch.test, branch.body
        label = constant(test.comparators[0]) if isinstance(test, ast.Compare) else None
        value = getattr(body[0], "value", None) if len(body) == 1 else None
        if isinstance(value, ast.Call):
            value = value.func
        if isinstance(label, str) and isinstance(value, ast.Name):
            found.append((label, value))
        branch = branch.orelse[0] if len(branch.orelse) == 1 else None
    return found


def _shut_out(
    check: Check, project: Project, module: Module, pairs: list[tuple[str, ast.expr]]
) -> Iterator[Finding]:
    """`"halving": RandomSearch`, while SuccessiveHalving is there and nothing uses it."""
    for label, value in pairs:
        given = value.id if isinstance(value, ast.Name) else ""
        wanted = _stems(label)
        if not wanted or _like(wanted, given):
            continue
        for definition in _all(project):
            name = definition.node.name
            if name == given or not _like(wanted, name) or not _unused(project, definition):
                continue
            if not _is_kind(project, given, definition):
                continue
            yield check.finding(
                "error",
                [project.at(module.path), project.at(definition.module.path)],
                [value.lineno, definition.line],
                f"{label!r} stands for {given}, and {name}, which is called so, is used by "
                "nothing.",
                evidence=module.source(value.lineno),
                fix=f"Let {label!r} stand for {name}.",
            )


def _stems(label: str) -> set[str]:
    found = {word.removesuffix("s") for word in words(label)}
    return found if any(len(word) > 2 for word in found) else set()


def _like(wanted: set[str], name: str) -> bool:
    joined = "".join(words(name))
    return wanted <= _stems(name) or "".join(words("_".join(sorted(wanted)))) == joined


def _is_kind(project: Project, given: str, definition: Definition) -> bool:
    """Both are of the tree, and could stand in one place: a method in common, equal arguments."""
    others = [d for d in _all(project) if d.node.name == given]
    return len(others) == 1 and bool(_shape(others[0]) & _shape(definition))


def _shape(definition: Definition) -> set[object]:
    """Names of the public methods of a class; the names of a function's arguments."""
    node = definition.node
    if isinstance(node, ast.ClassDef):
        methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
        bases = {ast.unparse(base) for base in node.bases} - {"object"}
        return {*(name for name in methods if not name.startswith("__")), *bases}
    arguments = node.args
    return {tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args))}


@once
def _all(project: Project) -> list[Definition]:
    """Functions and classes at the top of modules."""
    return [
        definition
        for module in project.parsed()
        if not is_test_module(module)
        for definition in module.definitions.values()
        if "." not in definition.name
    ]


def _about(check: Check, context: Context) -> Iterator[Finding]:
    """A function or class that only the method is about, new in this tree, and unused."""
    project, spec = context.derived, context.spec
    said = {
        word.removesuffix("s")
        for word in words_of(f"{spec.method} {' '.join(spec.run_variations)}")
        if len(word) >= 4
    } - _COMMON
    if not said:
        return
    old = {d.node.name for d in _all(context.base)} if context.base is not None else set()
    for definition in _all(project):
        node = definition.node
        if node.name in old or node.name.startswith("_") or node.name in _OUTSIDE:
            continue
        if node.decorator_list or not _has_body(node) or _has_bases(node):
            continue
        if not _unused(project, definition):
            continue
        own = {w for word in words(node.name) if (w := word.removesuffix("s")) in said}
        alone = sorted(word for word in own if not _lives(project, definition, word))
        if alone:
            yield check.finding(
                "error",
                project.at(definition.module.path),
                definition.line,
                f"The method speaks of {alone[0]!r}, and the only code for it, {node.name}, is "
                "used by nothing.",
                evidence=definition.module.source(definition.line),
                fix="Call it where the method says, in the variations that have it.",
            )


def words_of(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Za-z]{3,30}", text)]


def _has_bases(node: ast.AST) -> bool:
    """A subclass may be found by its base."""
    return isinstance(node, ast.ClassDef) and bool(node.bases)


def _has_body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return sum(isinstance(inner, ast.stmt) for inner in ast.walk(node)) > MIN_STATEMENTS


def _lives(project: Project, definition: Definition, word: str) -> bool:
    """Whether other code has a name with this word: of a function, a call, or what it imports."""
    inside = set(map(id, ast.walk(definition.node)))
    for module in project.parsed():
        for node in module.nodes:
            if id(node) in inside:
                continue
            name = ""
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = node.name
            elif isinstance(node, ast.Name):
                name = node.id
            elif isinstance(node, ast.Attribute):
                name = node.attr
            elif isinstance(node, ast.arg | ast.keyword):
                name = node.arg or ""
            elif isinstance(node, ast.alias):
                name = "" if node.name == definition.node.name else node.name
            if word in {part.removesuffix("s") for part in words(name)}:
                return True
    return False


CHECK = Check("never-used", "Method Fidelity", "method implemented", _run)
