"""What a project declares to depend on: pyproject.toml, requirements files."""

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from ohgw.review.tree import File, Tree


@dataclass(frozen=True)
class Declared:
    """One declared dependency."""

    name: str  # normalised as in PEP 503
    text: str
    path: str
    line: int
    group: str = ""  # '' for what is always installed, else the extra or group


@dataclass
class Manifest:
    """Everything declared, and the parsed pyproject.toml."""

    path: str | None = None  # of pyproject.toml
    data: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    problem_line: int = 1
    declared: list[Declared] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def line(self, *words: str) -> int:
        """The first line of pyproject.toml that holds all the words; 1 where none does."""
        for number, text in enumerate(self.lines, 1):
            if all(word in text for word in words):
                return number
        return 1


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_manifest(tree: Tree) -> Manifest:
    """Never raises: what is wrong with pyproject.toml is the manifest's `problem`.

    Only standard declarations count as declared (PEP 621, PEP 735, requirements files): what an
    installer would not read is for a check to find.
    """
    manifest = Manifest()
    file = tree.files.get("pyproject.toml")
    if file is not None and file.text is not None:
        manifest.path, manifest.lines = file.path, file.lines
        try:
            manifest.data = tomllib.loads(file.text)
        except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
            manifest.problem = str(error)
            found = re.search(r"line (\d+)", manifest.problem)
            manifest.problem_line = int(found[1]) if found else 1
        _read_pyproject(manifest)
    for path in sorted(tree.files):
        if re.fullmatch(r"(?:.*/)?requirements[\w.-]*\.(?:txt|in)", path):
            manifest.declared += _requirements(tree.files[path])
    return manifest


def _read_pyproject(manifest: Manifest) -> None:
    project = manifest.data.get("project")
    project = project if isinstance(project, dict) else {}
    groups: dict[str, Any] = {"": project.get("dependencies")}
    for table in (project.get("optional-dependencies"), manifest.data.get("dependency-groups")):
        if isinstance(table, dict):
            groups |= table
    for group, items in groups.items():
        for text in items if isinstance(items, list) else ():
            if isinstance(text, str) and (name := requirement_name(text)):
                line = manifest.line(text)
                manifest.declared.append(
                    Declared(name, text, manifest.path or "", line, str(group))
                )


def _requirements(file: File) -> list[Declared]:
    found = []
    for number, text in enumerate(file.lines, 1):
        text = text.split(" #")[0].strip()
        if text and not text.startswith(("#", "-")) and (name := requirement_name(text)):
            found.append(Declared(name, text, file.path, number))
    return found


def requirement_name(text: str) -> str:
    """The normalised name of a PEP 508 requirement; '' where it is not one."""
    try:
        return normalise(Requirement(text).name)
    except InvalidRequirement:
        return ""
