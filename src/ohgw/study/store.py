"""The results directory of one study: an append-only record and one snapshot to go on from.

`records.jsonl` grows by whole lines. `snapshot.pt` holds everything else a run consists of, with
the length that the record had at that moment; it is replaced atomically. A resumed run cuts the
record back to that length and computes the cut rows again: searches and engine are deterministic,
so they come out the same. A run that was killed at any moment thus ends with the same record as
one that was not, apart from measured seconds.
"""

import fcntl
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from ohgw.core.errors import HeldError, PlanMismatchError, RecordError, StorageError
from ohgw.core.records import (
    RECORDS_NAME,
    Final,
    Header,
    Plan,
    Report,
    check_schema,
    parse_line,
    to_line,
)
from ohgw.engines.build import records_alike

SNAPSHOT_NAME = "snapshot.pt"
SNAPSHOT_SCHEMA = 3
MACHINE = {"threads"}  # fields of a plan that a resumed run takes over instead of comparing


class Store:
    """Writes one directory; held by one process at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.records_path = directory / RECORDS_NAME
        self.snapshot_path = directory / SNAPSHOT_NAME
        self._file: IO[bytes] | None = None

    @contextmanager
    def held(self) -> Iterator["Store"]:
        """Own the directory. Raises `StorageError` where it cannot be made, written or owned."""
        with _storage_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = (self.directory / ".lock").open("w")
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HeldError(
                    f"{self.directory}: another run is writing here. Wait for it, stop it, or "
                    "choose another --out."
                ) from None
            yield self
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None
            lock.close()

    @property
    def started(self) -> bool:
        """Whether the directory holds the record of a run, complete or not."""
        return self.records_path.exists() and self.records_path.stat().st_size > 0

    def create(self, header: Header) -> None:
        """Begin an empty record."""
        if self.started:
            raise StorageError(
                f"{self.directory} already holds a record. Continue it with --resume, or choose "
                "another --out."
            )
        with _storage_errors(self.directory):
            self._file = self.records_path.open("wb", buffering=0)
        self._append(to_line(header))
        self.flush()

    def header(self) -> Header:
        """The header of the record that is here."""
        with _storage_errors(self.directory), self.records_path.open("rb") as file:
            line = file.readline()
        if not line.endswith(b"\n"):
            raise RecordError(
                f"{self.records_path}: the header is half-written, so nothing had been computed. "
                f"Delete the directory and start again."
            )
        text = line.decode("utf-8", errors="replace")
        check_schema(text, str(self.records_path))
        header = parse_line(text, f"{self.records_path}, line 1")
        if not isinstance(header, Header):
            raise RecordError(f"{self.records_path}: the first line is not a header.")
        return header

    @property
    def whole(self) -> bool:
        """Whether the record ends with a whole line."""
        with _storage_errors(self.directory), self.records_path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"

    def reopen(self) -> dict[str, Any] | None:
        """Go on with the record that is here: its snapshot, or None to compute from the start.

        Raises `RecordError` for a record or a snapshot that is damaged.
        """
        snapshot = self._load_snapshot()
        with _storage_errors(self.directory):
            content = self.records_path.read_bytes()
            length = snapshot["length"] if snapshot else content.index(b"\n") + 1
            if len(content) < length:
                raise RecordError(
                    f"{self.records_path}: {len(content)} bytes, but its checkpoint was taken at "
                    f"{length}: rows are missing. Restore the file from a copy, or start again "
                    "in an empty directory."
                )
            lines = content[:length].decode("utf-8", errors="replace").splitlines()
            for number, line in enumerate(lines, start=1):
                parse_line(line, f"{self.records_path}, line {number}")
            self._file = self.records_path.open("r+b", buffering=0)
            self._file.truncate(length)
            self._file.seek(length)
        return snapshot

    def check(self, expected: Plan) -> Plan:
        """The plan that was written here, which may differ in what depends on the machine alone.

        An engine's workers and where they are do so too, and are taken as `expected` has them.

        Raises `PlanMismatchError` naming the first other difference to `expected`.
        """
        found = self.header().plan
        if records_alike(found.engine, expected.engine):
            found = found.model_copy(update={"engine": expected.engine})
        theirs, ours = found.model_dump(), expected.model_dump()
        for name in theirs:
            if name not in MACHINE and theirs[name] != ours[name]:
                raise PlanMismatchError(
                    f"{self.directory} was written with {name}={theirs[name]!r}, this run has "
                    f"{ours[name]!r}. Resume with the settings it was started with, or choose "
                    "another --out."
                )
        return found

    def append(self, row: Report | Final) -> None:
        self._append(to_line(row))

    def _append(self, line: str) -> None:
        # Unbuffered: a killed process leaves whole lines, except for the one it was writing.
        assert self._file is not None  # between create or reopen and the end of `held`
        with _storage_errors(self.directory):
            self._file.write(line.encode())

    def flush(self) -> int:
        """Put all rows on disk; returns the record's length in bytes."""
        assert self._file is not None
        with _storage_errors(self.directory):
            os.fsync(self._file.fileno())
            return self._file.tell()

    def save_snapshot(self, state: dict[str, Any]) -> None:
        """Replace the snapshot; the old one stays valid until the new one is complete."""
        content = {"schema": SNAPSHOT_SCHEMA, "length": self.flush(), **state}
        self.write(SNAPSHOT_NAME, lambda file: torch.save(content, file))

    def write(self, name: str, put: Callable[[IO[bytes]], Any]) -> None:
        """Write a whole file atomically: `put` fills it, and only then does it take its name."""
        temporary = self._temporary(name)
        with _storage_errors(self.directory):
            with temporary.open("wb") as file:
                put(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.directory / name)

    def _temporary(self, name: str) -> Path:
        return self.directory / f"{name}.tmp"

    def _load_snapshot(self) -> dict[str, Any] | None:
        if not self.snapshot_path.exists():
            return None
        try:
            # The user's own file, and a black-box task's state may be any object that pickles.
            snapshot: dict[str, Any] = torch.load(self.snapshot_path, weights_only=False)
        except (RuntimeError, EOFError, pickle.UnpicklingError, OSError, KeyError) as error:
            raise RecordError(
                f"{self.snapshot_path}: damaged ({type(error).__name__}). Delete this file: "
                "--resume then computes the run again from its start, with the same result."
            ) from None
        if snapshot.get("schema") != SNAPSHOT_SCHEMA:
            raise RecordError(
                f"{self.snapshot_path}: written with schema {snapshot.get('schema')!r}, this "
                f"version reads {SNAPSHOT_SCHEMA}. Resume with the version of ohgw that wrote it."
            )
        return snapshot

    def finish(self) -> None:
        """The run is complete: its snapshot is not needed any more."""
        self.flush()
        with _storage_errors(self.directory):
            self.snapshot_path.unlink(missing_ok=True)
            # What a killed process had begun to write, where nothing was written after it.
            self._temporary(SNAPSHOT_NAME).unlink(missing_ok=True)


@contextmanager
def _storage_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"{error.filename or directory}: {error.strerror or error}. Check that the directory "
            "can be written and that the disk has room, or choose another --out. What was "
            "recorded before is kept; --resume goes on from it."
        ) from None
