"""Pretrained weights in an experiment that trains from scratch, by its texts or by its base."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import flow
from ohgw.review.code.nodes import Node
from ohgw.review.code.resolve import names
from ohgw.review.findings import Finding
from ohgw.review.project import Module, Project, constant

_SCRATCH = re.compile(
    r"(?:train|learn|initiali[sz]|model|network)[^.\n]{0,80}\bfrom[- ]scratch\b"
    r"|\bno pre-?train\w*|\bwithout pre-?train\w*",
    re.IGNORECASE,
)
_PRETRAINED = re.compile(r"(?<!no )(?<!without )\bpre-?trained\b|\bfine-?tun", re.IGNORECASE)
_NO_WEIGHTS = re.compile(r"Token|Config|Processor|Extractor|Vectorizer|Transform$")
_HELPERS = re.compile(
    r"teacher|judge|embed|encoder_for|reward|reference|lpips|inception|fid|metric|evaluat|score"
    r"|clip|victim|attack",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Weights:
    """A place where weights come from elsewhere, and the setting that asks for them, if any."""

    module: Module
    node: ast.Call
    setting: Node | None = None

    @property
    def line(self) -> int:
        return self.node.lineno


def _run(check: Check, context: Context) -> Iterator[Finding]:
    spec = context.spec
    text = spec.description or spec.texts
    asked = _SCRATCH.search(text)
    other = _PRETRAINED.search(text) is not None
    seen: set[tuple[str, int]] = set()
    for found in _weights(context.derived):
        path = found.setting.path if found.setting is not None else found.module.path
        line = found.setting.line if found.setting is not None else found.line
        if (path, line) in seen:
            continue
        if asked is not None:
            words = " ".join(text[asked.start() : asked.end()].split())
            why = f'the specification says "{words}"'
        elif not other and found.setting is None and _scratch_in_base(context, found):
            why = "the base builds the same model without"
        else:
            continue
        seen.add((path, line))
        yield check.finding(
            "warning" if asked is not None and other else "error",
            context.derived.at(path),
            line,
            f"The model starts from pretrained weights, but {why}.",
            evidence=ast.unparse(found.node)[:120],
            fix="Build the model from its configuration, with fresh weights.",
        )


def _weights(project: Project) -> Iterator[Weights]:
    resolver = names(project)
    for module in project.parsed():
        for node in module.nodes:
            if not isinstance(node, ast.Call) or _helper(module, node):
                continue
            full = resolver.full(module, node.func)
            owner, _, last = full.rpartition(".")
            last = last or getattr(node.func, "attr", "")
            if last == "from_pretrained":
                if not _NO_WEIGHTS.search(owner.rpartition(".")[2] or ast.unparse(node.func)):
                    yield Weights(module, node)
            elif last in ("load_state_dict_from_url", "load_url"):
                yield Weights(module, node)
            else:
                yield from _keywords(project, module, node)


def _keywords(project: Project, module: Module, node: ast.Call) -> Iterator[Weights]:
    """`resnet18(weights="DEFAULT")`, `create_model(..., pretrained=True)`."""
    for keyword in node.keywords:
        if keyword.arg not in ("pretrained", "weights"):
            continue
        value = constant(keyword.value)
        if keyword.arg == "pretrained" and value is True:
            yield Weights(module, node)
        elif keyword.arg == "weights" and _names_weights(keyword.value):
            yield Weights(module, node)
        elif value is ...:
            for part in flow(project).parts(keyword.value):
                if part.value is True or (keyword.arg == "weights" and _is_weights(part.value)):
                    yield Weights(module, node, part.origin)


def _names_weights(node: ast.expr) -> bool:
    """`weights="DEFAULT"`, `weights=ResNet18_Weights.DEFAULT`; not where a condition decides."""
    if isinstance(node, ast.Attribute):
        return "_Weights" in ast.unparse(node)
    return _is_weights(constant(node))


def _is_weights(value: object) -> bool:
    """Class weights and uniform or distance weights of a neighbour vote are no such weights."""
    return (
        isinstance(value, str)
        and re.fullmatch(r"DEFAULT|IMAGENET\w*|COCO\w*|KINETICS\w*|imagenet\w*|pretrained", value)
        is not None
    )


def _helper(module: Module, node: ast.AST) -> bool:
    """Whether a model serves the evaluation: a judge, a teacher, an embedding."""
    current: ast.AST | None = node
    while current is not None:
        if isinstance(current, ast.Assign):
            if any(_HELPERS.search(ast.unparse(target)) for target in current.targets):
                return True
        if isinstance(current, ast.FunctionDef | ast.ClassDef) and _HELPERS.search(current.name):
            return True
        current = module.parents.get(current)
    return False


def _scratch_in_base(context: Context, found: Weights) -> bool:
    """Whether the base's function of this name builds a model and asks for no weights."""
    if context.base is None:
        return False
    if any(True for _ in _weights(context.base)):
        return False
    function = found.module.parents.get(found.node)
    while function is not None and not isinstance(function, ast.FunctionDef):
        function = found.module.parents.get(function)
    if function is None:
        return False
    callee = ast.unparse(found.node.func)
    model = callee.removesuffix(".from_pretrained").rpartition(".")[2]
    for module in context.base.parsed():
        for definition in module.definitions.values():
            if definition.node.name == function.name and any(
                isinstance(node, ast.Call)
                and ast.unparse(node.func).rpartition(".")[2] in (model, "from_config")
                for node in ast.walk(definition.node)
            ):
                return True
    return False


CHECK = Check("pretrained-for-scratch", "Method Fidelity", "method implemented", _run)
