"""Functions that were never written: only `pass`, `...` or a NotImplementedError for a body."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.likeness import FUNCTIONS
from ohgw.review.code.memo import once
from ohgw.review.code.uses import uses
from ohgw.review.code.wholeness import gives_value, unset_fields
from ohgw.review.findings import Finding, Severity
from ohgw.review.preservation import ENOUGH, Piece, found
from ohgw.review.project import Definition, Module, Project, dotted

Kind = Literal["nothing", "raise", "none"]

# Decorators that leave a function what it is. Others may make use of an empty one.
_PLAIN = frozenset(
    "staticmethod classmethod property no_grad inference_mode enable_grad torch.no_grad "
    "torch.inference_mode torch.enable_grad jit torch.jit.script njit numba.njit numba.jit "
    "cache lru_cache functools.cache functools.lru_cache hydra.main torch.compile tf.function "
    "tensorflow.function override cached_property functools.cached_property timed profile".split()
)
# What a library, or Python itself, calls without being named in the tree.
_CALLED_BY_OTHERS = frozenset(
    "forward __call__ __len__ __getitem__ __iter__ __next__ training_step validation_step "
    "test_step predict_step configure_optimizers train_dataloader val_dataloader fit predict "
    "transform step backward main".split()
)
_HOOK = re.compile(
    r"^(?:on_|pre_|post_|before_|after_|handle_|configure_|prepare|set_?up|tear_?down|close|"
    r"reset|flush|log|start|stop|shutdown|clean|finali[sz]e|finish|init_weights|register|"
    r"barrier|wait|sync|callback|no_?op|nop|null|dummy|ignore|skip|identity|$|\w*__$)"
    r"|(?:_hook|_callback|_identity)$"
)
_MEANT = re.compile(
    r"(?i)no[-_ ]?op\b|\bno-?operation|unchanged|does nothing|do nothing|nothing (?:to|is)"
    r"|not (?:needed|used|required|applicable|supported)|unsupported|baseline"
    r"|by (?:default|design)|intentional|optional|subclass|overrid|abstract|interface|hook\b"
    r"|callback|ignored|disabled|null"
)
_NULL_CLASS = re.compile(
    r"(?i)^_?(?:no|null|noop|dummy|fake|mock|identity|empty|disabled|off|plain|vanilla|source|"
    r"baseline|constant|default|static|fixed|silent)(?=[A-Z_]|$)|(?:noop|null|baseline|stub)$"
)
_BASE_CLASS = re.compile(
    r"^_?(?:Base|Abstract|I[A-Z][a-z])|(?:Base|Interface|Mixin|ABC|Protocol|Callback|Hook|Plugin)$"
)
_CANNOT = re.compile(
    r"(?i)not support|unsupported|does not|do not|cannot|can't|only |instead|must be|subclass"
    r"|overrid|unknown|invalid|never|not defined|not possible|use \w+"
)
_TESTS = re.compile(r"(?:^|/)(?:tests?|docs?|examples)/|(?:^|/)(?:test_[^/]*|conftest)\.py$")


@dataclass(frozen=True)
class _Stub:
    definition: Definition
    kind: Kind
    line: int  # of the statement that stands for a body

    @property
    def short(self) -> str:
        return self.definition.name.rpartition(".")[2]

    @property
    def module(self) -> Module:
        return self.definition.module

    @property
    def does(self) -> str:
        return {
            "nothing": "does nothing",
            "raise": "only raises NotImplementedError",
            "none": "only returns None",
        }[self.kind]


def _run(check: Check, context: Context) -> Iterator[Finding]:
    comparison = context.comparison
    elders = {f.new.definition: f.old for f in comparison.fates if f.new} if comparison else {}
    for module in context.derived.parsed():
        if _TESTS.search(module.path):
            continue
        for definition in module.definitions.values():
            stub = stub_of(definition)
            if stub is None:
                continue
            elder = elders.get(definition) or _inner_elder(context, definition)
            if elder is not None and comparison and stub_of(elder.definition) is None:
                if elder.body.lines and found(elder.body, comparison)[0] < ENOUGH:
                    yield _lost(check, context, stub, elder)
                    continue
            if stub.kind != "none":
                yield from _never_written(check, context.derived, stub)
        yield from _empty_branches(check, context.derived, module)


def stub_of(definition: Definition) -> _Stub | None:
    """What stands for a body, where there is none."""
    node = definition.node
    if not isinstance(node, FUNCTIONS):
        return None
    body = [
        statement
        for statement in node.body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        and not isinstance(statement, ast.Pass)
    ]
    if not body:
        return _Stub(definition, "nothing", node.body[-1].lineno)
    if len(body) > 1:
        return None
    (only,) = body
    if isinstance(only, ast.Raise):
        error = only.exc.func if isinstance(only.exc, ast.Call) else only.exc
        if error is not None and dotted(error).rpartition(".")[2] == "NotImplementedError":
            return _Stub(definition, "raise", only.lineno)
    if isinstance(only, ast.Return) and (
        only.value is None or (isinstance(only.value, ast.Constant) and only.value.value is None)
    ):
        return _Stub(definition, "none", only.lineno)
    return None


def _inner_elder(context: Context, definition: Definition) -> Piece | None:
    """The base's function of the same name in the same place, for functions inside functions."""
    module = context.base.modules.get(definition.module.path) if context.base else None
    found = module.definitions.get(definition.name) if module is not None else None
    return Piece(found, frozenset()) if found is not None and not found.is_class else None


def _lost(check: Check, context: Context, stub: _Stub, elder: Piece) -> Finding:
    base, derived = context.base, context.derived
    assert base is not None
    return check.finding(
        "error",
        [derived.at(stub.module.path), base.at(elder.module.path)],
        [stub.line, elder.definition.line],
        f"{stub.definition.name} {stub.does}, where the base has a body of "
        f"{len(elder.body.lines)} statements; what it did is lost.",
        evidence=stub.module.source(stub.line),
        fix="Bring the body back, or write what replaces it.",
    )


def _never_written(check: Check, project: Project, stub: _Stub) -> Iterator[Finding]:
    if _is_declared_only(project, stub):
        return
    certain = uses(project).of(stub.definition, project)
    needed = [use for use in certain if use.need == "needed"]
    mentioned = bool(certain) or _is_mentioned(project, stub)
    severity: Severity = "warning"
    if stub.kind == "raise" and _is_needed_setup(project, stub):
        severity = "error"
    elif stub.kind == "raise":
        refuses = _CANNOT.search(_message(stub.definition)) or _inherits_body(project, stub)
        if certain or (mentioned and not refuses):
            severity = "error"
    elif needed or _is_needed_setup(project, stub):
        severity = "error"
    elif _is_meant_empty(stub):
        return
    elif _is_inner(stub):
        severity = "warning"  # something that the function gives away, perhaps for nothing to do
    elif mentioned and not _opts_out(project, stub):
        severity = "error"
    after = " although the code calls it" if mentioned else ""
    if needed:
        use = needed[0]
        after = f", and {use.module.path}:{use.call.lineno} needs what it gives"
    yield check.finding(
        severity,
        project.at(stub.module.path),
        stub.line,
        f"{stub.definition.name} {stub.does}{after}: it was never written.",
        evidence=stub.module.source(stub.line),
        fix="Write the body; until then every run that gets here does nothing or stops.",
    )


def _is_mentioned(project: Project, stub: _Stub) -> bool:
    """Whether something of this name is used, or called without being named."""
    if stub.short in _CALLED_BY_OTHERS:
        return True
    if _owner(stub.definition) is not None:
        return uses(project).dotted[stub.short] > 0 and not stub.short.startswith("__")
    return uses(project).named[stub.short] > 0 and "." not in stub.definition.name


def _message(definition: Definition) -> str:
    return " ".join(
        node.value
        for node in ast.walk(definition.node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _owner(definition: Definition) -> Definition | None:
    """The class of a method."""
    owner = definition.module.definitions.get(definition.name.rpartition(".")[0])
    return owner if owner is not None and owner.is_class else None


def _is_declared_only(project: Project, stub: _Stub) -> bool:
    """Abstract, overloaded, a protocol, one of several alternatives: no body is wanted here."""
    node, module = stub.definition.node, stub.module
    for decorator in node.decorator_list:
        name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name not in _PLAIN:
            return True
    up = module.parents.get(node)
    while up is not None and not isinstance(up, (ast.Module, ast.ClassDef, *FUNCTIONS)):
        if isinstance(up, ast.If | ast.Try | ast.ExceptHandler):
            return True
        up = module.parents.get(up)
    around = ast.iter_child_nodes(up or module.nodes[0])
    if sum(isinstance(n, FUNCTIONS) and n.name == stub.short for n in around) > 1:
        return True
    owner = _owner(stub.definition)
    if owner is None:
        return False
    if {"ABC", "Protocol"} & _bases(owner) or _BASE_CLASS.search(owner.node.name):
        return True
    if getattr(owner.node, "keywords", ()):  # metaclass=ABCMeta and its like
        return True
    return _is_abstract(owner) or any(owner.node.name in _bases(c) for c in _classes(project))


def _is_abstract(owner: Definition) -> bool:
    return any(
        dotted(decorator).rpartition(".")[2].startswith("abstract")
        for node in ast.iter_child_nodes(owner.node)
        if isinstance(node, FUNCTIONS)
        for decorator in node.decorator_list
    )


def _bases(owner: Definition) -> set[str]:
    """The last parts of the names of the classes that a class is made from."""
    return {
        dotted(base.value if isinstance(base, ast.Subscript) else base).rpartition(".")[2]
        for base in getattr(owner.node, "bases", ())
    }


@once
def _classes(project: Project) -> list[Definition]:
    return [d for m in project.parsed() for d in m.definitions.values() if d.is_class]


@once
def _written(project: Project) -> dict[str, list[str]]:
    """Names of methods that have a body, with the names of their classes."""
    return {
        name: [definition.name.split(".")[-2] for definition in definitions]
        for name, definitions in _bodies(project).items()
    }


@once
def _bodies(project: Project) -> dict[str, list[Definition]]:
    """Methods that have a body, by name."""
    found: dict[str, list[Definition]] = {}
    for module in project.parsed():
        for definition in module.definitions.values():
            if _owner(definition) is not None and stub_of(definition) is None:
                found.setdefault(definition.node.name, []).append(definition)
    return found


def _inherits_body(project: Project, stub: _Stub) -> bool:
    """Whether a class above, in this tree, has the method with a body."""
    owner = _owner(stub.definition)
    above, seen = _bases(owner) if owner else set(), {""}
    by_name = {c.node.name: c for c in _classes(project)}
    while above:
        name = above.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in _written(project).get(stub.short, ()):
            return True
        if name in by_name:
            above |= _bases(by_name[name])
    return False


def _is_meant_empty(stub: _Stub) -> bool:
    """By its name, its class's name, or what is written beside it."""
    definition = stub.definition
    owner = _owner(definition)
    if stub.short not in _CALLED_BY_OTHERS and _HOOK.search(stub.short.lstrip("_")):
        return True
    if owner is not None and _NULL_CLASS.search(owner.node.name):
        return True
    end = definition.node.end_lineno or definition.line
    said = " ".join(stub.module.source(n) for n in range(definition.line, end + 1))
    return bool(_MEANT.search(said.partition(")")[2]))


def _is_needed_setup(project: Project, stub: _Stub) -> bool:
    """An `__init__` without which other methods read fields that nothing sets."""
    owner = _owner(stub.definition)
    return stub.short == "__init__" and owner is not None and bool(unset_fields(project, owner))


def _is_inner(stub: _Stub) -> bool:
    """Whether a function is inside another function."""
    return "." in stub.definition.name and _owner(stub.definition) is None


def _opts_out(project: Project, stub: _Stub) -> bool:
    """Other classes have the method with a body, and nothing says what this one's should do."""
    if _owner(stub.definition) is None or not _written(project).get(stub.short):
        return False
    node = stub.definition.node
    if stub.kind == "nothing" and all(gives_value(m) for m in _bodies(project)[stub.short]):
        return False  # the others give something back, where this one gives nothing
    said = ast.get_docstring(node, clean=False) if isinstance(node, FUNCTIONS) else ""
    return len((said or "").split()) < 4 or _inherits_body(project, stub)


def _empty_branches(check: Check, project: Project, module: Module) -> Iterator[Finding]:
    """`if method == "x": pass` does the same for x as for everything else."""
    for node in module.nodes:
        if (
            isinstance(node, ast.If)
            and len(node.body) == 1
            and isinstance(node.body[0], ast.Pass)
            and not node.orelse
        ):
            end = node.body[0].end_lineno or node.lineno
            said = " ".join(module.source(n) for n in range(node.lineno, end + 1))
            if not _MEANT.search(said) and not re.search(r"(?i)['\"](?:none|off|no)['\"]", said):
                yield check.finding(
                    "warning",
                    project.at(module.path),
                    node.body[0].lineno,
                    "The branch does nothing: whatever its condition asks for is not done.",
                    evidence=module.source(node.lineno),
                    fix="Write the branch, or take the condition out.",
                )


CHECK = Check("stub", "Incomplete Replacement", "method implemented", _run)
