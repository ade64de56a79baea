"""What MLflow and Weights & Biases hold after a study was sent to them, once and only once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ohgw.core.errors import MissingExtraError, UnknownNameError
from ohgw.core.layout import read_study
from ohgw.core.records import RECORDS_NAME, read_records
from ohgw.study import conduct as conduct_module
from ohgw.study.conduct import begin, conduct
from ohgw.study.configuration import compose_study
from ohgw.study.sinks import check_sinks

# The services print, warn and start threads and processes: each runs in a process of its own.
SEND = """
import sys
from pathlib import Path
from ohgw.study.sinks import send_complete
print(send_complete([sys.argv[1]], Path(sys.argv[2])))
"""
MLFLOW_RUNS = """
import sys
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=f"sqlite:///{sys.argv[1]}/mlflow.db")
found = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
for run in found:
    history = client.get_metric_history(run.info.run_id, "score")
    print(run.data.params["method"], run.data.params["seed"], len(history),
          run.data.metrics["best_score"], run.info.status)
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    plan = compose_study("tiny", ["~blocks.main"], config_dir=Path(__file__).parent / "conf")
    run = conduct_module.run
    monkeypatch.setattr(
        conduct_module, "run", lambda *a, **options: run(*a, **options | {"memory": False})
    )
    conduct(begin(plan, tmp_path, resume=False), tmp_path)
    return read_study(tmp_path)


def run(script, *arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    environment.pop("WANDB_MODE", None)
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mlflow_holds_a_run_for_every_search_with_its_scores(study):
    assert run(SEND, "mlflow", study.path).strip() == "1"
    assert run(SEND, "mlflow", study.path).strip() == "0"  # sent already
    (cell,) = study.cells
    _, reports, finals = read_records(cell.path / RECORDS_NAME)
    lines = [line.split() for line in run(MLFLOW_RUNS, study.path).splitlines()]
    assert len(lines) == len(finals)
    for final in finals:
        method = final.search.partition("/")[0]
        (line,) = [li for li in lines if li[:2] == [method, str(final.seed)]]
        mine = [r for r in reports if (r.search, r.seed) == (final.search, final.seed)]
        assert int(line[2]) == sum(r.score is not None for r in mine)
        assert float(line[3]) == pytest.approx(final.score) and line[4] == "FINISHED"
    (cell.path / ".sent-mlflow").unlink()  # as if sending had been cut short
    run(SEND, "mlflow", study.path)
    assert len(run(MLFLOW_RUNS, study.path).splitlines()) == len(finals)


def test_wandb_keeps_a_run_for_every_arm_offline(study):
    assert run(SEND, "wandb", study.path).strip() == "1"
    (cell,) = study.cells
    folders = list((study.path / "wandb").glob("offline-run-*"))
    assert len(folders) == len(cell.planned.plan.arms)
    assert all(next(iter(folder.glob("*.wandb"))).stat().st_size > 1000 for folder in folders)


def test_what_is_unknown_or_not_installed_is_said_at_once(monkeypatch):
    with pytest.raises(UnknownNameError, match="mlflow"):
        check_sinks(["mlfow"])
    monkeypatch.setattr("ohgw.study.sinks.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"ohgw\[wandb\]"):
        check_sinks(["wandb"])
