"""What a name stands for: the project's own definitions across modules, or an imported package."""

import ast
from dataclasses import dataclass

from ohgw.review.code.memo import once
from ohgw.review.project import Definition, Module, Project, dotted

Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | ast.Module


@dataclass(frozen=True)
class Imported:
    """A local name that an import binds."""

    module: Module | None  # the project's own, else None
    package: str  # dotted, as written and made absolute
    name: str | None  # None where the module itself is bound


class Names:
    """The names of a whole project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.imports = {module: self._imports(module) for module in project.parsed()}

    def module(self, name: str, near: Module | None = None) -> Module | None:
        """The project's module of this dotted name, also where its root is on the path by hand."""
        found = self.project.by_name.get(name)
        if found is not None or not name:
            return found
        if near is not None and "." in near.name:
            found = self.project.by_name.get(f"{near.name.rpartition('.')[0]}.{name}")
            if found is not None:
                return found
        endings = [m for own, m in self.project.by_name.items() if own.endswith(f".{name}")]
        return endings[0] if len(endings) == 1 else None

    def _imports(self, module: Module) -> dict[str, Imported]:
        found: dict[str, Imported] = {}
        for node in module.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname:
                        own = self.module(alias.name, module)
                        found[alias.asname] = Imported(own, alias.name, None)
                    else:
                        top = alias.name.partition(".")[0]
                        found[top] = Imported(self.project.by_name.get(top), top, None)
            elif isinstance(node, ast.ImportFrom):
                package = absolute(module, node)
                own = self.module(package, module)
                for alias in node.names:
                    below = self.module(f"{package}.{alias.name}", module)
                    if below is not None and (own is None or alias.name not in own.definitions):
                        bound = Imported(below, f"{package}.{alias.name}", None)
                    else:
                        bound = Imported(own, package, alias.name)
                    found[alias.asname or alias.name] = bound
        return found

    def definition(self, module: Module, name: str, depth: int = 0) -> Definition | None:
        """A function or class of the project by a name as `module` writes it, dots included."""
        if not name or depth > 8:
            return None
        own = module.definitions.get(name)
        if own is not None:
            return own
        head, _, rest = name.partition(".")
        imported = self.imports.get(module, {}).get(head)
        if imported is None or imported.module is None:
            return None
        if imported.name is not None:
            rest = f"{imported.name}.{rest}" if rest else imported.name
        elif imported.module.path.endswith("__init__.py") and "." in rest:
            package, _, last = rest.rpartition(".")
            below = self.module(f"{imported.package}.{package}")
            if below is not None:
                return self.definition(below, last, depth + 1)
        return self.definition(imported.module, rest, depth + 1)

    def full(self, module: Module, node: ast.AST) -> str:
        """The dotted name of an expression with imports spelled out: torch.optim.SGD."""
        name = dotted(node)
        head, _, rest = name.partition(".")
        imported = self.imports.get(module, {}).get(head)
        if imported is None:
            return name
        parts = [imported.package, imported.name or "", rest]
        return ".".join(part for part in parts if part)


def absolute(module: Module, node: ast.ImportFrom) -> str:
    """The dotted name of the module that an import is from."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".") if module.name else []
    if not module.path.endswith("__init__.py"):
        parts = parts[:-1]
    parts = parts[: len(parts) - (node.level - 1)] if node.level > 1 else parts
    return ".".join([*parts, *([node.module] if node.module else [])])


@once
def names(project: Project) -> Names:
    return Names(project)
