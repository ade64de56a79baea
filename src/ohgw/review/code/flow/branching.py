"""Branches on a value of the configuration: which values they know, and what becomes of others."""

import ast
from dataclasses import dataclass

from ohgw.review.code.flow.reads import Flow, flow
from ohgw.review.code.flow.uses import Use, constants, keys_of_registry, uses
from ohgw.review.code.flow.values import At, Ref
from ohgw.review.code.memo import once
from ohgw.review.code.nodes import Node
from ohgw.review.meaning.runs import runs
from ohgw.review.project import Module, Project, constant, dotted


@dataclass(frozen=True)
class Branch:
    """One question that code asks of a value."""

    use: Use
    known: frozenset[str]  # the values it tells apart, in lower case
    refuses: bool  # whether any other value raises
    certain: bool  # False where the question cannot be understood
    line: int


@once
def _cache(project: Project) -> dict[int, list[Branch]]:
    return {}


def branches_on(project: Project, leaf: Node) -> list[Branch]:
    """Every question asked of a scalar: if-chains, match statements, registries."""
    known = _cache(project)
    key = id(leaf.origin)
    if key not in known:
        answers = flow(project)
        known[key] = [
            _branch(answers, use, leaf)
            for use in uses(answers, leaf)
            if use.kind in ("test", "registry")
        ]
    return known[key]


def _branch(answers: Flow, use: Use, leaf: Node) -> Branch:
    module, expr = use.module, use.expr
    line = getattr(expr, "lineno", 1)
    if use.kind == "registry":
        return _registry(answers, use, line)
    test = module.parents.get(expr)
    if isinstance(test, ast.Match):
        return _match(use, test, line)
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return Branch(use, frozenset(), False, False, line)
    other = test.comparators[0] if test.left is expr else test.left
    values = [value for value in constants(other) if isinstance(value, str)]
    operator = test.ops[0]
    contained = isinstance(operator, ast.In | ast.NotIn)
    display = isinstance(other, ast.Tuple | ast.List | ast.Set | ast.Dict)
    if contained and test.left is expr and not display:
        keys = keys_of_registry(answers, other) if isinstance(other, ast.expr) else None
        if keys is None:
            return Branch(use, frozenset(), False, False, line)
        values = keys
    elif not values or (contained and test.left is not expr):
        return Branch(use, frozenset(), False, False, line)
    statement = _statement(module, test)
    known, refuses, certain = _chain(answers, module, statement, leaf)
    if isinstance(operator, ast.NotEq | ast.NotIn):
        refuses = isinstance(statement, ast.If) and _raises(statement.body)
    return Branch(use, _lower(values) | known, refuses, certain, line)


def _lower(values: list[str]) -> frozenset[str]:
    return frozenset(value.lower() for value in values)


def _registry(answers: Flow, use: Use, line: int) -> Branch:
    parent = use.module.parents.get(use.expr)
    base: ast.expr | None = None
    refuses = False
    if isinstance(parent, ast.Subscript):
        base, refuses = parent.value, True
    elif isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute):
        base = parent.func.value
    keys = keys_of_registry(answers, base) if base is not None else None
    if keys is None:
        return Branch(use, frozenset(), False, False, line)
    return Branch(use, _lower(keys), refuses, True, line)


def _match(use: Use, node: ast.Match, line: int) -> Branch:
    known: list[str] = []
    refuses, certain = False, True
    for case in node.cases:
        values = [v for v in constants(case.pattern) if isinstance(v, str)]
        known += values
        if isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None:
            refuses = _raises(case.body)
        elif not values:
            certain = False
    return Branch(use, _lower(known), refuses, certain, line)


def _statement(module: Module, node: ast.AST) -> ast.AST | None:
    """The statement (or conditional expression) whose test a comparison is."""
    current = module.parents.get(node)
    while current is not None and not isinstance(current, ast.stmt | ast.IfExp):
        current = module.parents.get(current)
    return current


def _chain(
    answers: Flow, module: Module, statement: ast.AST | None, leaf: Node
) -> tuple[frozenset[str], bool, bool]:
    """What a whole if-elif chain and the ifs beside it know; whether they refuse the rest."""
    if not isinstance(statement, ast.If):
        return frozenset(), False, True
    top: ast.If = statement
    while isinstance(parent := module.parents.get(top), ast.If) and parent.orelse == [top]:
        top = parent
    block = _block(module, top)
    chains = [top]
    for other in block:
        if isinstance(other, ast.If) and other is not top and _asks(answers, other.test, leaf):
            chains.append(other)
    known: set[str] = set()
    refuses, certain = False, True
    for chain in chains:
        current = chain
        while True:
            found, sure = _values(answers, current.test, leaf)
            known |= found
            certain = certain and sure
            following = current.orelse
            if len(following) == 1 and isinstance(following[0], ast.If):
                current = following[0]
                continue
            if following:
                refuses = refuses or (chain is top and _raises(following))
            break
    if not refuses and all(_leaves(chain) for chain in chains):
        last = max((block.index(chain) for chain in chains if chain in block), default=-1)
        refuses = _raises(block[last + 1 : last + 2])
    return frozenset(known), refuses, certain


def _block(module: Module, node: ast.stmt) -> list[ast.stmt]:
    """The statements beside one."""
    parent = module.parents.get(node)
    for name in ("body", "orelse", "finalbody"):
        block = getattr(parent, name, None)
        if isinstance(block, list) and node in block:
            return block
    return [node]


def _asks(answers: Flow, test: ast.AST, leaf: Node) -> bool:
    return any(
        part.origin is leaf.origin for item in ast.walk(test) for part in answers.parts(item)
    )


def _values(answers: Flow, test: ast.expr, leaf: Node) -> tuple[set[str], bool]:
    """The strings that a test compares the value with; whether that is all it asks of it."""
    if not _asks(answers, test, leaf):
        return set(), True  # asks something else: the value's own branches stand elsewhere
    found: set[str] = set()
    sure = True
    for item in ast.walk(test):
        if isinstance(item, ast.Compare) and _asks(answers, item, leaf):
            found |= {v.lower() for v in constants(item) if isinstance(v, str)}
            for other in item.comparators:
                if isinstance(other, ast.Name | ast.Attribute):
                    keys = keys_of_registry(answers, other)
                    sure = sure and keys is not None
                    found |= {key.lower() for key in keys or ()}
        elif isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute):
            if item.func.attr in ("startswith", "endswith", "find", "match", "search", "count"):
                sure = False
    return found, sure


def _raises(body: list[ast.stmt]) -> bool:
    """Whether statements end the run: they raise, or leave by the parser or the interpreter."""
    if not body:
        return False
    last = body[-1]
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        name = dotted(last.value.func)
        return name in ("sys.exit", "exit", "quit", "os._exit") or name.endswith("parser.error")
    return isinstance(last, ast.Raise)


def _leaves(node: ast.If) -> bool:
    """Whether every body of an if-chain leaves the function or the loop."""
    current: ast.If | None = node
    while current is not None:
        if not isinstance(current.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
            return False
        following = current.orelse
        current = following[0] if following and isinstance(following[0], ast.If) else None
    return True


def guarded(
    answers: Flow, module: Module, node: ast.AST, leaf: Node | None = None, depth: int = 0
) -> bool:
    """Whether code may be skipped by some configuration: by that of `leaf`, where it is given.

    An `if` on a configuration stands above it, or above every call of its function.
    """
    child, current = node, module.parents.get(node)
    while current is not None:
        if isinstance(current, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            calls = answers.callers.get(current, [])
            if not calls or depth >= 5:
                return False
            return all(
                (chosen and not _chooses(answers, call, current, leaf))
                or (own := answers.module_of.get(call)) is None
                or guarded(answers, own, call, leaf, depth + 1)
                for call, chosen in calls
            )
        if isinstance(current, ast.If | ast.IfExp) and child is not current.test:
            in_body = child is current.body or (
                isinstance(current.body, list) and child in current.body
            )
            asks = asks_configuration(answers, current.test)
            if asks and truth(answers, current.test, leaf) is not in_body:
                of_chain = isinstance(child, ast.If) and not in_body and leaf is None
                if not of_chain:
                    return True
        if isinstance(current, ast.Try) and child in current.body:
            if not all(_raises(handler.body) for handler in current.handlers):
                return True
        if isinstance(current, ast.ExceptHandler | ast.match_case):
            return True
        child, current = current, module.parents.get(current)
    return False


def asks_configuration(answers: Flow, test: ast.expr) -> bool:
    """Whether a test depends on a setting as it is written, not on numbers made of some."""
    return any(
        isinstance(item, At) and not item.derived
        for node in ast.walk(test)
        for item in answers.record.values.get(node, ())
    )


def reachable(answers: Flow, module: Module, node: ast.AST, depth: int = 0) -> bool:
    """Whether some configuration that is there leads to this code, as far as can be told."""
    child, current = node, module.parents.get(node)
    while current is not None:
        if isinstance(current, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            calls = answers.callers.get(current, [])
            if not calls or depth >= 5:
                return True
            return any(
                (own := answers.module_of.get(call)) is not None
                and reachable(answers, own, call, depth + 1)
                for call, _ in calls
            )
        if isinstance(current, ast.If | ast.IfExp) and child is not current.test:
            in_body = child is current.body or (
                isinstance(current.body, list) and child in current.body
            )
            if asks_configuration(answers, current.test):
                if not _possible(answers, current.test, in_body):
                    return False
        if isinstance(current, ast.Try) and child in current.body:
            if not all(_raises(handler.body) for handler in current.handlers):
                return False
        if isinstance(current, ast.ExceptHandler | ast.match_case):
            return False
        child, current = current, module.parents.get(current)
    return True


def _possible(answers: Flow, test: ast.expr, wanted: bool) -> bool:
    """Whether some value of the settings makes a test true (or false)."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _possible(answers, test.operand, not wanted)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        operator, right = test.ops[0], constant(test.comparators[0])
        values = [part.value for part in answers.parts(test.left) if part.is_scalar]
        if isinstance(operator, ast.NotEq | ast.NotIn):
            wanted = not wanted
        if isinstance(operator, ast.Eq | ast.NotEq) and right is not ...:
            return any((_lowered(v) == _lowered(right)) is wanted for v in values)
        if isinstance(operator, ast.In | ast.NotIn) and isinstance(right, tuple | list | set):
            return any((v in right) is wanted for v in values)
        return False
    values = [part.value for part in answers.parts(test) if part.is_scalar]
    return any(bool(value) is wanted for value in values)


def _lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _chooses(answers: Flow, call: ast.Call, function: ast.AST, leaf: Node | None) -> bool:
    """Whether `REGISTRY[x](...)` calls this function for the configuration of `leaf`."""
    if leaf is None or not isinstance(call.func, ast.Subscript):
        return False
    value = _value(answers, call.func.slice, leaf)
    if not isinstance(value, str):
        return False
    base = answers.record.values.get(call.func.value, frozenset())
    for item in answers.solver.item(base, value):
        node = item.definition.node if isinstance(item, Ref) else None
        if node is function or (isinstance(node, ast.ClassDef) and function in node.body):
            return True
    return False


def truth(answers: Flow, test: ast.expr, leaf: Node | None) -> bool | None:
    """What a test on a configuration gives for the variation of `leaf`; None where unknown."""
    if leaf is None:
        return None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = truth(answers, test.operand, leaf)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        parts = [truth(answers, value, leaf) for value in test.values]
        deciding = isinstance(test.op, ast.Or)
        if deciding in parts:
            return deciding
        return None if None in parts else not deciding
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        left = _value(answers, test.left, leaf)
        right = constant(test.comparators[0])
        if left is ... or right is ...:
            return None
        if isinstance(left, str) and ".lower()" in ast.unparse(test.left):
            left = left.lower()
        operator = test.ops[0]
        if isinstance(operator, ast.Eq | ast.NotEq):
            return (left == right) is isinstance(operator, ast.Eq)
        if isinstance(operator, ast.In | ast.NotIn) and isinstance(right, tuple | list | set):
            return (left in right) is isinstance(operator, ast.In)
        return None
    value = _value(answers, test, leaf)
    return value if isinstance(value, bool) else None


def _value(answers: Flow, expr: ast.expr, leaf: Node) -> object:
    """The one value that an expression has in the variation of `leaf`; ... where unknown."""
    own = within(answers.project, leaf)
    found = [n for n in answers.parts(expr) if within(answers.project, n) is own and n.is_scalar]
    values = {repr(node.value): node.value for node in found}
    return next(iter(values.values())) if len(values) == 1 else ...


def within(project: Project, node: Node) -> Node:
    """The variation that a node belongs to, or its file."""
    holders = _holders(project)
    current = node.origin
    while current.parent is not None and current not in holders:
        current = current.parent
    return current


@once
def _holders(project: Project) -> frozenset[Node]:
    return frozenset(run.node for run in runs(project))
