"""An experiment folder: written, reviewed, run, and refused where it is not ready."""

import json
import subprocess
import sys

import pytest

from ohgw.cli._experiment import TEMPLATE
from ohgw.review.checks import Context
from ohgw.review.project import Project
from ohgw.review.run import review
from ohgw.review.spec import read_spec
from ohgw.review.tree import read_tree

RUNS = {"pasha-baseline", "pasha-ohgw", "pasha-ohgw-low-eta", "pasha-averaged", "pasha-screen"}


def ohgw(*words, cwd):
    command = [sys.executable, "-m", "ohgw", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("experiment")
    done = ohgw("new-experiment", "mine", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "mine"


def test_what_is_written_is_ready_against_what_was_shipped(folder):
    derived, base = (
        Project(read_tree(n, str(p))) for n, p in (("derived", folder), ("base", TEMPLATE))
    )
    found = review(Context(derived, base, None, read_spec(str(folder / "SPEC.yaml"))))
    assert found.is_experiment_code_ready and not found.findings


def test_its_smoke_test_honours_the_contract(folder, tmp_path):
    out = tmp_path / "out"
    done = ohgw("study", folder, "--smoke", "--results-dir", out, "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = {path.parent.name for path in out.glob("*/results.json")}
    assert results == RUNS
    printed = json.loads(done.stdout[done.stdout.index("{") :])
    assert {row["run_id"] for row in printed["comparison"]} == RUNS
    for row in printed["comparison"]:
        assert row["replicates"] == 1 and 0 < row["median_val_loss"] < 1


def test_a_full_run_of_what_is_not_ready_is_refused(folder, tmp_path):
    config = folder / "config" / "full_experiment.yaml"
    text = config.read_text()
    config.write_text(text.replace("pasha-screen", "pasha-scren"))
    try:
        done = ohgw("study", folder, "--full", "--results-dir", tmp_path / "out", cwd=tmp_path)
    finally:
        config.write_text(text)
    assert done.returncode == 2
    assert "pasha-screen" in done.stderr and "--force" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study", "./nothing", "--smoke", "--results-dir", "out"], "new-experiment"),
        (["new-experiment", "."], "not empty"),
    ],
)
def test_what_cannot_work_is_said(tmp_path, words, message):
    (tmp_path / "file").touch()
    done = ohgw(*words, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
