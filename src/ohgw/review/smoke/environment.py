"""The interpreter of a smoke run: the one asked for, this one, or one made for the tree."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ohgw.core.errors import SettingError
from ohgw.review.project import Project

_INSTALL_SECONDS = 1800


@contextlib.contextmanager
def environment_for(project: Project, python: str | None, install: bool) -> Iterator[str]:
    """An absolute path. With `install`, of a new environment that holds what the tree declares.

    Only declared dependencies are installed, from wheels, outside the sandbox: neither the tree's
    own build nor anybody else's is run. Raises `SettingError` where that cannot be done.
    """
    base = os.path.abspath(python) if python else sys.executable
    if not os.access(base, os.X_OK):
        raise SettingError(f"--python {python!r} is not an executable file.")
    if not install:
        yield base
        return
    wanted = [declared.text for declared in project.manifest.declared if not declared.group]
    with tempfile.TemporaryDirectory(prefix="ohgw-review-") as folder:
        os.chmod(folder, 0o755)
        made = Path(folder, "environment")
        _run([base, "-m", "venv", str(made)])
        interpreter = str(made / "bin" / "python")
        if wanted:
            _run(
                [interpreter, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *wanted]
            )
        yield interpreter


def _run(words: list[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise SettingError(f"--install took more than {_INSTALL_SECONDS} s.") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise SettingError(f"--install failed: {said[-1] if said else 'no reason given'}")
