"""A hypergradient step that is taken on the weights, so that no hyperparameter ever changes."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.project import Module, Project, dotted

_METHOD = re.compile(r"hyper-?\s?gradients?|hypergrad|∂L/∂ψ|hyper-?parameter update", re.IGNORECASE)
_HYPER = re.compile(r"hyper|ohgw|warm_?start|eta_?h|hg_", re.IGNORECASE)
_GRADIENTS = re.compile(r"(?:torch\.)?(?:autograd\.grad|func\.(?:grad|jvp|jacrev|jacfwd))")


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    if not _METHOD.search(context.spec.texts) or _reaches_hyperparameters(project):
        return
    for module in project.parsed():
        for definition in module.definitions.values():
            node = definition.node
            if isinstance(node, ast.ClassDef):
                continue
            if not _HYPER.search(f"{definition.name} {ast.unparse(node.args)}"):
                continue
            for step in _steps(node):
                if _innermost(module, step) is node:
                    yield check.finding(
                        "error",
                        project.at(module.path),
                        step.lineno,
                        f"{definition.name} takes its step on the model's parameters: the weights "
                        "move, and no hyperparameter changes.",
                        evidence=module.source(step.lineno),
                        fix="Differentiate with respect to the hyperparameters, and move those.",
                    )


def _innermost(module: Module, node: ast.AST) -> ast.AST:
    while node in module.parents:
        node = module.parents[node]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            break
    return node


def _steps(function: ast.AST) -> Iterator[ast.stmt]:
    """Updates of a loop's variable that runs over `.parameters()`."""
    for loop in ast.walk(function):
        if not isinstance(loop, ast.For) or not _over_parameters(loop.iter):
            continue
        names = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
        for node in ast.walk(loop):
            if isinstance(node, ast.AugAssign) and _root(node.target) in names:
                yield node
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                call = node.value.func
                if isinstance(call, ast.Attribute) and _root(call.value) in names:
                    if re.fullmatch(r"(?:sub|add|copy|addcmul)_", call.attr):
                        yield node


def _root(node: ast.AST) -> str:
    return dotted(node).split(".")[0]


def _over_parameters(node: ast.AST) -> bool:
    return any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("parameters", "named_parameters")
        for call in ast.walk(node)
    )


def _reaches_hyperparameters(project: Project) -> bool:
    """True where some gradient is taken of something that is not the model's parameters.

    Then a step on the weights may be the inner one of an unrolled hypergradient.
    """
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ohgw"):
                return True
            if isinstance(node, ast.Import) and any(a.name == "ohgw" for a in node.names):
                return True
            if not isinstance(node, ast.Call) or not _GRADIENTS.fullmatch(dotted(node.func)):
                continue
            if not dotted(node.func).endswith("autograd.grad"):
                return True
            inputs = node.args[1] if len(node.args) > 1 else None
            inputs = inputs or next((k.value for k in node.keywords if k.arg == "inputs"), None)
            if inputs is not None and not _over_parameters(inputs):
                if not re.search(r"param|weight|theta", ast.unparse(inputs).lower()):
                    return True
                if re.search(r"hyper|continuous|hp\b|hparam", ast.unparse(inputs).lower()):
                    return True
    return False


CHECK = Check("step-size-target", "Method Fidelity", "method implemented", _run)
