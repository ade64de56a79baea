"""One run of a race: starts an arm's processes, watches them, and stops them.

    python _race_run.py SPEC

SPEC is JSON: `commands` (argument lists, all started at once), `folder` (they run there),
`environment`, `record` (the file that the processes report into, see `race/record.py`), `log`,
`target` (a loss), `at` and `limit` (seconds).
Stops once the target is reached and `at` seconds have passed, once `limit` seconds have passed, or
once the processes have ended. Prints JSON: `launched` (on the monotonic clock), `seconds`, `exits`,
CPU seconds and peak memory of the whole tree of processes.

Whatever the processes start ends with them: as the subreaper of all its descendants (Linux),
this process finds daemons too that left their session, and the kernel's account of their CPU time.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

INTERVAL = 0.2  # seconds between two looks at the processes
PSS_EVERY = 5  # looks: the kernel walks all page tables for it, 2 ms for a process with torch
MIB = 2**20


def main(spec: dict[str, Any]) -> dict[str, Any]:
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0):
        raise OSError("this kernel has no subreapers: CPU time could not be counted")
    launched = time.monotonic()
    with open(spec["log"], "wb") as log:
        processes = [
            subprocess.Popen(
                command,
                cwd=spec["folder"],
                env=spec["environment"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            for command in spec["commands"]
        ]
    peak_rss = peak_pss = looks = 0
    record = _Record(Path(spec["record"]))
    while True:
        seconds = time.monotonic() - launched
        reached = record.best() <= spec["target"]
        exits = [process.poll() for process in processes]
        if (reached and seconds >= spec["at"]) or seconds >= spec["limit"] or None not in exits:
            break
        peak_rss = max(peak_rss, _memory("rss"))
        if looks % PSS_EVERY == 0:
            peak_pss = max(peak_pss, _memory("pss"))
        looks += 1
        time.sleep(max(0.0, launched + seconds + INTERVAL - time.monotonic()))
    _end_all()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "launched": launched,
        "seconds": seconds,
        "exits": exits,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "watching_cpu_seconds": own.ru_utime + own.ru_stime,
        "peak_rss_mib": peak_rss / MIB,
        "peak_pss_mib": peak_pss / MIB,
    }


class _Record:
    """The smallest loss reported so far; reads what is new."""

    def __init__(self, path: Path) -> None:
        self.path, self.read, self.smallest = path, 0, float("inf")

    def best(self) -> float:
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.read)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self.read += len(line)
                    loss = json.loads(line).get("loss")
                    if loss is not None:
                        self.smallest = min(self.smallest, loss)
        return self.smallest


def _memory(kind: str) -> int:
    """Bytes of all processes below this one: resident (`rss`), or shared pages in parts (`pss`)."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            found = process.memory_full_info() if kind == "pss" else process.memory_info()
        except psutil.Error:
            continue  # it has just ended
        total += getattr(found, kind)
    return total


def _end_all() -> None:
    """Kill everything below this process, and wait for it: only then is its CPU time known."""
    while children := psutil.Process().children(recursive=True):
        for process in children:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.01)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
