"""Rankings of which only the head goes on, against what they rank by."""

import ast
from collections.abc import Iterator

from ohgw.review.meaning.measures import Measured, agreed, direct, measured
from ohgw.review.meaning.metrics import called, enclosing, keyword, name_of, number, words
from ohgw.review.project import Module, Project, constant

_CONTRARY = frozenset(
    "worst hard hardest difficult bad bottom lowest highest reject rejected drop dropped "
    "fail failed stop stopped prune pruned losers kill killed remove removed "
    "discard eliminated".split()
)
_SORTS = frozenset({"sorted", "sort", "argsort"})


def contradictions(project: Project, module: Module) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) of every ranking whose worse end is kept."""
    for node in module.nodes:
        if not isinstance(node, ast.Call) or called(node) not in _SORTS:
            continue
        ends = _ends(module, node)
        if not ends:
            continue
        own = _ranked(project, module, node)
        turned = constant(keyword(node, "reverse") or keyword(node, "descending"))
        descending = False if turned is ... else turned
        if own is None or not isinstance(descending, bool):
            continue
        if (keyword(node, "reverse") or keyword(node, "descending")) and turned is ...:
            continue
        for head in ends:
            if own.upwards != (descending == head):
                side = "highest" if descending == head else "lowest"
                sign = "minus the " if own.negated else ""
                better = "higher" if own.higher else "lower"
                yield (
                    node.lineno,
                    f"Those with the {side} of {sign}{own.name} go on, but {better} {own.name} "
                    "is better.",
                )
                break


def _ends(module: Module, node: ast.Call) -> set[bool]:
    """True where the head of the ranking is taken, False where its tail is."""
    parent = module.parents.get(node)
    scope = enclosing(module, node)
    if _CONTRARY & set(words(getattr(scope, "name", ""))):
        return set()
    if isinstance(parent, ast.Call) and called(parent) in ("list", "reversed", "tolist"):
        return set()
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return _end(module, parent)
    name = ""
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
        name = parent.targets[0].id
    elif called(node) == "sort" and isinstance(node.func, ast.Attribute) and not node.args:
        name = name_of(node.func.value) if isinstance(node.func.value, ast.Name) else ""
    if not name or _CONTRARY & set(words(name)):
        return set()
    assigned = [
        inner
        for inner in ast.walk(scope)
        if isinstance(inner, ast.Call) and called(inner) in ("reverse", "sort", "flip")
        if isinstance(inner.func, ast.Attribute) and name_of(inner.func.value) == name
    ]
    if any(inner is not node for inner in assigned):
        return set()
    found: set[bool] = set()
    for inner in ast.walk(scope):
        if isinstance(inner, ast.Subscript) and isinstance(inner.value, ast.Name):
            if inner.value.id == name and inner.lineno >= node.lineno:
                found |= _end(module, inner)
    return found if len(found) == 1 else set()


def _end(module: Module, node: ast.Subscript) -> set[bool]:
    """Of `ranked[:n]`, `ranked[0]`, `ranked[-n:]`; nothing for what is called the worst."""
    if not isinstance(node.ctx, ast.Load) or _CONTRARY & _target(module, node):
        return set()
    where = node.slice
    if isinstance(where, ast.Slice):
        step = number(where.step)
        if where.step is not None and step != 1:
            return set()
        if where.lower is None and where.upper is not None:
            return set() if _negative(where.upper) else {True}
        if where.upper is None and where.lower is not None and _negative(where.lower):
            return {False}
        return set()
    return {True} if number(where) == 0 else {False} if number(where) == -1 else set()


def _negative(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def _target(module: Module, node: ast.AST) -> set[str]:
    """Words of what a value is assigned to."""
    while not isinstance(node, ast.stmt):
        up = module.parents.get(node)
        if up is None:
            return set()
        node = up
    targets = node.targets if isinstance(node, ast.Assign) else []
    looped = [node.iter] if isinstance(node, ast.For) else []
    names = [name_of(t) for t in targets] + [name_of(t) for t in looped]
    said = {w for name in names for w in words(name)}
    if isinstance(node, ast.For):
        said |= {
            w
            for inner in ast.walk(node)
            if isinstance(inner, ast.Attribute | ast.Name)
            for w in words(name_of(inner))
        } & _CONTRARY
    return said


def _ranked(project: Project, module: Module, node: ast.Call) -> Measured | None:
    """What a sort compares, where that is a quantity."""
    key = keyword(node, "key")
    if isinstance(key, ast.Lambda):
        body = key.body
        while isinstance(body, ast.Tuple) and body.elts:
            body = body.elts[0]
        return agreed(_of_key(project, module, node, key, body))
    if isinstance(key, ast.Call) and called(key) in ("itemgetter", "attrgetter") and key.args:
        value = constant(key.args[0])
        return direct(ast.Name(value)) if isinstance(value, str) and value.isidentifier() else None
    if key is not None:
        if isinstance(key, ast.Attribute) and key.attr in ("get", "__getitem__"):
            return agreed(measured(project, module, key))
        probe = ast.Call(key, [], [])
        return direct(probe) or agreed(_functions(project, module, key))
    if called(node) == "argsort":
        subject = node.args[0] if node.args else getattr(node.func, "value", None)
        return agreed(measured(project, module, subject)) if subject is not None else None
    return None


def _of_key(
    project: Project, module: Module, node: ast.Call, key: ast.Lambda, body: ast.expr
) -> set[Measured]:
    found = measured(project, module, body)
    if found:
        return found
    if isinstance(body, ast.Call):
        return _functions(project, module, body.func)
    if isinstance(body, ast.Subscript) and isinstance(body.value, ast.Name):
        place = constant(body.slice)
        if body.value.id == key.args.args[0].arg and isinstance(place, int):
            return _element(project, module, node, place)
    return set()


def _element(project: Project, module: Module, node: ast.Call, place: int) -> set[Measured]:
    """Of tuples that are appended to what is sorted, the one at a place."""
    holder = node.args[0] if node.args else getattr(node.func, "value", None)
    if not isinstance(holder, ast.Name):
        return set()
    found: set[Measured] = set()
    for inner in ast.walk(enclosing(module, node)):
        value: ast.AST | None = None
        if isinstance(inner, ast.Call) and called(inner) == "append" and inner.args:
            if isinstance(inner.func, ast.Attribute) and name_of(inner.func.value) == holder.id:
                value = inner.args[0]
        elif isinstance(inner, ast.Assign) and name_of(inner.targets[0]) == holder.id:
            value = inner.value.elt if isinstance(inner.value, ast.ListComp) else None
        if isinstance(value, ast.Tuple) and -len(value.elts) <= place < len(value.elts):
            found |= measured(project, module, value.elts[place])
    return found


def _functions(project: Project, module: Module, node: ast.expr) -> set[Measured]:
    """Of the functions that `self.score` may be: a registry's values, where it came from one."""
    from ohgw.review.code.flow import flow
    from ohgw.review.code.flow.values import Ref

    found: set[Measured] = set()
    answers = flow(project)
    for item in answers.record.values.get(node, ()):
        if isinstance(item, Ref) and not item.definition.is_class:
            probe = ast.Call(ast.Name(item.definition.node.name), [], [])
            own = direct(probe)
            if own is None:
                return set()
            found.add(own)
    return found
