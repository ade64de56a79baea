"""Packages that the code imports and nothing declares."""

import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.dependencies import Declaration, Import, declaration, outside_imports
from ohgw.review.findings import Finding, Severity
from ohgw.review.packages import brought_by, distributions, is_known, is_of, provides

_BESIDE = re.compile(r"(?:^|/)(?:benchmarks?|examples?|tools|scripts|notebooks?|third_party)/")

# What so many packages bring that nobody notices who does.
_COMMON_FREIGHT = frozenset(
    "numpy omegaconf pillow packaging typing-extensions setuptools scipy six".split()
)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    derived = context.derived
    declared = declaration(derived)
    if derived.manifest.problem:
        return
    if not declared.is_there:
        yield from _no_manifest(check, context)
        return
    if not declared.names and declared.home == "pyproject.toml":
        if "project" not in derived.manifest.data:
            return  # `dependency-schema` says that nothing is declared
    base = context.base
    before = sorted(declaration(base).names) if base is not None else []
    known_before = {i.name for i in outside_imports(base)} if base is not None else set()
    seen: set[str] = set()
    for found in sorted(outside_imports(derived), key=_importance):
        if found.name in seen:
            continue
        seen.add(found.name)
        if any(provides(name, found.name) for name in declared.names):
            continue
        usual = distributions(found.name)[0]
        if usual in _COMMON_FREIGHT and brought_by(found.name, declared.names):
            continue  # it is there: nobody who declares pandas is surprised to find numpy
        dropped = [name for name in before if provides(name, found.name)]
        severity, why = _verdict(found, declared, dropped, found.name in known_before)
        yield check.finding(
            severity,
            derived.at(found.module.path),
            found.line,
            f"{found.name} is imported, but {declared.home} declares no {usual}: {why}.",
            evidence=found.module.source(found.line),
            fix=f'Add "{usual}" to the dependencies in {declared.home}.',
        )


def _importance(found: Import) -> tuple[bool, bool, str, int]:
    return (found.optional, _is_beside(found), found.module.path, found.line)


def _is_beside(found: Import) -> bool:
    """Whether only a file beside the experiment imports it."""
    return bool(_BESIDE.search(found.module.path))


def _no_manifest(check: Check, context: Context) -> Iterator[Finding]:
    """One finding for all packages."""
    derived = context.derived
    needed = sorted((i for i in outside_imports(derived) if not i.optional), key=_importance)
    if not needed:
        return
    usual = list(dict.fromkeys(distributions(i.name)[0] for i in needed))
    first = needed[0]
    yield check.finding(
        "warning",
        derived.at(first.module.path),
        first.line,
        f"Nothing declares what the code imports ({', '.join(usual[:8])}): there is neither a "
        "pyproject.toml nor a requirements file.",
        evidence=first.module.source(first.line),
        fix="Add a pyproject.toml whose [project] lists them as dependencies.",
    )


def _verdict(
    found: Import, declared: Declaration, dropped: list[str], known_before: bool
) -> tuple[Severity, str]:
    carrier = brought_by(found.name, declared.names)
    if found.optional:
        return "note", "the code does without it where it is absent"
    if dropped:
        return "error", f"the base declares {dropped[0]}, and it was dropped"
    if carrier:
        return "warning", f"it is there only as long as {carrier} brings it"
    if known_before and not dropped:
        return "warning", "the base imports it without a declaration, too"
    if _is_beside(found):
        return "warning", "that file does not run in a fresh environment"
    strangers = [name for name in declared.names if not is_of(name)]
    if declared.is_open or (strangers and not is_known(found.name)):
        other = f" ({strangers[0]} may bring it)" if strangers else ""
        return "warning", f"it may come with something that could not be looked into{other}"
    return "error", "a fresh environment stops at this line"


CHECK = Check("dependency-missing", "Not Executable", "dependencies resolve", _run)
