"""How many replicates the texts ask for, and how many the full configuration runs."""

import ast
import re
from collections import Counter
from dataclasses import dataclass

from ohgw.review.code.nodes import Node, configurations
from ohgw.review.meaning.runs import role_of, runs
from ohgw.review.project import Project, constant
from ohgw.review.spec import Spec

_ASKED = re.compile(
    r"(\d+)\s+(?:independent\s+|random\s+|paired\s+)?(?:replicates|seeds|repetitions)\b",
    re.IGNORECASE,
)
_MANY = re.compile(
    r"(?:n|num|number_of|n_)?_?(?:seeds|replicates|repeats|repetitions|replications|trials_per_run)"
)
_ONE = re.compile(r"(?:random_|global_|base_)?seed|random_state")


@dataclass(frozen=True)
class Replicates:
    """A number of replicates and where it is written down."""

    count: int
    path: str
    line: int


def wanted_replicates(spec: Spec) -> tuple[int | None, str]:
    """The number that is asked for, and the words that ask."""
    if spec.replicates is not None:
        return spec.replicates, f"replicates: {spec.replicates}"
    found = _ASKED.search(spec.description)
    return (int(found[1]), found[0]) if found else (None, "")


def declared_replicates(project: Project) -> Replicates | None:
    """The fewest of any full run; None where the number cannot be read off.

    Counted are lists of seeds, numbers of seeds, runs that share an id but not a seed, and
    constants and defaults of the code with such names.
    """
    if loops := _in_code(project):
        return loops
    listed, single = [], []
    for root in configurations(project):
        if root.path.endswith(".py") or role_of(root) == "smoke":
            continue
        for node in root.walk():
            if not isinstance(node.key, str) or role_of(node) == "smoke":
                continue
            if _MANY.fullmatch(node.key.lower()):
                count = _count(node)
                if count:
                    listed.append(Replicates(count, node.path, node.line))
            elif _ONE.fullmatch(node.key.lower()) and node.is_scalar:
                single.append(Replicates(1, node.path, node.line))
    if listed:
        return min(listed, key=lambda found: found.count)
    if not single or _repeats(project):
        return None
    times = Counter(run.id for run in runs(project) if run.role != "smoke")
    count = min(times.values(), default=1)
    return Replicates(count, single[0].path, single[0].line)


def _count(node: Node) -> int | None:
    if not node.is_scalar:
        return len(node.children or ())
    if isinstance(node.value, bool):
        return None
    if isinstance(node.value, int):
        return node.value
    if isinstance(node.value, str):  # "0,1,2" and "range(5)"
        if found := re.fullmatch(r"range\((?:0,\s*)?(\d+)\)", node.value.strip()):
            return int(found[1])
        parts = node.value.split(",")
        if len(parts) > 1 and all(part.strip().isdigit() for part in parts):
            return len(parts)
    return None


def _in_code(project: Project) -> Replicates | None:
    """Constants such as SEEDS = range(5), and defaults such as --num-seeds 5."""
    for module in project.parsed():
        for node in module.nodes:
            name, value, line = "", None, getattr(node, "lineno", 1)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name, value = node.targets[0].id, node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                name, value = node.target.id, node.value
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
                option = constant(node.args[0]) if node.args else ""
                name = str(option).lstrip("-").replace("-", "_")
                value = next((k.value for k in node.keywords if k.arg == "default"), None)
            if value is None or not _MANY.fullmatch(name.lower()):
                continue
            count = _literal_count(value)
            if count:
                return Replicates(count, module.path, line)
    return None


def _literal_count(node: ast.expr) -> int | None:
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("range", "list", "tuple"):
        inner = node.args[0] if node.args else None
        if isinstance(inner, ast.Call):
            return _literal_count(inner)
        bounds = [constant(argument) for argument in node.args]
        if all(isinstance(bound, int) for bound in bounds) and 0 < len(bounds) < 4:
            return len(range(*bounds))
    value = constant(node)
    if isinstance(value, list | tuple | set):
        return len(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _repeats(project: Project) -> bool:
    """True where code goes through seeds or replicates that are not written down as a number."""
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.For | ast.comprehension):
                names = {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
                names |= {n.id for n in ast.walk(node.iter) if isinstance(n, ast.Name)}
                if any(re.search(r"seed|replic|repeat", name.lower()) for name in names):
                    return True
    return False
