"""Lines of the base that the derived code kept, with the one thing that matters turned round."""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import called, name_of, number, quantity, split_of, words
from ohgw.review.pairing import Difference, Pair, names_in, pairs, size, statement_counts
from ohgw.review.project import Definition, Module, Project, constant

_UP = (ast.Gt, ast.GtE)
_DOWN = (ast.Lt, ast.LtE)
_OPPOSITES = {
    "argmax": "argmin", "max": "min", "idxmax": "idxmin", "nlargest": "nsmallest",
    "nanargmax": "nanargmin", "amax": "amin", "nanmax": "nanmin", "maximize": "minimize",
}  # fmt: skip
_OPPOSITES |= {value: key for key, value in _OPPOSITES.items()}
_ORDERS = frozenset("reverse ascending descending largest greater_is_better".split())
_TRANSFORMS = frozenset("exp exp2 sqrt log log2".split())
_STEPS = frozenset("grad grads gradient gradients lr rate eta learning alpha".split())
_NO_DATA = frozenset("transform transforms tfm tfms tf size aug augment path dir batch".split())
_DIVIDERS = frozenset("random_split Subset train_test_split KFold StratifiedKFold split".split())
SHARE = 0.5  # of a base function that has to be found again under another name


def _run(check: Check, context: Context) -> Iterator[Finding]:
    base, derived, comparison = context.base, context.derived, context.comparison
    if base is None or comparison is None:
        return
    blocks: list[tuple[Block, Block]] = []
    for fate in comparison.fates:
        if fate.new is None or fate.old.is_class:
            continue
        if fate.kind == "kept" or fate.share >= SHARE:
            blocks += _with_inner(fate.old.definition, fate.new.definition)
    for module in base.parsed():
        new = derived.modules.get(module.path)
        if module.tree is not None and new is not None and new.tree is not None:
            blocks.append((
                Block(module.path, module.tree.body, module), Block(new.path, new.tree.body, new),
            ))  # fmt: skip
    everywhere = _statements(derived)
    for old, latest in blocks:
        found = pairs(old.body, latest.body, everywhere)
        yield from _judged(check, base, derived, old, latest, found)


@dataclass(frozen=True)
class Block:
    """The body of a function, or what a module does outside of functions."""

    name: str
    body: list[ast.stmt]
    module: Module


def _with_inner(old: Definition, new: Definition) -> Iterator[tuple[Block, Block]]:
    """Two functions, and those inside of them that have the same names."""
    yield (
        Block(old.name, old.node.body, old.module),
        Block(new.name, new.node.body, new.module),
    )
    there = {node.name: node for node in _inner(new.node)}
    for node in _inner(old.node):
        if node.name in there:
            name, body = f"{new.name}.{node.name}", there[node.name].body
            yield Block(name, node.body, old.module), Block(name, body, new.module)


def _inner(node: ast.AST) -> list[ast.FunctionDef]:
    return [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n is not node]


def _statements(derived: Project) -> Counter[str]:
    """How often each statement stands anywhere in the newer tree."""
    bodies: list[list[ast.stmt]] = []
    for module in derived.parsed():
        bodies.append(module.tree.body if module.tree else [])
        bodies += [n.body for n in module.nodes if isinstance(n, ast.FunctionDef)]
    return statement_counts(bodies)


def _judged(
    check: Check,
    base: Project,
    derived: Project,
    old: Block,
    new: Block,
    found: list[Pair],
) -> Iterator[Finding]:
    for pair in found:
        said = _turned(pair, old, new)
        if said:
            before, after = old.module.source(pair.old_line), new.module.source(pair.line)
            yield check.finding(
                "error",
                [derived.at(new.module.path), base.at(old.module.path)],
                [pair.line, pair.old_line],
                f"{new.name} {said}; the rest of the line is the base's.",
                evidence=f"base: {before}\nderived: {after}",
                fix="Put back what the base does, or change what the line is about with it.",
            )


def _turned(pair: Pair, before: Block, function: Block) -> str:
    """What a pair turns round; empty where it does not, or where the subject changed too."""
    if not pair.differences or _subject_changed(pair) or _is_another(pair):
        return ""
    swapped = _swapped(pair)
    if swapped:
        return swapped
    if said := _held_out(pair) or _flag(pair, before, function):
        return said
    for difference in pair.differences:
        said = _harm(difference, pair, function)
        if said:
            return said
    return ""


def _is_another(pair: Pair) -> bool:
    """Whether so much differs, or what is assigned, that it is no version of the older line."""
    for difference in pair.differences:
        if isinstance(getattr(difference.new, "ctx", None), ast.Store):
            if len(pair.differences) > 1 and split_of(name_of(difference.new)):
                return True
    changed = sum(size(d.new) for d in pair.differences)
    return changed * 2 > size(pair.new) and len(pair.differences) > 1


def _subject_changed(pair: Pair) -> bool:
    """Whether the line is about another quantity: then its direction may change with it."""
    one = Counter(q for name in names_in(pair.old) if (q := quantity(name)))
    other = Counter(q for name in names_in(pair.new) if (q := quantity(name)))
    return bool(one and other and {q[1] for q in one} != {q[1] for q in other})


def _swapped(pair: Pair) -> str:
    """`{"a": f, "b": g}` that became `{"a": g, "b": f}`."""
    if len(pair.differences) == 2:
        first, second = pair.differences
        names = [name_of(node) for d in (first, second) for node in (d.old, d.new)]
        if names[0] and names[0] == names[3] and names[1] == names[2] and names[0] != names[1]:
            if any(quantity(name) or split_of(name) for name in names[:2]):
                return f"exchanges {names[0]} and {names[1]}"
    return ""


def _held_out(pair: Pair) -> str:
    """Several places at once: `score(x_val, y_val)` that became `score(x_train, y_train)`."""
    labels = []
    for difference in pair.differences:
        old, new = difference.old, difference.new
        if type(old) is not type(new) or not isinstance(
            old, ast.Name | ast.Attribute | ast.Constant
        ):
            return ""
        if isinstance(getattr(new, "ctx", None), ast.Store):
            return ""
        assert isinstance(new, ast.expr)
        one, other = _label(old), _label(new)
        if split_of(one) not in ("val", "test") or split_of(other) != "train":
            return ""
        rest = [[w for w in words(label) if split_of(w) is None] for label in (one, other)]
        if rest[0] != rest[1] or set(rest[0]) & _NO_DATA:
            return ""
        labels.append((one, other))
    one, other = labels[0]
    return f"uses {other!r} where the base uses {one!r}"


def _flag(pair: Pair, before: Block, after: Block) -> str:
    """`MNIST(root, train=False)` that became `train=True`, unless a new line then splits it."""
    for difference in pair.differences:
        owner = difference.path[-1] if difference.path else None
        if isinstance(owner, ast.keyword) and owner.arg in ("train", "is_train", "training"):
            if constant(difference.old) is False and constant(difference.new) is True:
                if not _dividers(after) - _dividers(before):
                    return f"says {owner.arg}=True where the base says {owner.arg}=False"
    return ""


def _dividers(block: Block) -> set[str]:
    calls = (n for b in block.body for n in ast.walk(b) if isinstance(n, ast.Call))
    return {called(node) for node in calls} & _DIVIDERS


def _harm(difference: Difference, pair: Pair, function: Block) -> str:
    old, new = difference.old, difference.new
    if isinstance(old, ast.cmpop) and isinstance(new, ast.cmpop):
        return _comparison(old, new, difference)
    if isinstance(old, ast.Attribute | ast.Name) and isinstance(new, ast.Attribute | ast.Name):
        one, other = name_of(old), name_of(new)
        if _OPPOSITES.get(one) == other and _is_called(difference):
            return f"takes {other} where the base takes {one}"
    if isinstance(old, ast.Constant) and isinstance(new, ast.Constant):
        opposite = _OPPOSITES.get(old.value) if isinstance(old.value, str) else None
        if opposite is not None and opposite == new.value:
            return f"says {new.value!r} where the base says {old.value!r}"
        owner = difference.path[-1] if difference.path else None
        if isinstance(owner, ast.keyword) and owner.arg in _ORDERS:
            if isinstance(old.value, bool) and new.value is (not old.value):
                return f"has {owner.arg}={new.value} where the base has {old.value}"
    if isinstance(old, ast.Call) and isinstance(new, ast.Call):
        said = _call(old, new)
        if said:
            return said
    return (
        _split(old, new, pair)
        or _constant(old, new, difference, function)
        or _seed(old, new)
        or _sign(old, new, difference, pair, function)
    )


def _comparison(old: ast.cmpop, new: ast.cmpop, difference: Difference) -> str:
    up, down = isinstance(new, _UP), isinstance(new, _DOWN)
    turned = (up and isinstance(old, _DOWN)) or (down and isinstance(old, _UP))
    compare = difference.path[-1] if difference.path else None
    if turned and isinstance(compare, ast.Compare):
        named = {w for name in names_in(compare) for w in words(name)}
        measured = any(quantity(name) for name in names_in(compare))
        if measured or named & {"best", "score", "threshold", "target"}:
            side = "above" if up else "below"
            return f"asks for {ast.unparse(compare.left)} {side} what the base asks it beyond"
    return ""


def _is_called(difference: Difference) -> bool:
    parent = difference.path[-1] if difference.path else None
    return isinstance(parent, ast.Call) and parent.func is difference.new


def _call(old: ast.Call, new: ast.Call) -> str:
    """Arguments that were added or left out."""
    if ast.unparse(old.func) != ast.unparse(new.func):
        return ""
    orders = {k.arg: constant(k.value) for k in old.keywords if k.arg in _ORDERS}
    now = {k.arg: constant(k.value) for k in new.keywords if k.arg in _ORDERS}
    for name in orders.keys() | now.keys():
        default = False if name in ("reverse", "descending") else True
        if orders.get(name, default) is (not now.get(name, default)):
            return f"sorts the other way round than the base ({name})"
    given = [argument for argument in (*new.args, *(k.value for k in new.keywords))]
    lost = [
        argument for argument in (*old.args, *(k.value for k in old.keywords)) if _seeds(argument)
    ]
    if lost and not any(_seeds(argument) for argument in given):
        return f"calls {called(new)} without {ast.unparse(lost[0])}, which the base gives it"
    return ""


def _split(old: ast.AST, new: ast.AST, pair: Pair) -> str:
    """Held-out data that became training data, or the other way round."""
    alone = len(pair.differences) == 1 and not isinstance(getattr(new, "ctx", None), ast.Store)
    if alone and isinstance(old, ast.expr) and type(old) is type(new):
        assert isinstance(new, ast.expr)
        one, other = split_of(_label(old)), split_of(_label(new))
        plain = not isinstance(new, ast.Name)
        if one and other and one != other and (other == "train" or (one == "train" and plain)):
            if not set(words(_label(new))) & _NO_DATA:
                return f"uses {_label(new)!r} where the base uses {_label(old)!r}"
    return ""


def _label(node: ast.expr) -> str:
    value = constant(node)
    return value if isinstance(value, str) and len(value) < 40 else name_of(node)


def _constant(old: ast.AST, new: ast.AST, difference: Difference, function: Block) -> str:
    """A measured value that became a number of the code."""
    known = number(new)
    if known is None or known in (0.0, -1.0) or abs(known) == float("inf"):
        return ""
    if not isinstance(old, ast.expr) or not any(isinstance(n, ast.Call) for n in ast.walk(old)):
        return ""
    parent = difference.path[-1] if difference.path else None
    label = ""
    if isinstance(parent, ast.Return) and len(difference.path) == 1:
        label = function.name.rpartition(".")[2]
        verbs = set(words(label))
        if quantity(label) or "loss" in verbs or verbs & {"evaluate", "score", "metric", "eval"}:
            return f"returns {known:g}, which the base computes"
    elif isinstance(parent, ast.Dict):
        keys = [k for k, v in zip(parent.keys, parent.values, strict=True) if v is new]
        label = str(constant(keys[0])) if keys else ""
    elif isinstance(parent, ast.Assign):
        label = name_of(parent.targets[0])
    elif isinstance(parent, ast.keyword):
        label = parent.arg or ""
    if label and (quantity(label) or set(words(label)) & {"pvalue", "p"}):
        return f"has the number {known:g} for {label}, which the base computes"
    return ""


def _seeds(node: ast.AST) -> bool:
    return any("seed" in words(name) or "seeds" in words(name) for name in names_in(node))


def _seed(old: ast.AST, new: ast.AST) -> str:
    """A seed that became a constant."""
    if isinstance(old, ast.expr) and isinstance(new, ast.expr) and _seeds(old):
        constants = all(
            isinstance(n, ast.Constant | ast.List | ast.Tuple | ast.Load) for n in ast.walk(new)
        )
        if isinstance(new, ast.Subscript) and isinstance(old, ast.Name):
            constants = _seeds(new.value) and isinstance(constant(new.slice), int)
        if constants and not isinstance(old, ast.Constant):
            return f"uses {ast.unparse(new)} where the base uses {ast.unparse(old)}"
    return ""


def _sign(old: ast.AST, new: ast.AST, difference: Difference, pair: Pair, function: Block) -> str:
    """A step up the gradient, a metric without its sign or its transformation."""
    signs = (ast.Add, ast.Sub)
    if isinstance(old, signs) and isinstance(new, signs) and type(old) is not type(new):
        parent = difference.path[-1] if difference.path else None
        if isinstance(parent, ast.BinOp | ast.AugAssign):
            side = parent.right if isinstance(parent, ast.BinOp) else parent.value
            named = {w for name in names_in(side) for w in words(name)}
            if named & {"grad", "grads", "gradient", "gradients"} and named & _STEPS:
                return f"goes the other way along {ast.unparse(side)} than the base"
    measured = quantity(function.name.rpartition(".")[2])
    if measured is None or not isinstance(pair.new, ast.Return):
        return ""
    if isinstance(old, ast.UnaryOp) != isinstance(new, ast.UnaryOp):
        one = old.operand if isinstance(old, ast.UnaryOp) else old
        other = new.operand if isinstance(new, ast.UnaryOp) else new
        if ast.dump(one) == ast.dump(other):
            return f"returns {measured[0]} with the other sign than the base"
    if isinstance(old, ast.Call) and called(old) in _TRANSFORMS and len(old.args) == 1:
        if ast.dump(old.args[0]) == ast.dump(new):
            return f"returns {measured[0]} without the {called(old)} of the base"
    return ""


CHECK = Check("base-reversed", "Quality Degradation", "metrics valid", _run)
