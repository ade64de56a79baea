"""Hostile code fails harmlessly and is reported. Every test runs real code in the real sandbox."""

import sys
from pathlib import Path

import pytest

from ohgw.review.checks import Context
from ohgw.review.project import Project
from ohgw.review.run import review
from ohgw.review.smoke import smoke
from ohgw.review.smoke.sandbox import Limits, best_isolation
from ohgw.review.spec import Spec
from ohgw.review.tree import from_mapping

LIMITS = Limits(
    seconds=5.0, memory_bytes=400 << 20, disk_bytes=50 << 20, file_bytes=30 << 20, processes=64
)

needs_isolation = pytest.mark.skipif(
    best_isolation() == "limits only", reason="no namespaces and no bubblewrap on this machine"
)
pytestmark = needs_isolation


def run(code, spec=None, limits=LIMITS, **files):
    tree = from_mapping("derived", "derived", {"src/main.py": code, **files})
    context = Context(Project(tree), spec=spec or Spec())
    seen = smoke(context, python=sys.executable, limits=limits)
    return review(context, checks=(), observation=seen)


def ids(found):
    return {(finding.id, finding.severity) for finding in found.findings}


WRITE = """
import json, os, sys
out = sys.argv[sys.argv.index("--results-dir") + 1]
def write(name, **values):
    os.makedirs(f"{out}/{name}", exist_ok=True)
    with open(f"{out}/{name}/results.json", "w") as file:
        json.dump(values, file)
"""


def test_code_that_works_is_ready():
    found = run(WRITE + 'write("a", accuracy=0.25)\nopen("beside.txt", "w").write("x")')
    assert found.is_experiment_code_ready and found.findings == [] and found.exit_code == 0
    assert found.ladder["smoke runs"].status == "passed"
    assert found.tool["isolation"] == best_isolation()


def test_an_endless_loop_is_stopped():
    found = run("while True: pass", limits=Limits(seconds=1.0))
    assert ids(found) == {("smoke-stopped", "error")} and found.exit_code == 1
    assert "limit of time" in found.experiment_code_issue


def test_a_fork_bomb_is_bounded():
    found = run(
        "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.1)\n",
        limits=Limits(seconds=2.0, processes=64),
    )
    assert ids(found) == {("smoke-stopped", "error")}
    assert any("processes; the limit is 64" in finding.message for finding in found.findings)


def test_writing_without_end_fills_a_disk_of_its_own():
    found = run(
        WRITE + "import itertools\nfor k in itertools.count():\n"
        "    with open(f'{out}/{k}', 'wb') as file: file.write(bytes(20 << 20))\n"
    )
    assert ("smoke-stopped", "error") in ids(found) and ("smoke-exit", "error") in ids(found)
    assert any("disk of 50 MiB" in finding.message for finding in found.findings)


def test_memory_without_end_is_stopped():
    found = run("kept = []\nwhile True: kept.append(b'x' * (20 << 20))\n", limits=LIMITS)
    assert ids(found) == {("smoke-stopped", "error")}
    assert "limit of memory" in found.experiment_code_issue


def test_nothing_of_the_host_is_there(tmp_path, monkeypatch):
    """Neither the user's keys, nor the environment, nor the network, nor other processes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("A_TOKEN", "hunter2")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519").write_text("secret")
    key = str(tmp_path / ".ssh/id_ed25519")
    code = (
        WRITE
        + f"""
import socket
seen = {{}}
for name, path in (("key", {key!r}), ("home", os.path.expanduser("~/.ssh/id_ed25519"))):
    try: seen[name] = open(path).read()
    except OSError: seen[name] = None
try: socket.create_connection(("192.0.2.1", 80), 1); seen["net"] = True
except OSError: seen["net"] = None
assert seen == dict(key=None, home=None, net=None), seen
assert "A_TOKEN" not in os.environ and os.environ["HOME"] != {str(tmp_path)!r}
assert not os.path.exists({str(Path(__file__))!r})
assert sum(name.isdigit() for name in os.listdir("/proc")) < 6
write("a", accuracy=0.5)
"""
    )
    found = run(code)
    assert ids(found) == {("smoke-outside", "error"), ("smoke-outside", "warning")}
    assert found.ladder["smoke runs"].status == "failed" and found.exit_code == 1
    assert "192.0.2.1:80" in str(found.findings)


def test_sources_cannot_be_changed():
    found = run(WRITE + 'open("src/main.py", "a").write("#")')
    assert ids(found) == {("smoke-exit", "error")}
    assert found.findings[0].file == "derived/src/main.py"
    assert found.findings[0].line == len((WRITE + "x").splitlines())


def test_a_flood_of_output_neither_hangs_nor_grows():
    found = run(WRITE + 'sys.stderr.write("x" * (20 << 20))\nwrite("a", accuracy=0.25)')
    assert ids(found) == {("smoke-flood", "note")} and found.is_experiment_code_ready


def test_a_crash_is_shown_where_it_happened():
    found = run(
        "from src import part\npart.work({})",
        **{
            "src/part.py": "def work(config):\n    return config['lr']\n",
            "src/__init__.py": "",
        },
    )
    finding = found.findings[0]
    assert (finding.id, finding.file, finding.line) == ("smoke-exit", "derived/src/part.py", 2)
    assert "KeyError: 'lr'" in finding.message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('write("a", loss=float("nan"))\nwrite("b", loss=1.5)', ("smoke-non-finite", "error")),
        ("pass", ("smoke-results", "error")),
        ('open(f"{out}/r.json", "w").write("{")', ("smoke-results", "error")),
        ('write("a", loss=0.5)', ("smoke-variation", "error")),
        ('write("a", loss=0.5)\nwrite("b", loss=0.5)', ("smoke-alike", "error")),
        (
            "import random\nwrite('a', loss=random.random())\nwrite('b', loss=0.5)",
            ("smoke-repeat", "warning"),
        ),
    ],
)
def test_results_are_looked_at(body, expected):
    found = run(WRITE + body, spec=Spec(run_variations=("a", "b")))
    assert ids(found) == {expected}


def test_time_may_differ_between_runs():
    body = "import time\nwrite('a', loss=0.5, elapsed_sec=time.time(), peak_memory=os.getpid())"
    assert ids(run(WRITE + body)) == set()


def test_what_cannot_be_run_is_not_judged():
    manifest = '[project]\nname = "x"\ndependencies = ["no-such-distribution-anywhere"]\n'
    found = run("print(1)", **{"pyproject.toml": manifest})
    assert found.exit_code == 2 and not found.is_experiment_code_ready
    assert "no-such-distribution-anywhere" in found.experiment_code_issue
    code = "raise ConnectionError('Network is unreachable')"
    found = run(code)
    assert found.exit_code == 2 and "needs the network" in found.experiment_code_issue
    tree = from_mapping("derived", "derived", {"train.py": "print(1)"})
    seen = smoke(Context(Project(tree)), python=sys.executable, limits=LIMITS)
    assert "no smoke command" in seen.missing[0]
