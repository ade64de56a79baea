"""A hypergradient step that is taken on the weights, so that no hyperparameter ever changes."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.project import Definition, Module, Project, dotted

_METHOD = re.compile(r"hyper-?\s?gradients?|hypergrad|∂L/∂ψ|hyper-?parameter update", re.IGNORECASE)
_HYPER = re.compile(r"hyper|ohgw|warm_?start|eta_?h|hg_", re.IGNORECASE)
_STEP = re.compile(
    r"^(?:eta|hyper|ohgw|meta|h)(?:_?(?:h|lr|eta|rate|step\w*|learning_rate|grad_lr))?$"
    r"|step_size|hypergrad",
    re.IGNORECASE,
)
_HYPERPARAMETERS = re.compile(
    r"config|hyper|hparams?|\bhps?\b|psi|phi|lambda|rate|\blr\b|point|candidate|trial|sampled"
    r"|vector",
    re.IGNORECASE,
)
_WEIGHTS = re.compile(r"(?:\w*_)?(?:params?|parameters|weights?|grads?|gradients?|theta)", re.I)
_GRADIENTS = re.compile(r"(?:torch\.)?(?:autograd\.grad|func\.(?:grad|jvp|jacrev|jacfwd))")


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    if not _METHOD.search(context.spec.texts):
        return
    unmoved = list(_unmoved(project))
    for module, function, step, what in unmoved:
        yield check.finding(
            "error",
            project.at(module.path),
            step.lineno,
            f"{function.name} takes its step on the model's weights or gradients and gives {what} "
            "back as it came: no hyperparameter changes.",
            evidence=module.source(step.lineno),
            fix="Differentiate with respect to the hyperparameters, and move those.",
        )
    if unmoved or _reaches_hyperparameters(project):
        return
    for module in project.parsed():
        for definition in module.definitions.values():
            node = definition.node
            if isinstance(node, ast.ClassDef):
                continue
            if not _HYPER.search(f"{definition.name} {ast.unparse(node.args)}"):
                continue
            if _moves_hyperparameters(node):
                continue
            for step in _steps(node, strict=True):
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


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _unmoved(project: Project) -> Iterator[tuple[Module, Function, ast.stmt, str]]:
    """Functions that move weights by the hypergradient's step size and return what they were given.

    What they return is a parameter that is never bound again, or a field that only `__init__` sets.
    """
    for module in project.parsed():
        for definition in module.definitions.values():
            node = definition.node
            if isinstance(node, ast.ClassDef) or node.name == "__init__":
                continue
            kept = _returned(module, definition, node)
            if not kept:
                continue
            for step in (*_steps(node), *_optimised(node)):
                scaled = any(
                    _STEP.search(name)
                    for inner in ast.walk(step)
                    if (name := _label(inner)) and not isinstance(inner, ast.Call)
                )
                if scaled and _innermost(module, step) is node:
                    yield module, node, step, kept
                    break


def _optimised(function: Function) -> Iterator[ast.stmt]:
    """`SGD(model.parameters(), lr=eta)`, of an optimiser that is stepped."""
    calls = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
    if not any(isinstance(n.func, ast.Attribute) and n.func.attr == "step" for n in calls):
        return
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if re.search(r"(?:SGD|Adam\w*|RMSprop)$", dotted(node.value.func)):
                if any(_over_parameters(argument) for argument in node.value.args):
                    yield node


def _label(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return getattr(node, "id", getattr(node, "attr", ""))


def _moves_hyperparameters(function: Function) -> bool:
    """Whether hyperparameters that are made anew here are given back."""
    stored = {_root(n) for n in ast.walk(function) if _is_store(n)}
    return any(
        isinstance(node, ast.Return)
        and isinstance(name := getattr(node.value, "id", None), str)
        and name in stored
        and _HYPERPARAMETERS.search(name) is not None
        for node in ast.walk(function)
    )


def _returned(module: Module, definition: Definition, function: Function) -> str:
    """The hyperparameters that every return gives back unchanged; '' for anything else."""
    arguments = function.args
    given = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    stored = {_root(n) for n in ast.walk(function) if _is_store(n)}
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and _innermost(module, node) is function:
            value = node.value
            value = value.elts[0] if isinstance(value, ast.Tuple) and value.elts else value
            name = dotted(value) if value is not None else ""
            if name.startswith("self.") and name.count(".") == 1:
                if not _is_fixed(module, definition, name):
                    return ""
            elif name not in given or name in stored | _mutated(function):
                return ""
            names.add(name)
    found = names.pop() if len(names) == 1 else ""
    return found if _HYPERPARAMETERS.search(found) else ""


def _is_store(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Store)


def _mutated(function: Function) -> set[str]:
    """Names whose methods are called, or that are handed to a call that nothing is made of."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Attribute):
                found.add(_root(call.func.value))
            found |= {_root(a) for a in (*call.args, *(k.value for k in call.keywords))}
    return found


def _is_fixed(module: Module, definition: Definition, name: str) -> bool:
    """Whether a field is set in `__init__` and nowhere else in the module."""
    field = name.removeprefix("self.")
    owner = definition.name.rpartition(".")[0]
    for other in module.definitions.values():
        if other.name != f"{owner}.__init__" and not other.is_class:
            for node in ast.walk(other.node):
                if isinstance(node, ast.Attribute) and node.attr == field:
                    if isinstance(node.ctx, ast.Store) or isinstance(
                        module.parents.get(node), ast.Attribute | ast.Subscript
                    ):
                        return False
    return bool(owner)


def _innermost(module: Module, node: ast.AST) -> ast.AST:
    while node in module.parents:
        node = module.parents[node]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            break
    return node


def _steps(function: ast.AST, strict: bool = False) -> Iterator[ast.stmt]:
    """Updates of a loop's variable that runs over `.parameters()`, or over names for weights."""
    over = _over_parameters if strict else _over_weights
    for loop in ast.walk(function):
        if not isinstance(loop, ast.For) or not over(loop.iter):
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


def _over_weights(node: ast.AST) -> bool:
    """`model.parameters()`, and names for weights and gradients in the head of a loop."""
    return _over_parameters(node) or any(
        isinstance(inner, ast.Name) and _WEIGHTS.fullmatch(inner.id) for inner in ast.walk(node)
    )


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
