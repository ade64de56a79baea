"""Running code that nobody has read yet: namespaces or bubblewrap where there are, limits always.

The command sees system libraries, one Python installation and a private copy of the tree, all
read-only; an empty home, an empty temporary directory and a directory for results, all on a small
memory file system; no network, no other process, none of the host's environment. What it leaves in
its results comes back as data. `Isolation` says how much of that could be had.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from ohgw.review.smoke import jail

Isolation = Literal["namespaces", "bubblewrap", "limits only"]

CODE, OUT, HOME, OBSERVED = "/review/code", "/review/out", "/review/home", "/review/observed"
PROBE = "/review/probe"
MAX_OUTPUT = 1_000_000  # bytes of each stream that are kept; all are counted
GRACE = 20.0  # seconds beyond the command's own that setting up and tearing down may take
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/alternatives")
_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/localtime", "/etc/ssl", "/etc/mime.types")


@dataclass(frozen=True)
class Limits:
    """What one run may use."""

    seconds: float = 300.0
    memory_bytes: int = 8 << 30  # resident, of all processes together
    address_bytes: int = 64 << 30  # of each process; libraries reserve far more than they use
    processes: int = 256
    file_bytes: int = 1 << 30
    disk_bytes: int = 4 << 30
    open_files: int = 1024
    archive_bytes: int = 64 << 20


@dataclass
class Stream:
    """One output stream: its beginning, its end and its length."""

    data: bytes = b""
    total: int = 0

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", errors="replace")


@dataclass
class Outcome:
    """What one run did."""

    isolation: Isolation
    exit_code: int | None  # None: the sandbox itself broke; negative: a signal
    stopped: str = ""  # "time" or "memory" where the limit was reached
    seconds: float = 0.0
    peak_bytes: int = 0
    peak_processes: int = 0  # seen at once; 0 where they cannot be counted
    disk_full: bool = False
    stdout: Stream = field(default_factory=Stream)
    stderr: Stream = field(default_factory=Stream)
    files: dict[str, bytes] = field(default_factory=dict)  # out/..., observed/...
    omitted: list[str] = field(default_factory=list)
    failure: str = ""  # why the sandbox broke


def run(
    command: Sequence[str],
    tree: Path,
    probe: Path,
    *,
    python: str,
    limits: Limits,
    environment: Mapping[str, str],
    isolation: Isolation | None = None,
    shown: Sequence[tuple[str, str]] = (),
) -> Outcome:
    """Run `command` in a sandbox; `tree` is shown at `CODE`, `probe` at `PROBE`, and what else is
    `shown` (source, target) beside which new files may be made.

    The command's first word is an absolute path that exists inside. Never raises for what the
    command does.
    """
    isolation = isolation or best_isolation()
    if isolation == "limits only" and os.geteuid() == 0:
        why = "no namespaces and no bubblewrap here: unread code is not run as root without them"
        return Outcome(isolation, None, failure=why)
    if isolation == "limits only" and shown:
        why = "no namespaces and no bubblewrap here: stand-ins cannot be shown read-only"
        return Outcome(isolation, None, failure=why)
    with tempfile.TemporaryDirectory(prefix="ohgw-review-") as scratch:
        os.chmod(scratch, 0o755)
        return _Run(
            command, tree, probe, python, limits, environment, isolation, scratch, shown
        ).go()


@cache
def best_isolation() -> Isolation:
    """The strongest that works here, found by trying."""
    kinds: tuple[Isolation, ...] = ("namespaces", "bubblewrap")
    for kind in kinds:
        tool = "unshare" if kind == "namespaces" else "bwrap"
        if sys.platform != "linux" or shutil.which(tool) is None:
            continue
        with tempfile.TemporaryDirectory(prefix="ohgw-review-") as empty:
            os.chmod(empty, 0o755)
            python = os.path.realpath(sys.executable)
            outcome = run(
                [python, "-I", "-S", "-c", "print('inside')"],
                Path(empty),
                Path(empty),
                python=python,
                limits=Limits(seconds=10),
                environment={},
                isolation=kind,
            )
        if outcome.exit_code == 0 and outcome.stdout.text == "inside\n":
            return kind
    return "limits only"


@dataclass
class _Run:
    command: Sequence[str]
    tree: Path
    probe: Path
    python: str
    limits: Limits
    environment: Mapping[str, str]
    isolation: Isolation
    scratch: str
    shown: Sequence[tuple[str, str]]

    def go(self) -> Outcome:
        inside = self.isolation != "limits only"
        base = "" if inside else self.scratch
        if not inside:
            self._lay_out()
        settings = {
            "build": self.isolation == "namespaces",
            "root": f"{self.scratch}/root",
            "binds": self._binds(),
            "links": [(link, os.readlink(link)) for link in _SYSTEM if os.path.islink(link)],
            "writable": [CODE, OUT, HOME, OBSERVED, *self._beside()],
            "disk_bytes": self.limits.disk_bytes,
            "directory": base + CODE,
            "command": [word.replace("/review/", f"{base}/review/") for word in self.command],
            "environment": {
                name: value.replace("/review/", f"{base}/review/")
                for name, value in self._environment().items()
            },
            "limits": {
                "AS": self.limits.address_bytes,
                "NPROC": self.limits.processes,
                "FSIZE": self.limits.file_bytes,
                "NOFILE": self.limits.open_files,
                "CPU": int(self.limits.seconds * 4) + 1,
                "CORE": 0,
            },
            "seconds": self.limits.seconds,
            "memory_bytes": self.limits.memory_bytes,
            "collect": {"out": base + OUT, "observed": base + OBSERVED},
            "archive_bytes": self.limits.archive_bytes,
        }
        os.makedirs(f"{self.scratch}/root", exist_ok=True)
        archive = Path(self.scratch, "archive.tar")
        with archive.open("wb") as sink:
            place = Path(self.scratch, "settings.json")
            place.write_text(json.dumps({**settings, "archive": sink.fileno()}))
            streams = (Stream(), Stream())
            failure = self._launch(self._prefix(place), sink.fileno(), streams)
        return self._outcome(archive, *streams, failure)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{os.path.dirname(self.python)}:/usr/bin:/bin",
            "HOME": HOME,
            "TMPDIR": "/tmp" if self.isolation != "limits only" else HOME,
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": PROBE,
            **self.environment,
        }

    def _binds(self) -> list[tuple[str, str]]:
        """(source, target) of everything that is shown read-only."""
        real = [path for path in _SYSTEM if os.path.isdir(path) and not os.path.islink(path)]
        binds = [(path, path) for path in real]
        binds += [(path, path) for path in _FILES if os.path.exists(path)]
        shown = {source for source, _ in binds}
        for prefix in python_prefixes(self.python):
            if not any(prefix == path or prefix.startswith(f"{path}/") for path in shown):
                binds.append((prefix, prefix))
                shown.add(prefix)
        # Each entry of the tree by itself: new files may be made beside the sources, not in them.
        binds += [(str(entry), f"{CODE}/{entry.name}") for entry in sorted(self.tree.iterdir())]
        return [*binds, *self.shown, (str(self.probe), PROBE)]

    def _beside(self) -> list[str]:
        return sorted({os.path.dirname(target) for _, target in self.shown})

    def _prefix(self, settings: Path) -> list[str]:
        jailer = [os.path.realpath(sys.executable), "-I", "-S", jail.__file__, str(settings)]
        if self.isolation == "namespaces":
            user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
            return [
                "unshare",
                *user,
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--net",
                "--ipc",
                "--uts",
                *jailer,
            ]
        if self.isolation == "bubblewrap":
            words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1"]
            words += ["--size", str(self.limits.disk_bytes), "--tmpfs", "/"]
            for source, target in self._binds():
                words += ["--ro-bind", source, target]
            for link in _SYSTEM:
                if os.path.islink(link):
                    words += ["--symlink", os.readlink(link), link]
            for source in (*python_prefixes(jailer[0]), jail.__file__, str(settings)):
                words += ["--ro-bind", source, source]
            words += ["--proc", "/proc", "--dev", "/dev"]
            for place in (CODE, OUT, HOME, OBSERVED, "/tmp", *self._beside()):
                words += ["--dir", place]
            return [*words, "--clearenv", *jailer]
        return jailer

    def _lay_out(self) -> None:
        """Without namespaces: the same places, under the scratch directory, on the host's disk."""
        shutil.copytree(self.tree, self.scratch + CODE, dirs_exist_ok=True)
        shutil.copytree(self.probe, self.scratch + PROBE, dirs_exist_ok=True)
        for place in (OUT, HOME, OBSERVED):
            os.makedirs(self.scratch + place, exist_ok=True)

    def _launch(self, words: list[str], archive: int, streams: tuple[Stream, Stream]) -> str:
        """Why it could not be started, if so; the archive's descriptor goes along."""
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[archive],
                start_new_session=True,
                env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
            )
        except OSError as error:
            return str(error)
        readers = [
            threading.Thread(target=_read, args=(pipe, stream), daemon=True)
            for pipe, stream in zip((process.stdout, process.stderr), streams, strict=True)
        ]
        for reader in readers:
            reader.start()
        try:
            process.wait(self.limits.seconds + GRACE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for reader in readers:
            reader.join(2.0)
        return ""

    def _outcome(self, archive: Path, stdout: Stream, stderr: Stream, failure: str) -> Outcome:
        files = _unpack(archive, self.limits.archive_bytes)
        try:
            said: dict[str, Any] = json.loads(files.pop("outcome.json"))
        except (KeyError, ValueError):
            why = stderr.text.strip().splitlines()
            return Outcome(
                self.isolation,
                None,
                stdout=stdout,
                stderr=stderr,
                failure=failure or (why[-1] if why else "the sandbox ended without a word"),
            )
        return Outcome(self.isolation, stdout=stdout, stderr=stderr, files=files, **said)


@cache
def python_prefixes(python: str) -> tuple[str, ...]:
    """Directories that an interpreter needs: its environment, the installation beneath it, and
    what it imports from elsewhere, such as a package that is installed as editable.
    """
    code = "import sys; print(sys.prefix, sys.base_prefix, *sys.path, sep='\\n')"
    done = subprocess.run(
        [python, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    found: list[str] = []
    paths = done.stdout.splitlines()
    for path in [*paths, *(os.path.realpath(path) for path in paths)]:
        inside = any(path == other or path.startswith(f"{other}/") for other in found)
        if not inside and path.startswith("/") and os.path.isdir(path):
            found.append(path)
    return tuple(found)


def _read(pipe: IO[bytes] | None, stream: Stream) -> None:
    """Until the end, so that nothing blocks on a full pipe; the first and last part is kept."""
    assert pipe is not None
    with pipe, contextlib.suppress(OSError, ValueError):
        while chunk := pipe.read1(65536):  # type: ignore[attr-defined]
            stream.total += len(chunk)
            stream.data += chunk
            if len(stream.data) > 2 * MAX_OUTPUT:
                stream.data = stream.data[: MAX_OUTPUT // 2] + stream.data[-MAX_OUTPUT // 2 :]


def _unpack(archive: Path, limit: int) -> dict[str, bytes]:
    """Plain files of the archive, by name; nothing is written anywhere."""
    files: dict[str, bytes] = {}
    left = limit
    try:
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes()), mode="r|") as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isfile() else None
                if stream is None or member.size > left:
                    continue
                left -= member.size
                files[PurePosixPath(member.name).as_posix()] = stream.read()
    except (tarfile.TarError, OSError, EOFError):
        pass
    return files
