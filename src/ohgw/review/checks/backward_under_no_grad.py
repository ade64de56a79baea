"""A backward pass where no graph is kept: it raises, or training silently does nothing."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.project import Module, dotted

_OFF = ("no_grad", "inference_mode")
_ON = ("enable_grad",)


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
    return f"{switches[0]}, where its loss was computed" if switches and all(switches) else ""


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
