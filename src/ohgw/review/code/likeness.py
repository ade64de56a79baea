"""What a piece of code does, apart from how it is written: for telling renamed from removed.

A body is read as a list of lines, each a control structure or an expression with everything that
people change freely taken out: names of their own, formatting, docstrings, type hints, messages to
the log. Calls, attributes, operators and constants stay. Nothing here recurses on the code.
"""

import ast
import builtins
import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
_BUILTINS = frozenset(dir(builtins))

# Calls that say something to a person; what they say is no part of what the code does.
_TALK = frozenset(
    "print pprint debug info warning warn error exception critical log write echo secho "
    "set_description set_postfix set_postfix_str getLogger basicConfig".split()
)
_SPEAKERS = frozenset(
    "logger logging log LOGGER _logger tqdm warnings click console pbar rich stdout stderr "
    "progress bar".split()
)
_DULL_CONSTANTS = frozenset(map(repr, (None, True, False, 0, 1, 2, -1, 0.0, 1.0, "", " ", ...)))


class _All:
    """Every name there may be."""

    def __contains__(self, name: object) -> bool:
        return True


_ALL = _All()


@dataclass(frozen=True)
class Line:
    """One statement: its depth of nesting and what is left of it."""

    depth: int
    key: str
    line: int
    weight: int  # how many nodes are left
    gives: bool = False  # a value to the caller
    test: str = ""  # of an `if`, with all its names


@dataclass(frozen=True)
class Body:
    """What a function, a class or the top level of a module does."""

    lines: tuple[Line, ...]
    atoms: Counter[str]  # calls, attributes, operators, constants, names from outside

    @cached_property
    def size(self) -> int:
        return self.atoms.total()

    @cached_property
    def shape(self) -> str:
        """Equal for bodies that differ in writing alone."""
        text = "\n".join(f"{line.depth}:{line.key}" for line in self.lines)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def keys(self) -> Counter[str]:
        return Counter(line.key for line in self.lines)


def coverage(part: Counter[str], whole: Counter[str]) -> float:
    """How much of `part` is in `whole`; 1 for an empty part."""
    total = part.total()
    return (part & whole).total() / total if total else 1.0


def outside_names(nodes: Iterable[ast.AST], own: Container[str]) -> frozenset[str]:
    """Names that mean the same in every tree: built-in ones, and imported ones but for `own`."""
    found = set(_BUILTINS)
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            if not node.level and (node.module or "").partition(".")[0] not in own:
                found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                if top not in own:
                    found.add(alias.asname or top)
    return frozenset(found)


def body_of(nodes: list[ast.stmt], outside: frozenset[str]) -> Body:
    """`nodes` is the body of a definition, or of a module."""
    lines: list[Line] = []
    atoms: Counter[str] = Counter()
    for depth, statement in statements(nodes):
        if isinstance(statement, Else):
            lines.append(Line(depth, "Else", statement.line, 0))
            continue
        if _is_talk(statement):
            continue
        words = _statement_tokens(statement, outside)
        if words is None:
            continue
        gives = isinstance(statement, ast.Return) and not _is_none(statement.value)
        test = " ".join(tokens(statement.test, _ALL)) if isinstance(statement, ast.If) else ""
        lines.append(Line(depth, " ".join(words), statement.lineno, len(words), gives, test))
        atoms.update(word for word in words if _is_atom(word))
    return Body(tuple(lines), atoms)


@dataclass(frozen=True)
class Else:
    """Where the `else` of a statement begins."""

    line: int


def statements(nodes: list[ast.stmt]) -> Iterator[tuple[int, ast.stmt | Else]]:
    """Every statement with its depth, in the order of the source, without docstrings.

    Nested definitions are walked through; an `elif` is as deep as its `if`.
    """
    pending: list[tuple[int, ast.stmt | Else, bool]]
    pending = [(0, node, k == 0) for k, node in enumerate(nodes)]
    pending.reverse()
    while pending:
        level, node, first = pending.pop()
        if first and isinstance(node, ast.Expr) and _is_text(node.value):
            continue
        yield level, node
        if isinstance(node, Else):
            continue
        inside: list[tuple[int, ast.stmt | Else, bool]] = []
        starts = isinstance(node, DEFINITIONS)
        for part, block in _blocks(node):
            deeper = level + 1
            if part == "orelse" and isinstance(node, ast.If) and isinstance(block[0], ast.If):
                deeper = level
            elif part == "orelse":
                inside.append((level, Else(block[0].lineno), False))
            inside += [(deeper, child, starts and k == 0) for k, child in enumerate(block)]
        pending.extend(reversed(inside))


def _blocks(node: ast.stmt) -> Iterator[tuple[str, list[ast.stmt]]]:
    """The lists of statements directly inside one statement."""
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        part = getattr(node, name, None)
        if not isinstance(part, list) or not part:
            continue
        if isinstance(part[0], ast.stmt):
            yield name, part
        else:  # handlers of a try, cases of a match
            yield from ((name, item.body) for item in part)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_none(node: ast.AST | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def _is_talk(statement: ast.stmt) -> bool:
    """print(...), logger.info(...), a bare string."""
    if not isinstance(statement, ast.Expr):
        return isinstance(statement, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal)
    value = statement.value
    if isinstance(value, ast.Constant):
        return True
    if not isinstance(value, ast.Call):
        return False
    function = value.func
    if isinstance(function, ast.Name):
        return function.id in _TALK
    if not isinstance(function, ast.Attribute) or function.attr not in _TALK:
        return False
    owner = function.value
    while isinstance(owner, ast.Attribute):
        if owner.attr in _SPEAKERS:
            return True
        owner = owner.value
    return isinstance(owner, ast.Name) and owner.id in _SPEAKERS


def _statement_tokens(node: ast.stmt, outside: Container[str]) -> list[str] | None:
    """What is left of one statement without the statements inside it; None for nothing."""
    if isinstance(node, ast.Pass):
        return None
    if isinstance(node, DEFINITIONS):
        return ["def"]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        if node.value is None:
            return None
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        kept = [t for t in targets if not _is_local(t)]
        return [token for t in kept for token in tokens(t, outside)] + tokens(node.value, outside)
    if isinstance(node, ast.AugAssign):
        operator = type(node.op).__name__
        return ["BinOp", operator, *tokens(node.target, outside), *tokens(node.value, outside)]
    if isinstance(node, ast.Return | ast.Expr):
        return tokens(node.value, outside) if node.value is not None else ["return"]
    if isinstance(node, ast.If | ast.While):
        return [type(node).__name__, *tokens(node.test, outside)]
    if isinstance(node, ast.For | ast.AsyncFor):
        return ["For", *tokens(node.iter, outside)]
    if isinstance(node, ast.With | ast.AsyncWith):
        return ["With", *(t for item in node.items for t in tokens(item.context_expr, outside))]
    if isinstance(node, ast.Raise):
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ["Raise", *(tokens(error, outside) if error else ())]
    if isinstance(node, ast.Assert):
        return ["Assert", *tokens(node.test, outside)]
    if isinstance(node, ast.Match):
        return ["Match", *tokens(node.subject, outside)]
    return [type(node).__name__]


def _is_local(target: ast.AST) -> bool:
    """Assignment to plain names leaves nothing but its value."""
    if isinstance(target, ast.Tuple | ast.List):
        return all(isinstance(item, ast.Name) for item in target.elts)
    return isinstance(target, ast.Name)


def tokens(root: ast.AST, outside: Container[str]) -> list[str]:
    """An expression as a list of words, outermost first."""
    found: list[str] = []
    pending: list[ast.AST] = [root]
    while pending:
        node = pending.pop()
        children: list[ast.AST] = []
        if isinstance(node, ast.Name):
            found.append(f"name:{node.id}" if node.id in outside else "_")
        elif isinstance(node, ast.Attribute):
            mine = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            found.append("self._" if mine else f"attr:{node.attr}")
            children = [] if mine else [node.value]
        elif isinstance(node, ast.Constant):
            found.append(_constant(node.value))
        elif isinstance(node, ast.JoinedStr):
            found.append("text")
            children = [p.value for p in node.values if isinstance(p, ast.FormattedValue)]
        elif isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp):
            found += [type(node).__name__, type(node.op).__name__]
            children = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)]
        elif isinstance(node, ast.Compare):
            found += ["Compare", *(type(op).__name__ for op in node.ops)]
            children = [node.left, *node.comparators]
        elif isinstance(node, ast.Call):
            found.append("Call")
            keywords = sorted(node.keywords, key=lambda keyword: keyword.arg or "")
            children = [node.func, *node.args, *keywords]
        elif isinstance(node, ast.keyword):
            found.append(f"key:{node.arg}")
            children = [node.value]
        elif isinstance(node, ast.Lambda):
            found.append("Lambda")
            children = [node.body]
        elif not isinstance(node, ast.expr_context):
            found.append(type(node).__name__)
            children = list(ast.iter_child_nodes(node))
        pending.extend(reversed(children))
    return found


def _constant(value: object) -> str:
    if isinstance(value, float) and value == int(value) if _finite(value) else False:
        value = int(value)  # type: ignore[call-overload]  # 1.0 is 1
    if isinstance(value, str | bytes) and len(value) > 60:
        return "text"
    return f"={value!r}"


def _finite(value: object) -> bool:
    return isinstance(value, float) and abs(value) < 1e15


def _is_atom(token: str) -> bool:
    kind, _, rest = token.partition(":")
    if kind in ("name", "attr", "key") and rest:
        return True
    return token.startswith("=") and token[1:] not in _DULL_CONSTANTS
