"""Signatures of the tree's own functions and classes, where they are certain."""

import ast
from dataclasses import dataclass

from ohgw.review.code.resolve import names
from ohgw.review.project import Definition, Module, Project, dotted

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PLAIN = frozenset(
    "staticmethod classmethod torch.no_grad torch.inference_mode no_grad abstractmethod "
    "abc.abstractmethod override torch.enable_grad functools.cache functools.lru_cache "
    "lru_cache cache torch.jit.ignore torch.jit.export typing.override".split()
)  # decorators that leave a signature as it is
_MODULES = ("nn.Module", "LightningModule")


@dataclass(frozen=True)
class Signature:
    """What a call may and must give; `self` is left out already."""

    positional: tuple[str, ...]
    only_named: tuple[str, ...]
    required: frozenset[str]
    not_named: frozenset[str]  # positional-only
    has_args: bool = False
    has_kwargs: bool = False

    def problem(self, call: ast.Call) -> str:
        """What is wrong with the arguments of a call; '' where nothing certainly is."""
        starred = any(isinstance(argument, ast.Starred) for argument in call.args)
        packed = any(keyword.arg is None for keyword in call.keywords)
        named = [keyword.arg for keyword in call.keywords if keyword.arg]
        allowed = {*self.positional, *self.only_named} - self.not_named
        for name in named:
            if name not in allowed and not self.has_kwargs:
                return f"takes no argument {name!r}"
        count = len([a for a in call.args if not isinstance(a, ast.Starred)])
        if count > len(self.positional) and not self.has_args:
            return f"takes {len(self.positional)} positional arguments, and {count} are given"
        if not starred:
            twice = set(self.positional[:count]) & set(named) - self.not_named
            if twice and not self.has_args:
                return f"is given {min(twice)!r} twice"
        if not starred and not packed:
            given = {*self.positional[:count], *named}
            lacking = sorted(self.required - given, key=self._rank)
            if lacking:
                return "needs " + ", ".join(map(repr, lacking))
        return ""

    def _rank(self, name: str) -> int:
        return [*self.positional, *self.only_named].index(name)


def signature(project: Project, definition: Definition, *, bound: bool = False) -> Signature | None:
    """Of a call of it; None where it cannot be known. `bound`: a method called on an object."""
    node = definition.node
    if isinstance(node, ast.ClassDef):
        return _constructor(project, definition)
    decorators = [dotted(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list]
    if any(name not in _PLAIN for name in decorators):
        return None
    skips = bound and "staticmethod" not in decorators
    return _of(node, skips or "classmethod" in decorators)


def _of(node: ast.FunctionDef | ast.AsyncFunctionDef, skip_first: bool) -> Signature | None:
    arguments = node.args
    first = [argument.arg for argument in arguments.posonlyargs]
    positional = first + [argument.arg for argument in arguments.args]
    required = set(positional[: len(positional) - len(arguments.defaults)])
    if skip_first:
        if not positional and arguments.vararg is None:
            return None
        required.discard(positional[0] if positional else "")
        positional = positional[1:]
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is None:
            required.add(argument.arg)
    return Signature(
        tuple(positional),
        tuple(argument.arg for argument in arguments.kwonlyargs),
        frozenset(required),
        frozenset(first),
        arguments.vararg is not None,
        arguments.kwarg is not None,
    )


def lineage(project: Project, owner: Definition) -> tuple[list[Definition], list[str]]:
    """(the class and its bases inside the tree, nearest first; full names of other bases)."""
    found, outside, pending = [owner], list[str](), [owner]
    while pending:
        current = pending.pop(0)
        for base in getattr(current.node, "bases", []):
            below = names(project).definition(current.module, dotted(base))
            if below is not None and below.is_class:
                if below not in found:
                    found.append(below)
                    pending.append(below)
            else:
                full = names(project).full(current.module, base)
                outside.append(full or ast.dump(base)[:40])
    return found, outside


def method(project: Project, owner: Definition, name: str) -> tuple[Definition | None, bool]:
    """(a method of a class or of its bases in the tree, whether a base outside may come first)."""
    line, outside = lineage(project, owner)
    for current in line:
        for statement in getattr(current.node, "body", []):
            if isinstance(statement, FUNCTIONS) and statement.name == name:
                found = current.module.definitions.get(f"{current.name}.{name}")
                if found is None or found.node is not statement:
                    return None, True  # defined twice
                return found, bool(outside) and current is not owner
    return None, bool(outside)


def _constructor(project: Project, owner: Definition) -> Signature | None:
    node = owner.node
    if not isinstance(node, ast.ClassDef) or node.keywords or _has(node, "__new__"):
        return None
    decorators = [dotted(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list]
    if decorators and all(name in ("dataclass", "dataclasses.dataclass") for name in decorators):
        return _dataclass(project, owner)
    if decorators:
        return None
    line, outside = lineage(project, owner)
    if any(_has(current.node, "__new__") or _is_decorated(current.node) for current in line):
        return None
    found, uncertain = method(project, owner, "__init__")
    if found is not None and not uncertain:
        return signature(project, found, bound=True)
    if found is None and (not outside or set(outside) == {"object"}):
        return Signature((), (), frozenset(), frozenset())
    return None


def _is_decorated(node: ast.AST) -> bool:
    return bool(getattr(node, "decorator_list", [])) or bool(getattr(node, "keywords", []))


def _has(node: ast.AST, name: str) -> bool:
    return any(getattr(statement, "name", "") == name for statement in getattr(node, "body", []))


def _dataclass(project: Project, owner: Definition) -> Signature | None:
    line, outside = lineage(project, owner)
    if outside and set(outside) != {"object"} and set(outside) != {"abc.ABC"}:
        return None
    positional: dict[str, bool] = {}
    for current in reversed(line):
        if _has(current.node, "__init__"):
            return None
        decorators = getattr(current.node, "decorator_list", [])
        if current is not owner and not decorators:
            continue
        for decorator in decorators:
            given = decorator.keywords if isinstance(decorator, ast.Call) else []
            if any(keyword.arg in ("init", "kw_only") for keyword in given):
                return None
        for statement in getattr(current.node, "body", []):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(
                statement.target, ast.Name
            ):
                continue
            written = ast.unparse(statement.annotation)
            if "KW_ONLY" in written:
                return None
            if "ClassVar" in written:
                continue
            has_default = statement.value is not None
            value = statement.value
            if isinstance(value, ast.Call) and dotted(value.func).endswith("field"):
                options = {keyword.arg for keyword in value.keywords}
                if options & {"init", "kw_only", None}:
                    return None
                has_default = bool(options & {"default", "default_factory"})
            positional[statement.target.id] = has_default
    required = frozenset(name for name, has_default in positional.items() if not has_default)
    return Signature(tuple(positional), (), required, frozenset())


def is_torch_module(outside: list[str]) -> bool:
    """Whether calling an object is calling its `forward`."""
    return bool(outside) and all(name.endswith(_MODULES) for name in outside)


def calls_of(module: Module) -> list[ast.Call]:
    return [node for node in module.nodes if isinstance(node, ast.Call)]
