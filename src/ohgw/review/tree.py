"""Trees of files under review: read once, from a directory, a git revision or a JSON object.

Nothing here trusts what it reads. Links are not followed, files beyond the limits are named and
left out, bytes that are not text stay bytes; reading cannot hang on a pipe or a device.
"""

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from ohgw.core.errors import SettingError

MAX_FILE_BYTES = 2_000_000  # sources and configurations are far smaller; data files are not read
MAX_FILES = 20_000
MAX_TOTAL_BYTES = 200_000_000
SKIPPED_DIRECTORIES = frozenset(
    ".git .hg .svn __pycache__ .venv venv node_modules .mypy_cache .ruff_cache .pytest_cache "
    ".tox .eggs .ipynb_checkpoints".split()
)
_GIT_SECONDS = 60


@dataclass(frozen=True)
class File:
    """One file; `data` is None where it was left out for its size or kind."""

    path: str
    data: bytes | None
    size: int

    @cached_property
    def text(self) -> str | None:
        """As UTF-8 without a byte-order mark; None where the file is binary or was left out."""
        if self.data is None or b"\0" in self.data[:8192]:
            return None
        return self.data.decode("utf-8", errors="replace").removeprefix("\ufeff")

    @cached_property
    def lines(self) -> list[str]:
        return (self.text or "").splitlines()


@dataclass(frozen=True)
class Tree:
    """Files by relative POSIX path. `label` is base, derived or before: the prefix of findings."""

    label: str
    origin: str  # as the user named it
    files: Mapping[str, File]
    remarks: tuple[str, ...] = field(default=())  # what was left out, and why

    def at(self, path: str) -> str:
        """A path as findings write it."""
        return f"{self.label}/{path}"

    def texts(self, *suffixes: str) -> Iterator[File]:
        """Text files by suffix, in order of path."""
        for path in sorted(self.files):
            file = self.files[path]
            if PurePosixPath(path).suffix in suffixes and file.text is not None:
                yield file


def read_tree(label: str, origin: str) -> Tree:
    """`origin` is a directory, `repo@rev`, or a JSON file that holds an object of files.

    Raises `SettingError` where it is none of them.
    """
    path = Path(origin)
    if path.is_dir():
        return _from_directory(label, origin, path)
    if path.is_file():
        return _from_json(label, origin, path)
    repository, at, revision = origin.rpartition("@")
    if at and Path(repository).is_dir():
        return _from_git(label, origin, repository, revision)
    raise SettingError(
        f"{origin!r} is neither a directory, nor a JSON file, nor a git revision "
        "(repository@revision)."
    )


def from_mapping(label: str, origin: str, files: Mapping[str, object]) -> Tree:
    """From an object of files: a path, or a name like `train_py`, to its text.

    The names of the specification stand for the experiment folder's layout: `NAME_py` is
    `src/NAME.py`, `NAME_yaml` is `config/NAME.yaml`, anything else is `NAME.SUFFIX`.
    """
    read: dict[str, File] = {}
    for name, text in files.items():
        if not isinstance(text, str):
            raise SettingError(f"{origin}: the text of file {name!r} is not a string.")
        data = text.encode("utf-8", errors="replace")
        path = _layout(name)
        read[path] = File(path, data, len(data))
    return Tree(label, origin, read)


def _layout(name: str) -> str:
    if "/" in name or "." in name:
        parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
        return "/".join(parts) or "unnamed"
    stem, _, suffix = name.rpartition("_")
    folder = {"py": "src/", "yaml": "config/", "yml": "config/"}.get(suffix, "")
    return f"{folder}{stem}.{suffix}" if stem else name or "unnamed"


def _from_json(label: str, origin: str, path: Path) -> Tree:
    try:
        value = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise SettingError(
            f"{origin!r} is a file, but not a JSON object of files: {error}"
        ) from None
    if not isinstance(value, dict):
        raise SettingError(
            f"{origin!r} holds a JSON {type(value).__name__}, not an object of files."
        )
    return from_mapping(label, origin, value)


def _from_directory(label: str, origin: str, root: Path) -> Tree:
    files: dict[str, File] = {}
    remarks: list[str] = []
    total = 0
    for folder, directories, names in os.walk(root, followlinks=False):
        directories[:] = sorted(
            name
            for name in directories
            if name not in SKIPPED_DIRECTORIES and not os.path.islink(os.path.join(folder, name))
        )
        for name in sorted(names):
            place = Path(folder, name)
            relative = place.relative_to(root).as_posix()
            if len(files) >= MAX_FILES:
                remarks.append(f"more than {MAX_FILES} files: the rest was not read")
                return Tree(label, origin, files, tuple(remarks))
            try:
                status = place.lstat()
                if not stat.S_ISREG(status.st_mode):
                    remarks.append(f"{relative} is not a plain file and was not read")
                    continue
                data = None
                if status.st_size <= MAX_FILE_BYTES and total <= MAX_TOTAL_BYTES:
                    with place.open("rb") as stream:
                        data = stream.read(MAX_FILE_BYTES + 1)
                    total += len(data)
            except OSError as error:
                remarks.append(f"{relative} could not be read: {error.strerror}")
                continue
            if data is None or len(data) > MAX_FILE_BYTES:
                remarks.append(f"{relative} has {status.st_size} bytes and was not read")
                data = None
            path = relative.encode("utf-8", errors="replace").decode("utf-8")
            files[path] = File(path, data, status.st_size)
    return Tree(label, origin, files, tuple(remarks))


def _from_git(label: str, origin: str, repository: str, revision: str) -> Tree:
    if not re.fullmatch(r"[\w./~^-]+", revision) or revision.startswith("-"):
        raise SettingError(f"{revision!r} in {origin!r} is not a git revision.")
    listing = _git(origin, repository, "ls-tree", "-r", "-l", "-z", "--full-tree", revision)
    files: dict[str, File] = {}
    remarks: list[str] = []
    wanted: list[tuple[str, str, int]] = []
    for entry in listing.decode("utf-8", errors="replace").split("\0"):
        if not entry:
            continue
        attributes, _, path = entry.partition("\t")
        mode, kind, blob, length = attributes.split()
        if kind != "blob" or mode == "120000":
            remarks.append(f"{path} is not a plain file and was not read")
        elif SKIPPED_DIRECTORIES.intersection(PurePosixPath(path).parts[:-1]):
            continue
        elif len(wanted) < MAX_FILES:
            if length.isdigit():
                wanted.append((path, blob, int(length)))
            else:  # a clone that left contents behind
                remarks.append(f"{path} is not in the repository and was not read")
    small = [item for item in wanted if item[2] <= MAX_FILE_BYTES]
    contents = _blobs(origin, repository, [blob for _, blob, _ in small])
    for (path, _, size), data in zip(small, contents, strict=True):
        files[path] = File(path, data, size)
    for path, _, size in wanted:
        if size > MAX_FILE_BYTES:
            remarks.append(f"{path} has {size} bytes and was not read")
            files[path] = File(path, None, size)
    return Tree(label, origin, files, tuple(remarks))


def _blobs(origin: str, repository: str, blobs: list[str]) -> list[bytes]:
    """Contents of git objects, through one process."""
    out = _git(origin, repository, "cat-file", "--batch", stdin="\n".join(blobs).encode())
    contents, position = [], 0
    for _ in blobs:
        end = out.index(b"\n", position)
        size = int(out[position:end].split()[2])
        contents.append(out[end + 1 : end + 1 + size])
        position = end + size + 2
    return contents


def _git(origin: str, repository: str, *words: str, stdin: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", repository, *words],
            input=stdin,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise SettingError(f"{origin!r} needs git, which is not installed.") from None
    except subprocess.TimeoutExpired:
        raise SettingError(f"git did not answer about {origin!r} in {_GIT_SECONDS} s.") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise SettingError(
            f"git cannot read {origin!r}: {said[-1] if said else 'no reason given'}."
        )
    return done.stdout
