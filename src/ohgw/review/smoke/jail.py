"""The inside of the sandbox: a script of its own, run by the reviewing interpreter as process 1.

    python -I jail.py SETTINGS.json

It builds the file system that the reviewed code will see (unless bubblewrap has built it), gives
up every privilege, runs the command under limits, kills what is left of it, and writes the results
to an inherited file descriptor. It imports the standard library alone: the package that it belongs
to is not there.
"""

import ctypes
import io
import json
import os
import resource
import signal
import stat
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

NOBODY = 65534
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT = 1, 2, 4, 32
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECUREBITS = 4, 38, 28
SECBITS_NO_ROOT = 0b00101111  # user 0 gains nothing by exec, locked; so for keeping capabilities
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    if settings["build"]:
        build(settings)
    give_up_privileges()
    outcome = run(settings)
    archive(settings, outcome)


def build(settings: dict[str, Any]) -> None:
    """A root of our own on a tmpfs: what the code may see, read-only; what it may write, small."""
    root = settings["root"]
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, f"size={settings['disk_bytes']},mode=755")
    for source, target in settings["binds"]:
        bind(source, root + target)
    for link, target in settings["links"]:
        os.symlink(target, root + link)
    os.makedirs(f"{root}/dev/shm", exist_ok=True)
    for name in DEVICES:
        place = f"{root}/dev/{name}"
        Path(place).touch()
        mount(f"/dev/{name}", place, None, MS_BIND)
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    os.makedirs(f"{root}/proc")
    try:
        mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV)
    except OSError:  # a container that hides parts of its own /proc refuses a new one
        pass
    for place in (*settings["writable"], "/dev/shm", "/tmp"):
        os.makedirs(root + place, exist_ok=True)
        os.chmod(root + place, 0o1777)
    os.makedirs(f"{root}/.old")
    check(_libc.syscall(PIVOT_ROOT[os.uname().machine], root.encode(), f"{root}/.old".encode()))
    os.chdir("/")
    check(_libc.umount2(b"/.old", MNT_DETACH))
    os.rmdir("/.old")


def bind(source: str, target: str) -> None:
    """Read-only. A remount must keep the flags that an outer namespace has locked."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    mount(source, target, None, MS_BIND | MS_REC)
    flags = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | 8 | 1024 | 2048)
    mount("none", target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | flags)


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    kind_bytes = kind.encode() if kind else None
    check(_libc.mount(source.encode(), target.encode(), kind_bytes, flags, data.encode()), target)


def check(result: int, what: str = "") -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def give_up_privileges() -> None:
    """For good: root becomes nobody, nobody can become more, no neighbour can look inside us."""
    if os.getuid() == 0 and not in_user_namespace():
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    else:
        _libc.prctl(PR_SET_SECUREBITS, SECBITS_NO_ROOT, 0, 0, 0)
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def in_user_namespace() -> bool:
    """True where user 0 of this namespace is somebody else outside."""
    try:
        words = Path("/proc/self/uid_map").read_text().split()
    except OSError:
        return False
    return words[:3] != ["0", "0", "4294967295"]


def run(settings: dict[str, Any]) -> dict[str, Any]:
    """The command's fate: exit code or signal, seconds, and why it had to be stopped, if it had."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            start(settings)
        except OSError as error:
            os.write(2, f"cannot start {settings['command'][0]}: {error.strerror}\n".encode())
        os._exit(127)
    deadline = began + settings["seconds"]
    status, stopped, pause, most = None, "", 0.001, 0
    while status is None:
        pid, found = os.waitpid(-1, os.WNOHANG)  # orphans come to process 1
        if pid == child:
            status = found
        elif pid == 0:
            if not stopped:
                used, processes = population()
                most = max(most, processes)
                if time.monotonic() > deadline:
                    stopped = "time"
                elif used > settings["memory_bytes"]:
                    stopped = "memory"
                if stopped:
                    kill_group(child)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    seconds = time.monotonic() - began
    kill_group(child)
    reap()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "exit_code": os.waitstatus_to_exitcode(status),
        "stopped": stopped,
        "seconds": seconds,
        "peak_bytes": peak * 1024,
        "peak_processes": most,
        "disk_full": is_full(settings["directory"]),
    }


def kill_group(child: int) -> None:
    """Everything the command has started: all other processes of the namespace, or its group."""
    try:
        os.kill(-1 if os.getpid() == 1 else -child, signal.SIGKILL)
    except ProcessLookupError:
        pass


def population() -> tuple[int, int]:
    """(resident bytes, number) of all processes of the namespace; nothing without one."""
    if os.getpid() != 1:
        return 0, 0
    pages = count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            count += 1
            try:
                pages += int(Path("/proc", name, "statm").read_text().split()[1])
            except (OSError, IndexError):
                continue
    return pages * resource.getpagesize(), count


def is_full(place: str) -> bool:
    """True where less than one per cent of a file system of our own is left."""
    status = os.statvfs(place)
    return os.getpid() == 1 and status.f_bavail * 100 < status.f_blocks


def reap() -> None:
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def start(settings: dict[str, Any]) -> None:
    os.setsid()
    os.close(settings["archive"])
    limits = settings["limits"]
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    os.chdir(settings["directory"])
    os.execve(settings["command"][0], settings["command"], settings["environment"])


def archive(settings: dict[str, Any], outcome: dict[str, Any]) -> None:
    """Results and observations, as far as they are plain files within the limits."""
    left, omitted = settings["archive_bytes"], []
    with (
        os.fdopen(settings["archive"], "wb") as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for name, folder in settings["collect"].items():
            for place, _, files in os.walk(folder):
                for file in sorted(files):
                    path = os.path.join(place, file)
                    try:
                        status = os.lstat(path)
                        if not stat.S_ISREG(status.st_mode):
                            continue
                        if status.st_size > left:
                            omitted.append(os.path.relpath(path, folder))
                            continue
                        left -= status.st_size
                        tar.add(path, f"{name}/{os.path.relpath(path, folder)}", recursive=False)
                    except OSError:
                        omitted.append(os.path.relpath(path, folder))
        text = json.dumps({**outcome, "omitted": omitted[:20]}).encode()
        info = tarfile.TarInfo("outcome.json")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))


if __name__ == "__main__":
    main()
