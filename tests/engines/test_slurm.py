"""The Slurm engine, on submitit's executors for one machine, and the script it would submit."""

import os
import signal

import psutil
import pytest
import torch

from ohgw import tasks
from ohgw.core.errors import SettingError
from ohgw.core.layout import MANIFEST_NAME, Manifest
from ohgw.core.records import RECORDS_NAME, Arm, read_records
from ohgw.engines.build import make_engine
from ohgw.study.plan import make_plan
from ohgw.study.run import Watcher, run
from ohgw.testing.estimators import small_task

submitit = pytest.importorskip("submitit", reason="needs the extra slurm")
# submitit's debug executor leaves its log files open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def conducted(task, directory, engine, *, budget=8.0, workers=2, on_turn=lambda searches: None):
    """Rows without seconds, and the manifest."""
    plan = make_plan(
        task,
        arms=[Arm(method="screen", recipe="averaged")],
        seeds=(0,),
        scheduler="asha",
        budget=budget,
        workers=workers,
        engine=engine,
        device="cpu",
        threads=1,
    )
    torch.set_num_threads(1)
    run(plan, task, directory, watcher=Watcher(on_turn=on_turn))
    _, reports, finals = read_records(directory / RECORDS_NAME)
    text = (directory / MANIFEST_NAME).read_text(encoding="utf-8")
    rows = [row.model_dump(exclude={"wall"}) for row in (*reports, *finals)]
    return rows, Manifest.model_validate_json(text)


@pytest.mark.parametrize("lanes", [1, 4])
def test_the_debug_executor_gives_the_serial_engines_rows(tmp_path, lanes):
    task = small_task("sgd", torch.float32 if lanes == 1 else torch.float64)
    serial, _ = conducted(task, tmp_path / "serial", "serial", budget=40.0, workers=4)
    engine = f"slurm:executor=debug:lanes={lanes}:folder={tmp_path / 'jobs'}"
    found, manifest = conducted(task, tmp_path / "slurm", engine, budget=40.0, workers=4)
    if lanes == 1:
        assert found == serial
    scores = [[row["score"] for row in part] for part in (found, serial)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)
    assert manifest.cluster.engine == "slurm" and manifest.cluster.worker_seconds > 0


def test_a_job_that_is_killed_is_submitted_again(tmp_path, monkeypatch):
    """Real processes, one for each batch; the first that is seen is killed."""
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 1)  # for a slow shared disk
    task = tasks.load("breast-cancer")
    killed = []

    def on_turn(searches):
        for process in psutil.Process().children(recursive=True):
            if not killed and "submitit.core._submit" in process.cmdline():
                process.send_signal(signal.SIGKILL)
                killed.append(process.pid)

    serial, _ = conducted(task, tmp_path / "serial", "serial")
    engine = f"slurm:executor=local:lanes=2:folder={tmp_path / 'jobs'}"
    found, manifest = conducted(task, tmp_path / "slurm", engine, on_turn=on_turn)
    assert [row["trial"] for row in found] == [row["trial"] for row in serial]
    assert [row["score"] for row in found] == pytest.approx(
        [row["score"] for row in serial], rel=1e-4
    )
    (loss,) = manifest.cluster.losses
    assert loss.worker.startswith("job ") and "_result.pkl" in loss.reason
    assert len(loss.trials) == 2 and manifest.cluster.workers == 2


FAKE_SBATCH = """#!/bin/sh
for script; do :; done
cp "$script" "$OUT/script"
echo Submitted batch job 17
"""


def test_what_is_asked_of_slurm(tmp_path, monkeypatch):
    """With commands that only write down what they are told."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in (("sbatch", FAKE_SBATCH), ("srun", "#!/bin/sh\n"), ("sacct", "#!/bin/sh\n")):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OUT", str(tmp_path))
    options = "partition=a100:account=lab:minutes=90:cpus=4:memory=16:workers=5"
    engine = make_engine(f"slurm:{options}:folder={tmp_path / 'jobs'}", tasks.load("breast-cancer"))
    for ticket in range(7):
        engine.pool.submit(ticket, [])
    assert engine.pool.wait(0.0) == []
    script = (tmp_path / "script").read_text()
    for line in (
        "--array=0-6%5",
        "--partition=a100",
        "--account=lab",
        "--time=90",
        "--cpus-per-task=4",
        "--mem=16GB",
    ):
        assert f"#SBATCH {line}\n" in script
    assert "gpus" not in script


def test_a_machine_without_slurm_is_told_so(tmp_path):
    with pytest.raises(SettingError, match=r"srun.*slurm:executor=local"):
        make_engine(f"slurm:folder={tmp_path}", tasks.load("breast-cancer"))
