"""Declared packages that nothing in the tree uses."""

from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.memo import once
from ohgw.review.dependencies import declaration
from ohgw.review.findings import Finding
from ohgw.review.packages import SILENT, provides
from ohgw.review.project import Project, dotted


def _run(check: Check, context: Context) -> Iterator[Finding]:
    derived = context.derived
    imported = _imported(derived)
    for name, (path, line) in sorted(declaration(derived).places.items()):
        if name in SILENT or path not in derived.tree.files:
            continue
        if any(provides(name, found) for found in imported) or _is_named(derived, name):
            continue
        lines = derived.tree.files[path].lines
        yield check.finding(
            "warning",
            derived.at(path),
            line,
            f"{name} is declared, but nothing in the tree imports or names it.",
            evidence=lines[line - 1].strip() if 0 < line <= len(lines) else "",
            fix="Take it out, unless it is used without being imported.",
        )


@once
def _imported(project: Project) -> frozenset[str]:
    """Top-level names of all imports, tests and optional ones included."""
    found = set()
    for module in project.parsed():
        for node in module.nodes:
            for alias in getattr(node, "names", ()):
                if hasattr(alias, "asname") and not getattr(node, "level", 0):
                    found.add((getattr(node, "module", None) or alias.name).partition(".")[0])
    return frozenset(found)


def _is_named(project: Project, name: str) -> bool:
    """Whether a text of the code, a configuration or a script names the package."""
    names = (name, name.replace("-", "_"))
    if name.startswith("hydra-"):
        return any("hydra" in dotted(n) for m in project.parsed() for n in m.nodes)
    for file in project.tree.texts(".py", ".yaml", ".yml", ".sh", ".cfg", ".ini", ".ipynb"):
        if any(word in (file.text or "") for word in names):
            return True
    return False


CHECK = Check("dependency-unused", "Quality Degradation", "dependencies resolve", _run)
