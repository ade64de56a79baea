"""Learning rate schedulers and optimisers that are made, handed around and never stepped."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.aliases import journey
from ohgw.review.code.resolve import names
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import called, is_test_module, name_of, words
from ohgw.review.project import Module

_SCHEDULER = re.compile(
    r"(?:StepLR|MultiStepLR|LambdaLR|MultiplicativeLR|ConstantLR|LinearLR|ExponentialLR|"
    r"PolynomialLR|CosineAnnealingLR|CosineAnnealingWarmRestarts|CyclicLR|OneCycleLR|SequentialLR|"
    r"ChainedScheduler|ReduceLROnPlateau|get_(?:\w+_)?schedule(?:_with\w*)?|get_scheduler|"
    r"CosineLRScheduler|StepLRScheduler|PlateauLRScheduler)"
)
_OPTIMISER = re.compile(
    r"torch\.optim\.(?:SGD|Adam|AdamW|NAdam|RAdam|Adamax|Adagrad|Adadelta|RMSprop|Rprop|ASGD|LBFGS)"
)
_LIBRARIES = ("torch.optim", "transformers", "timm", "diffusers")
# What is given one of them and leaves the stepping to the caller.
_HARMLESS = frozenset(
    "print len isinstance hasattr id repr str type zero_grad state_dict save dump unscale_ "
    "clip_grad_norm_ load_state_dict deepcopy".split()
)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    resolver = names(project)
    for module in project.parsed():
        if is_test_module(module):
            continue
        for node in module.nodes:
            if not isinstance(node, ast.Call):
                continue
            full = resolver.full(module, node.func)
            if _OPTIMISER.fullmatch(full):
                what, harmless = "optimiser", _HARMLESS
            elif _SCHEDULER.fullmatch(called(node)) and full.startswith(_LIBRARIES):
                what, harmless = "learning rate scheduler", _HARMLESS
            else:
                continue
            found = journey(project, module, node, harmless | _made(context))
            if found.escaped or "step" in found.methods or "__call__" in found.methods:
                continue
            if found.methods & {"step_update", "minimize", "apply_gradients", "param_groups"}:
                continue
            if what == "optimiser" and _something_steps(module):
                continue  # it may be there for its zero_grad alone
            yield check.finding(
                "error",
                project.at(module.path),
                node.lineno,
                f"The {what} {called(node)} is made and never stepped: "
                + ("the weights stay as they were." if what == "optimiser" else "nothing changes."),
                evidence=module.source(node.lineno),
                fix="Call its step() after every batch or epoch.",
            )


def _something_steps(module: Module) -> bool:
    return any(
        isinstance(node, ast.Call)
        and called(node) == "step"
        and isinstance(node.func, ast.Attribute)
        and not {"scheduler", "sched", "lr"} & set(words(name_of(node.func.value)))
        for node in module.nodes
    )


def _made(context: Context) -> frozenset[str]:
    """Schedulers are made of optimisers and do not step those."""
    return frozenset(
        called(node)
        for module in context.derived.parsed()
        for node in module.nodes
        if isinstance(node, ast.Call) and _SCHEDULER.fullmatch(called(node))
    )


CHECK = Check("never-stepped", "Method Fidelity", "method implemented", _run)
