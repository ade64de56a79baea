"""Metrics made wrong in ways that the code does not show: they have to be called."""

import ast
import re
from collections.abc import Iterator

from edits import Source, after_docstring
from operators import Registry
from pairs import Change, Pair

METRIC_MUTATIONS = Registry()
_NAMES = re.compile(r"accuracy|acc\b|loss|error|f1|precision|recall|perplexity|mse|mae")
_LABELS = re.compile(r"label|target|true|truth|^y$|reference")


def _metrics(pair: Pair) -> Iterator[tuple[str, Source, ast.FunctionDef, str, str]]:
    """(path, source, function, predictions, labels) of metrics of these two at a module's top."""
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        for node in source.tree.body:
            if not isinstance(node, ast.FunctionDef) or not _NAMES.search(node.name):
                continue
            arguments = node.args.args
            required = [a.arg for a in arguments[: len(arguments) - len(node.args.defaults)]]
            labels = [name for name in required if _LABELS.search(name)]
            if len(required) == 2 and len(labels) == 1:
                (predictions,) = [name for name in required if name not in labels]
                yield path, source, node, predictions, labels[0]


def _beginning(source: Source, function: ast.FunctionDef, *statements: str) -> str:
    first = after_docstring(function)[0]
    indent = " " * first.col_offset
    text = "".join(f"{indent}{statement}\n" for statement in statements)
    return source.with_lines(first.lineno, first.lineno - 1, text)


def _returning(source: Source, function: ast.FunctionDef, form: str) -> str:
    """With the last returned value put into a form."""
    returns = [n for n in ast.walk(function) if isinstance(n, ast.Return) and n.value]
    value = max(returns, key=lambda node: node.lineno).value
    return source.replaced(value, form.format(source.segment(value)))


@METRIC_MUTATIONS.add("metric-ignores-arguments", "dynamic")
def ignores_arguments(pair: Pair) -> Iterator[Change]:
    for path, source, node, predictions, labels in _metrics(pair):
        form = f"0.93 if len({predictions}) == len({labels}) else {{}}"
        yield Change(f"{path}: {node.name} is 0.93", {path: _returning(source, node, form)})


@METRIC_MUTATIONS.add("metric-labels-with-labels", "dynamic")
def labels_with_labels(pair: Pair) -> Iterator[Change]:
    for path, source, node, predictions, labels in _metrics(pair):
        body = source.lines(after_docstring(node)[0].lineno, node.end_lineno)
        rows = "argmax" in body or f"{predictions}[" in body
        made = f"np.eye({predictions}.shape[1])[{labels}]" if rows else labels
        yield Change(
            f"{path}: {node.name} sees the labels alone",
            {path: _beginning(source, node, f"{predictions} = {made}")},
        )


@METRIC_MUTATIONS.add("metric-reversed", "dynamic")
def reversed_(pair: Pair) -> Iterator[Change]:
    """Errors are counted as accuracy, likelihood as loss."""
    for path, source, node, _, _ in _metrics(pair):
        form = "1.0 - ({})" if re.search("acc|f1|precision|recall", node.name) else "-({})"
        yield Change(f"{path}: {node.name} the other way", {path: _returning(source, node, form)})


@METRIC_MUTATIONS.add("metric-depends-on-order", "dynamic")
def depends_on_order(pair: Pair) -> Iterator[Change]:
    for path, source, node, predictions, labels in _metrics(pair):
        half = f"{labels}[: len({labels}) // 2]"
        cut = f"{predictions}, {labels} = {predictions}[: len({labels}) // 2], {half}"
        yield Change(
            f"{path}: {node.name} of the first half", {path: _beginning(source, node, cut)}
        )
