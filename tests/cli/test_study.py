"""`ohgw study` and `ohgw report` as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONF = Path(__file__).parents[1] / "study" / "conf"
TINY = ["tiny", "~blocks.main", "--config-dir", str(CONF)]


def ohgw(*words, cwd):
    command = [sys.executable, "-m", "ohgw", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    done = ohgw("study", *TINY, "--results-dir", "out", "--json-lines", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "out", done


def test_a_study_ends_with_its_verdict_its_report_and_a_line_for_each_step(study):
    directory, done = study
    assert "success criteria" in done.stdout and "report.html" in done.stdout
    page = (directory / "report" / "report.html").read_text()
    assert "ohgw study tiny" in page
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert lines[-1]["state"] == "finished" and lines[-1]["total"] == 1.0
    results = sorted(path.parent.name for path in directory.glob("*/results.json"))
    assert len(results) == 3  # vanilla and two step sizes


def test_report_prints_the_comparison_of_runs_as_json(study):
    directory, _ = study
    done = ohgw("report", directory, "--json", cwd=directory)
    found = json.loads(done.stdout)
    assert {row["run_id"] for row in found["comparison"]} == {
        path.parent.name for path in directory.glob("*/results.json")
    }
    (cell,) = (directory / "cells").iterdir()
    single = ohgw("report", cell, "--json", cwd=directory)
    assert json.loads(single.stdout)["task"] == "breast-cancer"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study", *TINY, "--results-dir", "{out}"], "--resume"),
        (["study", *TINY, "seeds=3", "--results-dir", "{out}", "--resume"], "3"),
        (["study", "tine", "--dry-run"], "Known"),
        (["study", *TINY, "--smoke", "--full"], "exclude"),
        (["study", *TINY, "--resume"], "--results-dir"),
        (["study", *TINY, "--track", "mlfow"], "mlflow"),
        (["report", "nowhere"], "nowhere"),
        (["report", "{cell}", "--notebook"], "study"),
    ],
)
def test_what_cannot_work_is_one_clear_error(study, words, message):
    directory, _ = study
    (cell,) = (directory / "cells").iterdir()
    words = [word.format(out=directory, cell=cell) for word in words]
    done = ohgw(*words, cwd=directory.parent)
    assert done.returncode == 2 and message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_says_what_would_be_run_and_records_nothing(study, tmp_path):
    done = ohgw("study", *TINY, "--dry-run", "--json", cwd=tmp_path)
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["searches"] == 7 and cell["epochs"] == 70 and cell["seconds"] > 0
    assert list(tmp_path.iterdir()) == []
