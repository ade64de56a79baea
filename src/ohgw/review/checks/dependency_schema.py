"""Declarations of dependencies that an installer refuses, or does not read."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from ohgw.review.checks.check import Check, Context
from ohgw.review.dependencies import outside_imports
from ohgw.review.findings import Finding, Severity
from ohgw.review.manifest import Manifest
from ohgw.review.packages import NOT_DISTRIBUTIONS
from ohgw.review.project import Project

Problem = tuple[Severity, int, str, str]  # severity, line, message, fix

_LIST = 'Write `dependencies = ["torch>=2", ...]` under [project].'
_BACKENDS = {
    "setuptools": "setuptools",
    "hatchling": "hatchling",
    "poetry": "poetry",
    "flit_core": "flit",
    "pdm": "pdm",
    "uv_build": "uv",
    "maturin": "maturin",
    "mesonpy": "meson",
    "scikit_build_core": "scikit-build",
}


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    manifest = project.manifest
    if manifest.path and not manifest.problem:
        for severity, line, message, fix in _pyproject(project, manifest):
            source = manifest.lines[line - 1].strip() if line <= len(manifest.lines) else ""
            place = project.at(manifest.path)
            yield check.finding(severity, place, line, message, evidence=source, fix=fix)
    for file in project.tree.texts(".txt", ".in"):
        if PurePosixPath(file.path).name.startswith("requirements"):
            for line, text, reason in _bad_lines(file.lines):
                yield check.finding(
                    "error",
                    project.at(file.path),
                    line,
                    f"{text!r} is no requirement that pip can read: {reason}.",
                    evidence=file.lines[line - 1].strip(),
                    fix="Write it as in PEP 508: torch>=2.0",
                )


def _pyproject(project: Project, manifest: Manifest) -> Iterator[Problem]:
    data = manifest.data
    table = data.get("project")
    if table is None:
        yield from _without_project(project, manifest)
    elif not isinstance(table, dict):
        yield "error", manifest.line("project"), "`project` is not a table.", _LIST
    else:
        yield from _project(project, manifest, table)
    yield from _build(project, manifest)


def _project(project: Project, manifest: Manifest, table: dict[str, Any]) -> Iterator[Problem]:
    dynamic = table.get("dynamic") if isinstance(table.get("dynamic"), list) else []
    if "name" not in table:
        fix = 'Write `name = "..."` under [project].'
        line = manifest.line("[project")
        yield "error", line, "[project] has no name, without which no installer reads it.", fix
    elif "version" not in table and "version" not in (dynamic or ()):
        fix = 'Write `version = "0.1.0"` under [project].'
        line = manifest.line("[project]")
        yield "error", line, "[project] has neither a version nor a dynamic one.", fix
    listed = table.get("dependencies")
    if isinstance(listed, dict):
        line = _header(manifest, "project.dependencies") or manifest.line("dependencies")
        names = ", ".join(list(listed)[:4])
        yield (
            "error",
            line,
            f"The dependencies ({names}, ...) are a table; the standard wants a list of strings, "
            "and installers stop at this.",
            _LIST,
        )
    elif listed is not None and not isinstance(listed, list):
        line = manifest.line("dependencies")
        yield "error", line, f"The dependencies are a {type(listed).__name__}, not a list.", _LIST
    for item in listed if isinstance(listed, list) else ():
        yield from _requirement(manifest, item)
    extras = table.get("optional-dependencies")
    if extras is not None:
        groups = extras.items() if isinstance(extras, dict) else [("", extras)]
        for name, items in groups:
            if not isinstance(items, list):
                line = manifest.line(str(name) or "optional-dependencies")
                message = f"The optional dependencies {name!r} are not a list of strings."
                yield "error", line, message, 'Write `dev = ["pytest"]`.'
            else:
                for item in items:
                    yield from _requirement(manifest, item)
    yield from _misplaced(project, manifest, table)
    yield from _poetry_beside(project, manifest, table)


def _requirement(manifest: Manifest, item: Any) -> Iterator[Problem]:
    if not isinstance(item, str):
        line = manifest.line(
            *([str(next(iter(item)))] if isinstance(item, dict) and item else ["["])
        )
        message = f"The dependency {item!r} is a {type(item).__name__}, not a string."
        yield "error", line, message, _LIST
        return
    try:
        name = Requirement(item).name.lower()
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        message = f"{item!r} is not a requirement (PEP 508): {reason}."
        yield "error", manifest.line(item), message, 'Write it like "torch>=2.0,<3".'
        return
    if name in NOT_DISTRIBUTIONS:
        right = NOT_DISTRIBUTIONS[name]
        message = f"{item!r} is what is imported, not what is installed: that is {right}."
        yield "error", manifest.line(item), message, f'Write "{right}".'


def _misplaced(project: Project, manifest: Manifest, table: dict[str, Any]) -> Iterator[Problem]:
    """A list of dependencies that ended up in another table."""
    if table.get("dependencies") or not outside_imports(project):
        return
    for name, inner in (
        *((f"project.{key}", value) for key, value in table.items()),
        *((key, value) for key, value in manifest.data.items() if key != "project"),
    ):
        if isinstance(inner, dict) and isinstance(inner.get("dependencies"), list | dict):
            if name.startswith("project.") and name.endswith("dependencies"):
                continue
            line = _after(manifest, name, "dependencies")
            message = f"The dependencies stand in [{name}], where no installer looks for them."
            yield "error", line, message, "Move them up, directly under [project]."
    if isinstance(manifest.data.get("dependencies"), list | dict):
        line = manifest.line("dependencies")
        message = "The dependencies stand outside of [project], where no installer looks for them."
        yield "error", line, message, "Move them under [project]."


def _poetry(manifest: Manifest) -> dict[str, Any] | None:
    tool = manifest.data.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    return poetry if isinstance(poetry, dict) else None


def _builds_poetry(manifest: Manifest) -> bool:
    build = manifest.data.get("build-system")
    backend = build.get("build-backend") if isinstance(build, dict) else None
    return isinstance(backend, str) and backend.startswith("poetry")


def _poetry_beside(
    project: Project, manifest: Manifest, table: dict[str, Any]
) -> Iterator[Problem]:
    poetry = _poetry(manifest)
    listed = poetry.get("dependencies") if poetry else None
    if not isinstance(listed, dict) or not set(listed) - {"python"}:
        return
    line = _header(manifest, "tool.poetry.dependencies") or manifest.line("poetry")
    if not table.get("dependencies") and outside_imports(project):
        yield (
            "error",
            line,
            "The dependencies stand in [tool.poetry.dependencies] beside a [project] table without "
            "any: what reads [project] installs none of them.",
            _LIST,
        )
    elif not _builds_poetry(manifest):
        yield (
            "warning",
            line,
            "[tool.poetry.dependencies] stands beside [project], and the build backend is not "
            "Poetry's: nothing reads it.",
            "Move what is needed into [project] dependencies.",
        )


def _without_project(project: Project, manifest: Manifest) -> Iterator[Problem]:
    others = {"setup.py", "setup.cfg", "environment.yml", "environment.yaml", "Pipfile"}
    elsewhere = others & set(project.tree.files) or any(
        path.startswith("requirements") for path in project.tree.files
    )
    poetry = _poetry(manifest) or {}
    listed = poetry.get("dependencies")
    if isinstance(listed, dict) and set(listed) - {"python"}:
        line = _header(manifest, "tool.poetry.dependencies") or manifest.line("poetry")
        if not _builds_poetry(manifest):
            yield (
                "error",
                line,
                "The dependencies are Poetry's alone, but [build-system] names no Poetry backend: "
                "pip and uv install none of them.",
                _LIST,
            )
        elif _uses_uv(project):
            yield (
                "error",
                line,
                "The dependencies are Poetry's alone, and the tree is run through uv, which reads "
                "[project]: nothing is installed.",
                _LIST,
            )
        elif _lacks_package(project, poetry):
            yield (
                "error",
                line,
                f"Poetry looks for a package {_package(poetry)!r} to build and the tree has none: "
                "installing the dependencies stops there.",
                "Declare them under [project], or name the folder in `packages`.",
            )
        else:
            yield (
                "warning",
                line,
                "The dependencies are Poetry's alone: tools that read the standard [project] table "
                "(uv among them) find nothing to install.",
                _LIST,
            )
    elif not elsewhere and outside_imports(project) and not isinstance(listed, dict):
        where = [name for name, value in manifest.data.items() if _holds(value)]
        line = manifest.line("dependencies") if "dependencies" in _words(manifest) else 1
        place = f" (they stand in [{where[0]}])" if where else ""
        yield (
            "error",
            line,
            f"pyproject.toml has no [project] table, so nothing declares the dependencies{place}.",
            _LIST,
        )


def _holds(value: Any) -> bool:
    return isinstance(value, dict) and "dependencies" in value


def _words(manifest: Manifest) -> str:
    return "\n".join(manifest.lines)


def _uses_uv(project: Project) -> bool:
    """Whether the tree is run through uv, which reads [project] only."""
    return "uv.lock" in project.tree.files or any(
        "uv run" in (file.text or "") or "uv sync" in (file.text or "")
        for file in project.tree.texts(".sh", ".yml", ".yaml", ".md", ".py")
    )


def _package(table: dict[str, Any]) -> str:
    """The package that a project's name promises."""
    return re.sub(r"[-.]+", "_", str(table.get("name", ""))).lower()


def _lacks_package(project: Project, table: dict[str, Any]) -> bool:
    if "packages" in table or table.get("package-mode") is False or not table.get("name"):
        return False
    name = _package(table)
    starts = (f"{name}/", f"src/{name}/")
    return not any(
        path.lower().startswith(starts) or path.lower() in (f"{name}.py", f"src/{name}.py")
        for path in project.tree.files
    )


def _build(project: Project, manifest: Manifest) -> Iterator[Problem]:
    build = manifest.data.get("build-system")
    if build is None:
        return
    line = _header(manifest, "build-system") or 1
    if not isinstance(build, dict):
        yield "error", line, "`build-system` is not a table.", "Write [build-system]."
        return
    requires = build.get("requires")
    if not isinstance(requires, list) or not all(isinstance(item, str) for item in requires):
        message = "[build-system] has no list `requires`, without which nothing can be built."
        yield "error", line, message, 'Write `requires = ["setuptools"]`.'
        return
    for item in requires:
        try:
            Requirement(item)
        except InvalidRequirement:
            message = f"{item!r} in [build-system] is not a requirement."
            yield "error", manifest.line(item), message, 'Write it like "setuptools>=61".'
    backend = build.get("build-backend")
    if not isinstance(backend, str) or "backend-path" in build:
        return
    top = re.split(r"[.:]", backend)[0]
    wanted = _BACKENDS.get(top)
    if wanted and requires and not any(wanted in item.lower() for item in requires):
        message = f"The build backend {backend!r} is not among what the build requires: {requires}."
        yield "error", manifest.line("build-backend"), message, f'Add "{wanted}" to `requires`.'
    if top == "hatchling":
        yield from _hatch(project, manifest)


def _hatch(project: Project, manifest: Manifest) -> Iterator[Problem]:
    """Hatchling refuses to build where it finds no package of the project's name."""
    table = manifest.data.get("project")
    tool = manifest.data.get("tool")
    hatch = tool.get("hatch") if isinstance(tool, dict) else None
    if not isinstance(table, dict) or (isinstance(hatch, dict) and "build" in hatch):
        return
    if _lacks_package(project, table):
        yield (
            "error",
            manifest.line("hatchling"),
            f"Hatchling looks for a package {_package(table)!r} to build and the tree has none: "
            "installing the project stops there.",
            "Name the folder under [tool.hatch.build.targets.wheel] packages.",
        )


def _header(manifest: Manifest, name: str) -> int | None:
    """The line of [name], or of the first header below it."""
    for number, text in enumerate(manifest.lines, 1):
        if text.replace(" ", "").startswith((f"[{name}]", f"[{name}.")):
            return number
    return None


def _after(manifest: Manifest, header: str, word: str) -> int:
    """The first line with `word` after [header]."""
    start = _header(manifest, header) or 1
    for number in range(start, len(manifest.lines) + 1):
        if manifest.lines[number - 1].lstrip().startswith(word):
            return number
    return start


def _bad_lines(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    """(line, text, reason) of a requirements file's lines that are neither options nor PEP 508."""
    continued = False
    for number, raw in enumerate(lines, 1):
        text = re.split(r"(?:^|\s)#", raw)[0].strip()
        skip, continued = continued, text.endswith("\\")
        text = text.rstrip("\\").strip()
        text = re.split(r"\s--", text)[0].strip()
        if skip or not text or text.startswith("-") or _is_place(text):
            continue
        try:
            name = Requirement(text).name.lower()
        except InvalidRequirement as error:
            yield number, text, str(error).splitlines()[0]
            continue
        if name in NOT_DISTRIBUTIONS:
            yield number, text, f"the distribution is called {NOT_DISTRIBUTIONS[name]}"


def _is_place(text: str) -> bool:
    """A URL, a path, a file."""
    return "://" in text or text.startswith((".", "/")) or text.endswith((".whl", ".zip", ".gz"))


CHECK = Check("dependency-schema", "Not Executable", "dependencies resolve", _run)
