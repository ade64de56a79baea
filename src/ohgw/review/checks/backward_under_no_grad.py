"""A backward pass where no graph is kept: it raises, or training silently does nothing."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import called
from ohgw.review.project import Module, dotted

_OFF = ("no_grad", "inference_mode")
_ON = ("enable_grad",)
# What leaves a tensor without a graph without one.
_SHAPES = frozenset(
    "to cuda cpu view reshape flatten squeeze unsqueeze long float int size len transpose permute "
    "contiguous item astype".split()
)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        for node in module.nodes:
            if not isinstance(node, ast.Call):
                continue
            backward = isinstance(node.func, ast.Attribute) and node.func.attr == "backward"
            if not backward and dotted(node.func) not in ("torch.autograd.grad", "autograd.grad"):
                continue
            where = _switched_off(module, node) or (_lost_graph(module, node) if backward else "")
            if where:
                yield check.finding(
                    "error",
                    project.at(module.path),
                    node.lineno,
                    f"A backward pass under {where}: there is no graph to go back through.",
                    evidence=module.source(node.lineno),
                    fix="Move it out, or enable gradients around the forward pass and it.",
                )


def _lost_graph(module: Module, call: ast.Call) -> str:
    """The switch under which the loss was computed, where every value of its name was."""
    assert isinstance(call.func, ast.Attribute)
    name, function = dotted(call.func.value), _function(module, call)
    if not name or function is None:
        return ""
    values = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr)
        and name in _targets(node)
    ]
    switches = [_switched_off(module, node) for node in values]
    if switches and all(switches):
        return f"{switches[0]}, where its loss was computed"
    for node in values:
        switch = _without_inputs(module, function, node)
        if switch:
            return f"{switch}, where what its loss is made of was computed (line {node.lineno})"
    return ""


def _without_inputs(module: Module, function: ast.AST, node: ast.AST) -> str:
    """The switch under which everything was computed that a loss is made of, just before it.

    `loss = F.cross_entropy(logits, labels)`, after `with torch.no_grad(): logits = model(x)`.
    """
    value = getattr(node, "value", None)
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(value, ast.Call):
        return ""
    arguments = [*value.args, *(keyword.value for keyword in value.keywords)]
    inner = [n for argument in arguments for n in ast.walk(argument)]
    if any(isinstance(n, ast.Call) and called(n) not in _SHAPES for n in inner):
        return ""
    block = _block(module, node)
    found = ""
    for name in {n.id for n in inner if isinstance(n, ast.Name)}:
        switch = _last_switch(block, node, name)
        if switch:
            found = switch
        elif any(
            name in _targets(other) and _computes(other)
            for other in ast.walk(function)
            if isinstance(other, ast.Assign | ast.AnnAssign)
        ):
            return ""  # it may have a graph
    return found


def _computes(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether a value is made by more than moving and indexing data."""
    return node.value is not None and any(
        isinstance(n, ast.Call) and called(n) not in _SHAPES for n in ast.walk(node.value)
    )


def _block(module: Module, node: ast.AST) -> list[ast.stmt]:
    """The statements that a statement stands among."""
    parent = module.parents.get(node)
    for name in ("body", "orelse", "finalbody"):
        part = getattr(parent, name, None)
        if isinstance(part, list) and node in part:
            return part
    return []


def _last_switch(block: list[ast.stmt], node: ast.AST, name: str) -> str:
    """The off switch around the last assignment of a name before a statement of a block."""
    found = ""
    for statement in block:
        if statement is node:
            break
        if isinstance(statement, ast.With):
            names = [_called(item.context_expr) for item in statement.items]
            bound = any(isinstance(n, ast.Assign) and name in _targets(n) for n in statement.body)
            if bound:
                found = next((switch for switch in names if switch in _OFF), "")
        elif any(
            isinstance(n, ast.Assign | ast.AugAssign | ast.AnnAssign) and name in _targets(n)
            for n in ast.walk(statement)
        ):
            found = ""
    return found


def _targets(node: ast.AST) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {dotted(part) for target in targets if target for part in ast.walk(target)}


def _function(module: Module, node: ast.AST) -> ast.AST | None:
    while node in module.parents:
        node = module.parents[node]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return node
    return None


def _switched_off(module: Module, node: ast.AST) -> str:
    """The innermost switch around a node, where it is an off switch."""
    while node in module.parents:
        node = module.parents[node]
        if isinstance(node, ast.With | ast.AsyncWith):
            for item in reversed(node.items):
                name = _called(item.context_expr)
                if name in _ON or (name == "set_grad_enabled"):
                    return ""
                if name in _OFF:
                    return name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [_called(decorator) for decorator in node.decorator_list]
            off = next((name for name in names if name in _OFF), "")
            return "" if any(name in _ON for name in names) else off
        elif isinstance(node, ast.Lambda):
            return ""
    return ""


def _called(node: ast.expr) -> str:
    return dotted(node.func if isinstance(node, ast.Call) else node).split(".")[-1]


CHECK = Check("backward-under-no-grad", "Not Executable", "method implemented", _run)
