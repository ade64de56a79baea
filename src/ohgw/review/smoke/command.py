"""How the smoke test of a tree is run, and whether its interpreter has what the tree declares."""

import json
import os
import shlex
import subprocess
from collections.abc import Sequence

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from ohgw.review.project import Project
from ohgw.review.smoke.sandbox import OUT
from ohgw.review.spec import Spec

_ASK = """
import importlib.metadata as m, json, sys
found = {}
for name in json.loads(sys.stdin.read()):
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: found[name] = None
print(json.dumps({"python": sys.version.split()[0], "found": found}))
"""


def smoke_command(project: Project, spec: Spec, python: str) -> list[str] | None:
    """The words of the command, `{out}` filled in; None where there is nothing to run.

    The specification's `smoke_command`, else `src.main --smoke-test` where that module exists.
    """
    if spec.smoke_command:
        words = shlex.split(spec.smoke_command.replace("{out}", OUT))
    elif "src/main.py" in project.modules:
        words = ["python", "-m", "src.main", "--smoke-test", "--results-dir", OUT]
    else:
        return None
    if words and os.path.basename(words[0]) in ("python", "python3"):
        words[0] = python
    elif words and "/" not in words[0]:
        words = ["/bin/sh", "-c", 'exec "$@"', "sh", *words]
    return words or None


def lacking(project: Project, python: str) -> tuple[list[str], str]:
    """Declared dependencies that the interpreter lacks, and its version.

    Raises `OSError` or `subprocess.SubprocessError` where it is no Python.
    """
    names = sorted({d.name for d in project.manifest.declared if not d.group and _applies(d.text)})
    done = subprocess.run(
        [python, "-I", "-c", _ASK],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer = json.loads(done.stdout)
    return [name for name in names if answer["found"][name] is None], answer["python"]


def _applies(text: str) -> bool:
    """False where the requirement's marker excludes this platform."""
    try:
        marker = Requirement(text).marker
        return marker is None or marker.evaluate()
    except (InvalidRequirement, UndefinedEnvironmentName):
        return True


def environment(extra: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
    """One thread, one hash seed, no hub, no display: what makes two runs alike."""
    single = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {
        **dict.fromkeys(single, "1"),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "WANDB_MODE": "offline",
        "MPLBACKEND": "Agg",
        "CUDA_VISIBLE_DEVICES": "",
        **dict(extra),
    }
