"""Where code says what is training, validation and test data: displays, calls, assignments."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ohgw.review.code.memo import once
from ohgw.review.code.resolve import names
from ohgw.review.meaning.metrics import (
    Split,
    called,
    enclosing,
    is_test_module,
    name_of,
    quantity,
    split_of,
    words,
)
from ohgw.review.meaning.parts import NO_DATA
from ohgw.review.project import Definition, Module, Project, constant, dotted

_GENERIC = frozenset("data dataset datasets set ds loader loaders dataloader dataloaders split "
                     "splits part parts in".split())  # fmt: skip
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Role:
    """A value that is given a part: `x_test` is the test part of x."""

    label: str
    split: Split
    rest: frozenset[str]
    value: ast.expr
    statement: ast.stmt | None = None  # where roles come from several statements


@dataclass(frozen=True)
class Site:
    """Roles that are given together."""

    module: Module
    scope: ast.AST
    roles: tuple[Role, ...]


def role(label: str, value: ast.expr, statement: ast.stmt | None = None) -> Role | None:
    """None where a name speaks of no split, or of a setting of one."""
    said = words(label)
    split = split_of(label)
    if split is None and {"eval", "evaluation", "heldout", "holdout"} & set(said):
        split = "val" if len(said) > 1 else None
    if split is None or NO_DATA & set(said) or quantity(label):
        return None
    telling = frozenset(word for word in said if split_of(word) is None) - _GENERIC - {"eval"}
    return Role(label, split, telling, value, statement)


@once
def sites(project: Project) -> list[Site]:
    """Of every module but tests; sites with one split only are left out."""
    found = []
    for module in project.parsed():
        if not is_test_module(module):
            found += [site for site in _of(project, module) if _is_telling(site)]
    return found


def _is_telling(site: Site) -> bool:
    return len({role.split for role in site.roles}) > 1


def _of(project: Project, module: Module) -> Iterator[Site]:
    assigned: dict[ast.AST, list[Role]] = {}
    for node in module.nodes:
        if not isinstance(node, ast.Dict | ast.Call | ast.Return | ast.Assign):
            continue
        scope = enclosing(module, node)
        if isinstance(node, ast.Dict):
            labels = [str(constant(key)) if key else "" for key in node.keys]
            yield _site(module, scope, labels, node.values)
        elif isinstance(node, ast.Call):
            yield _site(module, scope, *_arguments(project, module, node))
            yield from _zipped(module, scope, node)
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            for labels in _received(project).get(scope, ()):
                yield _site(module, scope, labels, _flat(node.value))
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Tuple):
                given = _display(module, scope, value)
                if given is not None:
                    labels = [name_of(part) for part in _flat(target)]
                    site = _site(module, scope, labels, _flat(given))
                    yield site
                    if given is value and not _is_telling(site):  # one split a statement
                        assigned.setdefault(scope, []).extend(
                            replace(made, statement=node) for made in site.roles
                        )
                elif made := _unpacked(target, value, node):  # x_val, y_val = data["val"]
                    assigned.setdefault(scope, []).append(made)
            elif made := role(_label(target), value, node):
                assigned.setdefault(scope, []).append(made)
    for scope, roles in assigned.items():
        yield Site(module, scope, tuple(roles))


def _unpacked(target: ast.Tuple, value: ast.expr, statement: ast.stmt) -> Role | None:
    """One part of the data, unpacked into names of one split."""
    labels = [name_of(part) for part in target.elts]
    if len({split_of(label) for label in labels}) != 1 or isinstance(value, ast.Call):
        return None
    return role(labels[0], value, statement)


def _label(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else name_of(target)


def _site(module: Module, scope: ast.AST, labels: list[str], values: list[ast.expr]) -> Site:
    roles = []
    if len(labels) == len(values):
        roles = [made for label, value in zip(labels, values, strict=True)
                 if label and (made := role(label, value))]  # fmt: skip
    return Site(module, scope, tuple(roles))


def _flat(node: ast.expr) -> list[ast.expr]:
    """(a, b), (c, d) is a, b, c, d; of two levels."""
    if not isinstance(node, ast.Tuple | ast.List):
        return [node]
    found: list[ast.expr] = []
    for item in node.elts:
        nested = isinstance(item, ast.Tuple) and not any(
            isinstance(i, ast.Tuple | ast.Starred) for i in item.elts
        )
        found += item.elts if nested and isinstance(item, ast.Tuple) else [item]
    return found


def _display(module: Module, scope: ast.AST, value: ast.expr) -> ast.Tuple | None:
    """The tuple that is unpacked: `parts` and `(f(part) for part in parts)` with `parts = a, b`."""
    if isinstance(value, ast.GeneratorExp | ast.ListComp) and len(value.generators) == 1:
        value = value.generators[0].iter
    elif isinstance(value, ast.Call) and called(value) == "map" and len(value.args) == 2:
        value = value.args[1]
    if isinstance(value, ast.Tuple):
        return value
    if not isinstance(value, ast.Name):
        return None
    given = [
        node.value
        for node in module.nodes
        if isinstance(node, ast.Assign)
        and enclosing(module, node) is scope
        and any(isinstance(t, ast.Name) and t.id == value.id for t in node.targets)
    ]
    return given[0] if len(given) == 1 and isinstance(given[0], ast.Tuple) else None


def _zipped(module: Module, scope: ast.AST, node: ast.Call) -> Iterator[Site]:
    """`zip(("train", "val", "test"), parts)`."""
    if called(node) == "zip" and len(node.args) == 2:
        labels = constant(node.args[0])
        given = _display(module, scope, node.args[1])
        if isinstance(labels, tuple | list) and given is not None:
            yield _site(module, scope, [str(label) for label in labels], given.elts)


def _arguments(
    project: Project, module: Module, node: ast.Call
) -> tuple[list[str], list[ast.expr]]:
    """What the arguments of a call are called; positional ones where the callee is known."""
    labels = [k.arg or "" for k in node.keywords]
    values = [k.value for k in node.keywords]
    if any(isinstance(argument, ast.Starred) for argument in node.args):
        return labels, values
    taken = _parameters(project, module, node)
    for label, value in zip(taken, node.args, strict=False):
        labels.append(label)
        values.append(value)
    return labels, values


def _parameters(project: Project, module: Module, node: ast.Call) -> list[str]:
    receiver = words(name_of(node.func.value)) if isinstance(node.func, ast.Attribute) else ()
    if called(node) == "fit" and "trainer" in receiver:
        return ["model", "train_dataloaders", "val_dataloaders"]
    definition = names(project).definition(module, dotted(node.func)) if node.args else None
    if definition is not None:
        return _taken(definition)
    return _namedtuples(module).get(dotted(node.func), [])


def _taken(definition: Definition) -> list[str]:
    node = definition.node
    if not isinstance(node, ast.ClassDef):
        return [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
    for item in node.body:
        if isinstance(item, _FUNCTIONS) and item.name == "__init__":
            return [a.arg for a in (*item.args.posonlyargs, *item.args.args)][1:]
    return [
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]


def _namedtuples(module: Module) -> dict[str, list[str]]:
    """`Splits = namedtuple("Splits", "train val test")`."""
    found = {}
    for node in module.tree.body if module.tree else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if called(node.value) == "namedtuple" and len(node.value.args) == 2:
                fields = constant(node.value.args[1])
                if isinstance(fields, str):
                    fields = fields.replace(",", " ").split()
                if isinstance(fields, list | tuple):
                    found[name_of(node.targets[0])] = [str(field) for field in fields]
    return found


@once
def _received(project: Project) -> dict[ast.AST, list[list[str]]]:
    """By function: the names that callers unpack its result into."""
    by_name: dict[str, list[Definition]] = {}
    for module in project.parsed():
        for definition in module.definitions.values():
            by_name.setdefault(definition.name.rpartition(".")[2], []).append(definition)
    found: dict[ast.AST, list[list[str]]] = {}
    for module in project.parsed():
        for node in module.nodes:
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
                continue
            target = node.targets[0]
            same = by_name.get(called(node.value), [])
            if len(same) != 1 or same[0].is_class or not isinstance(target, ast.Tuple):
                continue
            labels = [name_of(part) for part in _flat(target)]
            if labels not in found.setdefault(same[0].node, []):
                found[same[0].node].append(labels)
    return found
