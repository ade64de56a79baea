"""Where the data of a task lie: found on this machine, or downloaded once and checked.

A file is looked for in `$OHGW_DATA`, in `shared/data` beside or one above the working directory,
and in the cache (`$OHGW_CACHE`, by default `~/.cache/ohgw`), into which a download goes.
Archives are compared with their SHA-256 whenever they are opened, found ones too.
"""

import hashlib
import os
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from zipfile import ZipFile

from ohgw.core.errors import DataError

VARIABLE = "OHGW_DATA"
TIMEOUT = 30.0  # seconds without an answer


@dataclass(frozen=True, slots=True)
class Remote:
    """A file of other people: its name here, where it is to be had, and what it must be."""

    file: str
    url: str
    sha256: str
    megabytes: float


def cache_directory() -> Path:
    """What is downloaded, and what is computed from data once, is kept here."""
    if given := os.environ.get("OHGW_CACHE"):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ohgw"


def places() -> list[Path]:
    """Directories that are looked at, in this order."""
    given = os.environ.get(VARIABLE)
    here = Path.cwd()
    near = [base / "shared" / "data" for base in (here, here.parent)]
    return [*([Path(given).expanduser()] if given else []), *near, cache_directory()]


def find(file: str) -> Path | None:
    """The first place's copy of a file, unchecked."""
    return next((place / file for place in places() if (place / file).is_file()), None)


def obtain(remote: Remote, remark: str = "") -> Path:
    """The file, found or downloaded, and what it should be. Raises `DataError`.

    `remark` is put behind the message where the file cannot be had.
    """
    path = find(remote.file)
    if path is None:
        path = cache_directory() / remote.file
        _download(remote, path, remark)
    elif _sha256(path, path.stat().st_mtime_ns) != remote.sha256:
        raise DataError(
            f"{path} is not the published {remote.file}: its SHA-256 differs from "
            f"{remote.sha256}. Remove it, and it will be downloaded from {remote.url}."
        )
    return path


def _download(remote: Remote, path: Path, remark: str) -> None:
    def failed(reason: object) -> DataError:
        looked = ", ".join(str(place) for place in places())
        return DataError(
            f"{remote.file} is not in {looked}, and downloading it from {remote.url} failed: "
            f"{reason}. Put the file into one of these directories, or set {VARIABLE} to one "
            f"that has it.{' ' + remark if remark else ''}"
        )

    print(
        f"Downloading {remote.file} ({remote.megabytes:.0f} MB) to {path.parent}", file=sys.stderr
    )
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(remote.url, timeout=TIMEOUT) as response,
            tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file,
        ):
            partial = Path(file.name)
            digest = _copy(response, file)
        if digest != remote.sha256:
            raise failed(f"what came has SHA-256 {digest}, not {remote.sha256}")
        os.replace(partial, path)  # whole or not at all, also beside another process
    except DataError:
        raise
    except OSError as error:  # URLError and timeouts among them
        if isinstance(error, HTTPError):
            error.close()
        raise failed(error) from None
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copies all, and returns its SHA-256."""
    digest = hashlib.sha256()
    while chunk := source.read(1 << 20):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


@once
def _sha256(path: Path, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_zst(path: Path, limit: int | None = None) -> bytes:
    """The first `limit` bytes of a Zstandard file, or all."""
    import pyarrow

    try:
        with pyarrow.input_stream(str(path), compression="zstd") as stream:
            text: bytes = stream.read() if limit is None else stream.read(limit)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}. Remove or replace it.") from None
    return text


def read_zip(path: Path, member: str, limit: int | None = None) -> bytes:
    """The first `limit` bytes of an archive's member, or all."""
    with ZipFile(path) as archive, archive.open(member) as file:
        return file.read() if limit is None else file.read(limit)
