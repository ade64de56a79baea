"""Settings that a function takes, that its callers pass, and that its body never reads."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import flow
from ohgw.review.code.memo import once
from ohgw.review.code.nodes import configurations
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import is_test_module
from ohgw.review.project import Definition, Module, Project, constant

# What a method, an optimiser or a loss is set by: a body that takes it and does not read it lacks
# something. A name that the configuration has as a key counts too.
_SETTINGS = frozenset(
    "label_smoothing smoothing dropout dropout_rate weight_decay momentum learning_rate lr alpha "
    "beta gamma eta temperature tau epsilon eps_h margin lam lambda_ l1 l2 reg warmup warmup_steps "
    "clip grad_clip max_grad_norm clip_norm mixup cutmix noise label_noise sigma eta_h hyper_lr "
    "reduction_factor min_epochs max_epochs epochs steps batch_size num_layers hidden width depth "
    "threshold penalty noise_std kl_weight aux_weight loss_weight prior_weight ema_decay".split()
)
_NOT_SETTINGS = frozenset(
    "name names seed seeds device mode run_id id path config cfg args data dataset model split "
    "description output_dir results_dir log verbose debug smoke".split()
)
_PLAIN_BASES = frozenset({"object", "Module", "Dataset", "LightningModule", "Model"})
MIN_STATEMENTS = 3


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    answers = flow(project)
    keys = _keys(project)
    for module in project.parsed():
        if is_test_module(module):
            continue
        for definition in module.definitions.values():
            node = definition.node
            if isinstance(node, ast.ClassDef) or not _is_judged(project, definition):
                continue
            calls = [call for call, chosen in answers.callers.get(node, []) if not chosen]
            calls = [call for call in calls if call in answers.module_of]
            if not calls:
                continue
            for argument, place in _unread(node):
                name = argument.arg
                if name not in _SETTINGS and (name not in keys or name in _NOT_SETTINGS):
                    continue
                given = [_given(call, name, place) for call in calls]
                if not all(value is not None and constant(value) is ... for value in given):
                    continue
                where = answers.module_of[calls[0]]
                yield check.finding(
                    "error",
                    [project.at(module.path), project.at(where.path)],
                    [argument.lineno, calls[0].lineno],
                    f"{definition.name} takes {name} from its caller and never reads it: the "
                    "setting does nothing.",
                    evidence=where.source(calls[0].lineno),
                    fix=f"Use {name} where the method says, or take it out of the interface.",
                )


@once
def _keys(project: Project) -> frozenset[str]:
    return frozenset(
        str(node.key)
        for root in configurations(project)
        if not root.path.endswith(".py")
        for node in root.walk()
        if isinstance(node.key, str)
    )


def _is_judged(project: Project, definition: Definition) -> bool:
    """A function with a body of its own, whose arguments nothing else prescribes."""
    node = definition.node
    constructor = node.name == "__init__"
    if node.decorator_list or isinstance(node, ast.ClassDef):
        return False
    if node.name.startswith("__") and not constructor:
        return False
    if sum(isinstance(inner, ast.stmt) for inner in ast.walk(node)) - 1 < MIN_STATEMENTS:
        return False
    if any(getattr(inner, "id", "") in ("locals", "vars") for inner in ast.walk(node)):
        return False
    if constructor:
        owner = definition.module.definitions.get(definition.name.rpartition(".")[0])
        above = [ast.unparse(base) for base in getattr(owner and owner.node, "bases", ())]
        plain = all(base.rpartition(".")[2] in _PLAIN_BASES for base in above)
        return bool(owner) and plain and definition.name.split(".")[-2] not in _referred(project)
    return _same_name(project)[node.name] == 1 and node.name not in _referred(project)


@once
def _same_name(project: Project) -> dict[str, int]:
    """How many functions have each name: several share an interface."""
    found: dict[str, int] = {}
    for module in project.parsed():
        for definition in module.definitions.values():
            if not definition.is_class:
                found[definition.node.name] = found.get(definition.node.name, 0) + 1
    return found


@once
def _referred(project: Project) -> frozenset[str]:
    """Functions that are handed around, in registries or as callbacks: others call them too."""
    found: set[str] = set()
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                if not _is_called(module, node):
                    found.add(getattr(node, "id", getattr(node, "attr", "")))
    return frozenset(found)


def _is_called(module: Module, node: ast.AST) -> bool:
    parent = module.parents.get(node)
    return (isinstance(parent, ast.Call) and parent.func is node) or (
        isinstance(parent, ast.Attribute) and parent.value is node
    )


def _unread(
    node: ast.FunctionDef | ast.AsyncFunctionDef,
) -> Iterator[tuple[ast.arg, int | None]]:
    """Parameters whose name the body never loads, with their places in a call."""
    arguments = [*node.args.posonlyargs, *node.args.args]
    bound = 1 if arguments and arguments[0].arg in ("self", "cls") else 0
    loaded = {
        inner.id
        for statement in node.body
        for inner in ast.walk(statement)
        if isinstance(inner, ast.Name)
    }
    for k, argument in enumerate(arguments):
        if argument.arg not in loaded and k >= bound:
            yield argument, k - bound
    for argument in node.args.kwonlyargs:
        if argument.arg not in loaded:
            yield argument, None


def _given(call: ast.Call, name: str, place: int | None) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    return call.args[place] if place is not None and place < len(call.args) else None


CHECK = Check("argument-unused", "Method Fidelity", "method implemented", _run)
