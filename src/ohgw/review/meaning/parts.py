"""Parts of data: whether two expressions certainly hold some of the same examples."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ohgw.review.meaning.metrics import called, number, same, split_of, words
from ohgw.review.project import constant

MAX_DEPTH = 8
# What is said of a split and is none of its examples.
NO_DATA = frozenset(
    "transform transforms tfm tfms tf augment augmentation aug size sizes batch bs cfg config "
    "conf params kwargs path paths dir root url file fn step steps epoch epochs lr mode time "
    "seed n num count len length share ratio fraction frac name names key keys prefix classes "
    "sampler workers freq every interval collate flag is do shuffle".split()
)
_DATASETS = frozenset(
    "dataset datasets loader loaders dataloader dataloaders ds df frame images texts samples "
    "corpus examples x".split()
)
_PLAIN = frozenset(  # methods that give the same examples
    "copy clone to float long double half cpu cuda numpy astype tolist reset_index to_numpy "
    "contiguous detach with_format shuffle cache prefetch repeat batch squeeze flatten".split()
)
_SAME_DATA = frozenset(
    "shuffle batch_size drop_last num_workers pin_memory transform collate_fn "
    "persistent_workers prefetch_factor generator worker_init_fn".split()
)

Bounds = Mapping[str, ast.expr]


@dataclass(frozen=True)
class Span:
    """A slice of what `base` writes; None for the start and the end."""

    base: str
    low: ast.expr | None = None
    high: ast.expr | None = None

    @property
    def is_whole(self) -> bool:
        return self.low is None and self.high is None


def overlap(first: ast.expr, second: ast.expr, bounds: Bounds, depth: int = 0) -> bool:
    """`bounds` are names that are bound once: `cut = int(0.8 * len(x))`."""
    one, other = _core(first), _core(second)
    if depth > MAX_DEPTH:
        return False
    if same(one, other):
        return is_data(one)
    if isinstance(one, ast.Tuple | ast.List) and isinstance(other, ast.Tuple | ast.List):
        both = list(zip(one.elts, other.elts, strict=False))
        return len(one.elts) == len(other.elts) > 0 and all(
            overlap(a, b, bounds, depth + 1) for a, b in both
        )
    left, right = span(one), span(other)
    if left is not None and right is not None:
        return _spans(left, right, bounds)
    if isinstance(one, ast.Call) and isinstance(other, ast.Call) and same(one.func, other.func):
        return _calls(one, other, bounds, depth)
    for call, rest in ((one, other), (other, one)):
        if isinstance(call, ast.Call) and call.args and is_data(call.args[0]):
            if not isinstance(call.args[0], ast.Name | ast.Attribute):
                return overlap(call.args[0], rest, bounds, depth + 1)
    return False


def _calls(one: ast.Call, other: ast.Call, bounds: Bounds, depth: int) -> bool:
    """`f(x[:a], n)` and `f(x[:b], n)`: what differs has to overlap."""
    if len(one.args) != len(other.args) or not one.args:
        return False
    for name in {k.arg for k in (*one.keywords, *other.keywords)} - _SAME_DATA:
        values = [next((k.value for k in c.keywords if k.arg == name), None) for c in (one, other)]
        if values[0] is None or values[1] is None or not same(values[0], values[1]):
            return False
    flags = _speaks(one) and _speaks(other)  # load("train", True) and load("train", False)
    differing = [(a, b) for a, b in zip(one.args, other.args, strict=True) if not same(a, b)]
    if flags:
        differing = [pair for pair in differing if not all(_is_flag(node) for node in pair)]
    if not differing:
        return flags or is_data(one.args[0])
    return all(overlap(a, b, bounds, depth + 1) for a, b in differing)


def _speaks(node: ast.Call) -> bool:
    """Whether a constant argument says which split is wanted."""
    given = [constant(argument) for argument in node.args]
    return any(isinstance(text, str) and len(text) < 20 and split_of(text) for text in given)


def _is_flag(node: ast.expr) -> bool:
    return isinstance(constant(node), bool)


def _core(node: ast.expr) -> ast.expr:
    """`x[:a]` of `(x[:a] - mean) / std` and of `x[:a].copy()`."""
    for _ in range(MAX_DEPTH):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.Mult):
            node = node.right if number(node.left) is not None else node.left
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _PLAIN
        ):
            node = node.func.value
        elif isinstance(node, ast.Attribute) and node.attr in ("values", "iloc", "loc"):
            node = node.value
        else:
            break
    return node


def is_data(node: ast.expr) -> bool:
    """Whether an expression speaks of examples: it names a split, a data set, or cuts a slice."""
    if isinstance(node, ast.Name | ast.Attribute):
        last = words(node.id if isinstance(node, ast.Name) else node.attr)[-1:]
        if set(last) & _DATASETS:
            return True
    for inner in ast.walk(node):
        if isinstance(inner, ast.Slice):
            return True
        if isinstance(inner, ast.Call) and called(inner) in ("take", "skip") and inner.args:
            return True
        if (
            isinstance(inner, ast.keyword)
            and inner.arg == "train"
            and constant(inner.value) is True
        ):
            return True
        name = ""
        if isinstance(inner, ast.Name):
            name = inner.id
        elif isinstance(inner, ast.Attribute):
            name = inner.attr
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            name = inner.value if len(inner.value) < 20 else ""
        if split_of(name) and not NO_DATA & set(words(name)):
            return True
    return False


def span(node: ast.expr) -> Span | None:
    """Of `x[a:b]`, `x[a:b, :]`, `x[order[a:b]]`, `x.select(range(a, b))`, `x.take(n)`, `x`."""
    if isinstance(node, ast.Name | ast.Attribute):
        return Span(ast.unparse(node))
    if isinstance(node, ast.Subscript):
        return _cut(_core(node.value), node.slice)
    if isinstance(node, ast.Call):
        name = called(node)
        if name in ("select", "Subset") and node.args:
            if name == "Subset":
                return _cut(node.args[0], node.args[1]) if len(node.args) == 2 else None
            return _cut(getattr(node.func, "value", node), node.args[0])
        if (
            name in ("take", "skip")
            and len(node.args) == 1
            and isinstance(node.func, ast.Attribute)
        ):
            inner = node.func.value
            if isinstance(inner, ast.Name | ast.Attribute):
                count = node.args[0]
                low, high = (None, count) if name == "take" else (count, None)
                return Span(ast.unparse(inner), low, high)
        if name in ("range", "arange") and 1 <= len(node.args) <= 2 and not node.keywords:
            low = node.args[0] if len(node.args) == 2 else None
            return Span(name, low, node.args[-1])
        if name in ("list", "array", "asarray") and len(node.args) == 1:
            return span(node.args[0]) if isinstance(node.args[0], ast.Call) else None
    return None


def _cut(base: ast.expr, index: ast.expr) -> Span | None:
    text = ast.unparse(base)
    if isinstance(index, ast.Tuple) and index.elts:
        first = index.elts[0]
        if isinstance(first, ast.Slice) and first.lower is None and first.upper is None:
            return Span(f"{text}|{ast.unparse(index)}")  # all rows: what is cut are columns
        index = first
    if isinstance(index, ast.Slice):
        return Span(text, index.lower, index.upper) if index.step is None else None
    if constant(index) is not ...:
        return Span(f"{text}|{ast.unparse(index)}")
    inner = span(index)
    if inner is None:
        return Span(f"{text}|{ast.unparse(index)}")
    return Span(f"{text}|{inner.base}", inner.low, inner.high)


def _spans(one: Span, other: Span, bounds: Bounds) -> bool:
    if one.base != other.base:
        return False
    if one.is_whole or other.is_whole:
        return True
    lows = [_place(span.low, bounds, 0.0) for span in (one, other)]
    highs = [_place(span.high, bounds, None) for span in (one, other)]
    if _alike(one.low, other.low) and _alike(one.high, other.high):
        return True
    starts = [place is not None and place[1] == 0 and place[0] != "end" for place in lows]
    ends = [span.high is None for span in (one, other)]
    if all(starts) and all(_is_some(span.high, bounds) for span in (one, other)):
        return True
    if all(ends):
        return True
    kinds = {place[0] for place in (*lows, *highs) if place is not None and place[1] != 0}
    known = all(lows) and all(
        place is not None or span.high is None
        for place, span in zip(highs, (one, other), strict=True)
    )
    if not known or len(kinds) != 1:
        return False
    low = max(place[1] for place in lows if place is not None)
    ceiling = 1.0 if kinds == {"share"} else 0.0 if kinds == {"end"} else float("inf")
    if kinds == {"end"} and any(starts):
        return False  # how many there are is not known
    high = min(place[1] if place is not None else ceiling for place in highs)
    return low < high - 1e-9


def _alike(one: ast.expr | None, other: ast.expr | None) -> bool:
    if one is None or other is None:
        return one is other
    return same(one, other)


def _is_some(high: ast.expr | None, bounds: Bounds) -> bool:
    """Whether a slice from the start up to `high` holds the first example, as far as is known."""
    place = _place(high, bounds, None)
    return place is None or place[0] != "rows" or place[1] > 0


Place = tuple[str, float]  # share of all, rows, or rows from the end


def _place(node: ast.expr | None, bounds: Bounds, default: float | None) -> Place | None:
    if node is None:
        return None if default is None else ("share", default)
    value = number(node)
    if value is not None:
        return ("rows" if value >= 0 else "end", value)
    share = _share(node, bounds)
    return ("share", share) if share is not None else None


def _share(node: ast.expr, bounds: Bounds, depth: int = 0) -> float | None:
    """`int(0.8 * len(x))` is 0.8."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(node, ast.Name):
        given = bounds.get(node.id)
        return _share(given, bounds, depth + 1) if given is not None else None
    if isinstance(node, ast.Call):
        if called(node) == "len":
            return 1.0
        if called(node) in ("int", "round", "floor", "ceil") and len(node.args) == 1:
            return _share(node.args[0], bounds, depth + 1)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
        return 1.0 if node.value.attr == "shape" and constant(node.slice) == 0 else None
    if isinstance(node, ast.BinOp):
        factor = number(node.right)
        part = _share(node.left, bounds, depth + 1)
        if factor is None and isinstance(node.op, ast.Mult):
            factor, part = number(node.left), _share(node.right, bounds, depth + 1)
        if factor is not None and part is not None:
            if isinstance(node.op, ast.Mult):
                return part * factor
            if isinstance(node.op, ast.Div | ast.FloorDiv) and factor:
                return part / factor
        second = _share(node.right, bounds, depth + 1)
        first = _share(node.left, bounds, depth + 1)
        if first is not None and second is not None and isinstance(node.op, ast.Add | ast.Sub):
            return first + second if isinstance(node.op, ast.Add) else first - second
    return None


def once_bound(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """Names that a function binds once, by a plain assignment."""
    times: dict[str, int] = {}
    found: dict[str, ast.expr] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            times[node.id] = times.get(node.id, 0) + 1
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                found.update(_unpacked(target, node.value))
    return {name: value for name, value in found.items() if times.get(name) == 1}


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, other in zip(target.elts, value.elts, strict=False):
            if isinstance(one, ast.Name):
                yield one.id, other
