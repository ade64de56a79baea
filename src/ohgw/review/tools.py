"""Two pinned tools that know names better than we do: ruff, and ty for types.

They run as processes of their own over a temporary copy of the Python files, without any
configuration of the reviewed tree, with a time limit each, and once a project. Neither imports
what it reads. Packages that the tree imports from outside are unknown to ty: what it says never
depends on what is installed here.
"""

import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ohgw.review.code.memo import once
from ohgw.review.project import Project

SECONDS = 30
_PYTHON = "3.12"  # whose standard library ty knows the code by
_ABSENT = "absent; names are looked up by the review's own rules"

# pyflakes: undefined names and exports, locals used before they are set, formats that do not fit
RUFF_RULES = "F821,F822,F823,F50,F52,F632,F702,F704,F706"


@dataclass(frozen=True)
class Diagnostic:
    """What a tool says of one place."""

    tool: str
    rule: str
    path: str
    line: int
    message: str


@cache
def program(name: str) -> str | None:
    """Of this environment; another one's version would not be the pinned one."""
    return shutil.which(name, path=sysconfig.get_path("scripts"))


@cache
def versions() -> dict[str, str]:
    """By tool, for the report."""
    found = {}
    for name in ("ruff", "ty"):
        path = program(name)
        said = _output([path, "--version"], Path(), 10) if path else None
        found[name] = said.split()[1] if said and len(said.split()) > 1 else _ABSENT
    return found


@once
def diagnostics(project: Project) -> list[Diagnostic]:
    """Of both tools, for the modules that parse; empty for a tool that is absent or fails."""
    if program("ruff") is None and program("ty") is None:
        return []
    with tempfile.TemporaryDirectory(prefix="ohgw-review-") as folder:
        root = Path(folder).resolve() / "tree"
        _copy(project, root)
        _environment(root.parent / "env")
        with ThreadPoolExecutor(2) as pool:
            ruff = pool.submit(lambda: list(_ruff(root)))
            return [*_ty(root), *ruff.result()]


def _copy(project: Project, root: Path) -> None:
    root.mkdir()
    for module in project.parsed():
        parts = PurePosixPath(module.path).parts
        if ".." in parts or module.path.startswith("/") or any(len(part) > 200 for part in parts):
            continue
        target = root.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(module.file.text or "", encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            continue  # two paths in each other's way, or a name that this system cannot hold


def _environment(root: Path) -> None:
    """An environment in which nothing is installed."""
    (root / "lib" / f"python{_PYTHON}" / "site-packages").mkdir(parents=True)
    (root / "pyvenv.cfg").write_text(f"home = {root}\nversion = {_PYTHON}.0\n", encoding="utf-8")


def _ruff(root: Path) -> Iterator[Diagnostic]:
    path = program("ruff")
    if path is None:
        return
    command = [path, "check", "--isolated", "--no-cache", "--exit-zero", "--ignore-noqa", "--quiet"]
    command += ["--select", RUFF_RULES, "--output-format", "json", "--target-version", "py312"]
    for item in _json(_output([*command, "."], root, SECONDS)):
        yield from _diagnostic(
            "ruff",
            item.get("code"),
            item.get("filename"),
            _part(item, "location").get("row"),
            item.get("message"),
            root,
        )


def _ty(root: Path) -> Iterator[Diagnostic]:
    path = program("ty")
    if path is None:
        return
    command = [path, "check", "--project", ".", "--python", "../env", "--python-version", _PYTHON]
    command += ["--config", 'environment.root = ["."]']  # also where there is a folder src
    command += ["--output-format", "gitlab", "--exit-zero", "--no-progress", "."]
    for item in _json(_output(command, root, SECONDS)):
        place = _part(item, "location")
        lines = _part(_part(place, "positions"), "begin") or _part(place, "lines")
        message = str(item.get("description", "")).partition(": ")[2]
        yield from _diagnostic(
            "ty",
            item.get("check_name"),
            place.get("path"),
            lines.get("line", lines.get("begin")),
            message,
            root,
        )


def _diagnostic(
    tool: str, rule: object, path: object, line: object, message: object, root: Path
) -> Iterator[Diagnostic]:
    if isinstance(rule, str) and isinstance(path, str) and isinstance(line, int):
        with suppress(ValueError):
            inside = (root / path).relative_to(root).as_posix()
            yield Diagnostic(tool, rule, inside, line, str(message))


def _part(item: dict[str, Any], name: str) -> dict[str, Any]:
    part = item.get(name)
    return part if isinstance(part, dict) else {}


def _json(text: str | None) -> list[dict[str, Any]]:
    try:
        value = json.loads(text or "[]")
    except ValueError:
        return []
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _output(command: list[str], folder: Path, seconds: float) -> str | None:
    """What a program prints; None where it fails, crashes or takes too long."""
    environment = {"PATH": os.defpath, "HOME": str(folder), "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", errors="replace") if done.returncode == 0 else None
