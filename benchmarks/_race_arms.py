"""The arms of a race: which program each runs, in which environment, as how many processes."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROGRAMS = HERE / "race"
PYTHON_SETTINGS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONSTARTUP")

# The one place that decides how ours is run, on every task alike. A search of ours ends with its
# budget, the peers' go on until they are stopped: this one is too large to be spent.
OURS_OPTIONS = ("--budget", "100000", "--engine", "population:processes=2")
OURS_ENVIRONMENT: dict[str, str] = {}


class RunFailed(Exception):
    """A process of an arm ended with an error."""


@dataclass(frozen=True)
class Arm:
    """`processes` holds the arguments of each process; `library` names the environment."""

    name: str
    library: str | None  # None: the environment that runs the race
    program: str
    processes: tuple[tuple[str, ...], ...] = ((),)
    ours: bool = False

    def python(self, peers: Path | None) -> Path | None:
        """The interpreter, or None where its environment is missing."""
        if self.library is None:
            return Path(sys.executable)
        if peers is None or not (peers / self.library / ".installed").exists():
            return None
        return peers.absolute() / self.library / "bin" / "python"

    def commands(self, python: Path, task: str, seed: int, scratch: Path) -> list[list[str]]:
        program = [str(python), str(PROGRAMS / self.program)]
        if self.ours:
            place = ["--seed", str(seed), "--out", str(scratch / "out")]
            return [
                [*program, "tune", task, *more, *OURS_OPTIONS, *place] for more in self.processes
            ]
        return [[*program, task, str(seed), str(scratch), *more] for more in self.processes]

    def environment(self, scratch: Path) -> dict[str, str]:
        """What is set for everybody, no more; a user's settings of threads are taken away."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.endswith("_NUM_THREADS") and key not in PYTHON_SETTINGS
        }
        environment |= {
            "RACE_RECORD": str(scratch / "record.jsonl"),
            "TMPDIR": str(scratch),
            "PYTHONPATH": str(PROGRAMS),
        }
        if self.library == "ray":  # it keeps sessions and a token in these places
            environment |= {"HOME": str(scratch), "RAY_TMPDIR": str(scratch)}
            environment["RAY_USAGE_STATS_ENABLED"] = "0"
        if self.library == "syne-tune":
            environment["SYNETUNE_FOLDER"] = str(scratch)
        return environment | (OURS_ENVIRONMENT if self.ours else {})


ARMS = {
    arm.name: arm
    for arm in (
        Arm("random", None, "search_random.py"),
        Arm("optuna", "optuna", "search_optuna.py"),
        Arm("optuna-2", "optuna", "search_optuna.py", (("0",), ("1",))),
        Arm("ray-asha", "ray", "search_ray.py"),
        Arm("syne-tune-asha", "syne-tune", "search_syne_tune.py", (("asha",),)),
        Arm("syne-tune-bohb", "syne-tune", "search_syne_tune.py", (("bohb",),)),
        Arm("neps", "neps", "search_neps.py", (("0",), ("1",))),
        Arm("ohgw", None, "search_ohgw.py", ours=True),
        Arm("ohgw-plain", None, "search_ohgw.py", (("--recipe", "plain"),), ours=True),
    )
}
STRICT = "ohgw-plain"  # scores what the peers score: it decides
PEERS = [arm.name for arm in ARMS.values() if not arm.ours]


def run(
    arm: Arm, python: Path, task: str, seed: int, *, target: float, at: float, limit: float
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run one arm (see `_race_run.py`): what it took, and its reports in order of arrival.

    Times are in seconds since its launch. Raises `RunFailed` with the end of the log where a
    process failed by itself.
    """
    with tempfile.TemporaryDirectory(prefix="race-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)  # short: Ray puts sockets below it
        spec = {
            "commands": arm.commands(python, task, seed, scratch),
            "folder": str(scratch),
            "environment": arm.environment(scratch),
            "record": str(scratch / "record.jsonl"),
            "log": str(scratch / "log"),
            "target": target,
            "at": at,
            "limit": limit,
        }
        watcher = subprocess.run(
            [sys.executable, HERE / "_race_run.py", json.dumps(spec)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        took: dict[str, Any] = json.loads(watcher.stdout)
        if any(took["exits"]):
            log = (scratch / "log").read_text(errors="replace")[-3000:]
            raise RunFailed(f"{arm.name} on {task}, seed {seed}, failed. Its log ends:\n{log}")
        launched, rows = took.pop("launched"), []
        if (scratch / "record.jsonl").exists():
            rows = list(map(json.loads, (scratch / "record.jsonl").read_text().splitlines()))
    for row in rows:
        row["seconds"] = row.pop("t") - launched
    rows.sort(key=lambda row: row["seconds"])
    begun = [row["seconds"] for row in rows if row.get("event") == "training"]
    took["start_up"] = begun[0] if begun else None
    return took, [row for row in rows if "event" not in row]
