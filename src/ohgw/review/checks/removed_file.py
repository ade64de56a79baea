"""Files of the base that the derived tree no longer has."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.commands import guard
from ohgw.review.config import Config
from ohgw.review.findings import Finding, Severity
from ohgw.review.preservation import Comparison
from ohgw.review.project import Module, Project

_ASIDE = frozenset({"tests", "test", "docs", "doc", "examples", "notebooks", "scripts", "tools"})
_DECLARATIONS = ("pyproject.toml", "setup.py", "setup.cfg", "environment.yml", "environment.yaml")
_DATA = (".json", ".csv", ".tsv", ".txt", ".jsonl", ".npy", ".npz", ".parquet", ".yaml", ".yml")
MOST = 0.6  # of the keys of a configuration: it is the same one elsewhere


def _run(check: Check, context: Context) -> Iterator[Finding]:
    base, comparison = context.base, context.comparison
    if base is None or comparison is None:
        return
    derived = context.derived
    for path in sorted(base.tree.files):
        if path in derived.tree.files:
            continue
        found: tuple[Severity, str] | None = None
        if path in base.modules:
            found = _module(base.modules[path], derived, comparison)
        elif path in _DECLARATIONS or PurePosixPath(path).name.startswith("requirements"):
            found = _declaration(derived)
        elif path in base.configs:
            found = _config(base.configs[path], derived)
        elif PurePosixPath(path).suffix in _DATA and _is_read(path, derived):
            found = ("error", "the derived code still reads it by this name")
        if found is None:
            continue
        severity, why = found
        if _ASIDE.intersection(PurePosixPath(path).parts[:-1]):
            severity = "warning"
        yield check.finding(
            severity,
            base.at(path),
            1,
            f"{path} of the base is missing from the derived tree: {why}.",
            fix="Bring the file back, or move everything that it held to where it is needed.",
        )


def _module(
    module: Module, derived: Project, comparison: Comparison
) -> tuple[Severity, str] | None:
    fates = [fate for fate in comparison.fates if fate.old.module is module]
    gone = [fate for fate in fates if fate.kind == "gone"]
    if module.tree is None:
        return "warning", "it does not parse, so what it held cannot be looked for"
    if not fates:
        if guard(module) is not None and not any(guard(m) for m in derived.parsed()):
            return "error", "nothing in the derived tree can be run in its place"
        return None
    if len(gone) < len(fates):
        return None  # moved; what is lost of it is reported by name
    names = ", ".join(fate.old.name for fate in gone[:5])
    return "error", f"so are all its functions and classes ({names})"


def _declaration(derived: Project) -> tuple[Severity, str] | None:
    files = derived.tree.files
    others = [
        path
        for path in files
        if path in _DECLARATIONS or PurePosixPath(path).name.startswith("requirements")
    ]
    if others:
        return None
    return "error", "nothing declares what the code depends on"


def _config(config: Config, derived: Project) -> tuple[Severity, str] | None:
    if _is_read(config.path, derived):
        return "error", "the derived code still reads it by this name"
    keys = {entry.key for entry in config.entries.values() if isinstance(entry.key, str)}
    there = {
        entry.key for other in derived.configs.values() for entry in other.entries.values()
    } | set(derived.strings)
    if not keys or len(keys & there) >= MOST * len(keys):
        return None
    return "warning", "its settings are in no other configuration"


def _is_read(path: str, derived: Project) -> bool:
    """Whether a text of the code names the file."""
    name = PurePosixPath(path).name
    return any(text == name or text.endswith(f"/{name}") for text in derived.strings)


CHECK = Check("removed-file", "Omission", "parses", _run)
