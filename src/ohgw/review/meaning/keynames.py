"""Names that a project has for keys: of its configurations, and of the mappings its code makes."""

import ast

from ohgw.review.code.memo import once
from ohgw.review.code.nodes import configurations
from ohgw.review.project import Project, constant

# Calls whose keywords become keys, besides those of the tree's own classes and functions.
_MAKERS = frozenset(
    "dict update create Namespace SimpleNamespace DictConfig replace set_defaults merge from_dict "
    "namedtuple make_dataclass".split()
)


@once
def all_keys(project: Project) -> frozenset[str]:
    """Keys of configurations, and names that code may give to keys, fields or options."""
    found = {str(node.key) for root in configurations(project) for node in root.walk()}
    own = {d.node.name for module in project.parsed() for d in module.definitions.values()}
    makers = _MAKERS | own
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Dict):
                found |= {str(constant(key)) for key in node.keys if key is not None}
            elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                found.add(str(constant(node.slice)))
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
                found |= {str(constant(a)).lstrip("-").replace("-", "_") for a in node.args}
            elif isinstance(node, ast.Call) and (
                getattr(node.func, "id", getattr(node.func, "attr", "")) in makers
            ):
                found |= {keyword.arg for keyword in node.keywords if keyword.arg}
    return frozenset(found)


@once
def all_parameters(project: Project) -> frozenset[str]:
    """Names of parameters, fields, functions and classes: keys only where code reflects."""
    found: set[str] = set()
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return frozenset(found)


@once
def reflects(project: Project) -> bool:
    """Whether code makes mappings of its own names."""
    return any(
        isinstance(node, ast.Name | ast.Attribute)
        and getattr(node, "id", getattr(node, "attr", ""))
        in ("locals", "vars", "asdict", "__dict__", "signature", "_asdict", "getmembers", "globals")
        for module in project.parsed()
        for node in module.nodes
    )
