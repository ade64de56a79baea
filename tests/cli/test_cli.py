"""The command line end to end, as a user types it."""

import inspect
import json
import signal
import subprocess
import sys
import time
from importlib import import_module

import pytest
import torch
import yaml

from ohgw import tasks
from ohgw.cli import VERBS, main
from ohgw.core.space import Float, Space
from ohgw.schedulers import SCHEDULERS


@pytest.fixture
def ohgw(monkeypatch, capfd, tmp_path):
    """Runs a command line in this process; returns (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["ohgw", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        out, err = capfd.readouterr()
        return status, out, err

    return run


def test_tune_leaves_everything_it_promises(ohgw, tmp_path):
    status, out, err = ohgw("tune", "breast-cancer", "--budget", 30, "--out", "found")
    assert status == 0, err
    folder = tmp_path / "found"
    best = yaml.safe_load((folder / "best.yaml").read_text())
    tasks.load("breast-cancer").space.validate(best["configuration"])
    assert f"{best['validation']['loss']:.5g}" in out
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    theta = torch.cat([value.reshape(-1) for value in checkpoint["parameters"].values()])
    task = tasks.load("breast-cancer")
    for split, key in (("val", "validation"), ("test", "test")):
        value = float(task.metrics(theta, task.data[split])["loss"])
        assert value == pytest.approx(best[key]["loss"], rel=1e-4)
    assert (folder / "records.jsonl").stat().st_size > 0
    page = (folder / "report.html").read_text()
    assert "<img" in page or "<svg" in page
    assert "breast-cancer" in page
    # A second run in the same place needs to be asked for; resuming a complete one is quick.
    status, _, err = ohgw("tune", "breast-cancer", "--budget", 30, "--out", "found")
    assert status == 2 and "--resume" in err
    status, again, _ = ohgw(
        "tune", "breast-cancer", "--budget", 30, "--out", "found", "--resume", "--quiet"
    )
    assert status == 0 and again == out


def test_tune_speaks_json(ohgw):
    status, out, err = ohgw(
        *("tune", "breast-cancer", "--budget", 20, "--method", "vanilla", "--workers", 2),
        *("--engine", "serial", "--seed", 3, "--json"),
    )
    assert status == 0 and err == ""
    found = json.loads(out)
    assert found["trials"] >= 2 and found["probe_share"] == 0
    assert found["work"] <= 20


def test_compare_shows_every_arm_and_both_references(ohgw, tmp_path):
    words = ("compare", "breast-cancer", "--seeds", 6, "--calibration", 3, "--budget", 20)
    status, out, err = ohgw(*words, "--out", "compared")
    assert status == 0, err
    for arm in ("vanilla/plain", "guided/plain", "vanilla/averaged", "ohgw/averaged"):
        assert arm in out
    assert "guided/averaged" in out and "Holm p" in out
    page = (tmp_path / "compared/report.html").read_text()
    assert "ohgw compare breast-cancer" in page
    status, out, _ = ohgw(*words, "--out", "compared", "--resume", "--json")
    summary = json.loads(out)
    assert summary["seeds"] == list(range(6))
    assert len(summary["calibration_seeds"]) == 3
    assert "budget_50" in summary["targets"]  # after a quarter of this budget few have a score


def test_tasks_and_doctor(ohgw):
    status, out, _ = ohgw("tasks", "--json")
    names = {task["name"]: task for task in json.loads(out)}
    assert status == 0 and set(names) == set(tasks.TASKS)
    assert Space.from_dict(names["digits"]["space"]) == tasks.load("digits").space
    status, out, _ = ohgw("tasks")
    assert status == 0 and "charlm" in out
    status, out, _ = ohgw("schedulers", "--json")
    listed = {row["name"]: row for row in json.loads(out)}
    assert status == 0 and set(listed) == set(SCHEDULERS)
    assert listed["asha"]["options"] == {"eta": 3}
    assert all(row["summary"].endswith(".") for row in listed.values())
    status, out, _ = ohgw("schedulers")
    assert status == 0 and "eta=3" in out
    status, out, _ = ohgw("doctor")
    assert status == 0
    assert torch.__version__ in out and "device" in out and "extra" in out


@pytest.mark.parametrize("verb", VERBS)
def test_the_list_of_verbs_says_what_each_says_itself(ohgw, verb):
    command = import_module(f"ohgw.cli.{verb.replace('-', '_')}").command
    assert inspect.getdoc(command).splitlines()[0] == VERBS[verb]
    status, out, _ = ohgw("--help")
    assert status == 0 and VERBS[verb].split(":")[0] in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tun", "digits"], "Unknown command 'tun'. Did you mean 'tune'?"),
        (["tune", "digits", "--scheduler", "ahsa"], "Did you mean 'asha'?"),
        (["tune", "digits", "--scheduler", "asha:eta=1"], "eta 1 must be"),
        (["tune", "digit"], "Unknown task 'digit'. Did you mean 'digits'?"),
        (["tune", "digits", "--method", "scren"], "Did you mean 'screen'?"),
        (["tune", "digits", "--method", "ohgw:eta=zero"], "eta="),
        (["tune", "digits", "--method", "ohgw:etta=1"], "Did you mean 'eta'?"),
        (["tune", "digits", "--method", "ohgw:only=learning"], "only='learning'"),
        (["tune", "digits", "--method", "ohgw:only=momentum"], "cannot see it with steps=1"),
        (["tune", "digits", "--method", "ohgw:estimator=revers"], "Did you mean 'reverse'?"),
        (["tune", "digits", "--scheduler", "ahsa"], "Did you mean 'asha'?"),
        (["tune", "digits", "--engine", "serious"], "Did you mean 'serial'?"),
        (["tune", "digits", "--recipe", "plane"], "Did you mean 'plain'?"),
        (["tune", "digits", "--budget", "0"], "A budget of 0.0 epochs trains nothing"),
        (["tune", "digits", "--budget", "nan"], "A budget of nan epochs trains nothing"),
        (["tune", "digits", "--budget", "1"], "does not hold one trial"),
        (["tune", "digits", "--workers", "0"], "workers=0"),
        (["tune", "digits", "--seed", "-1"], "Seeds must lie in"),
        (["tune", "digits", "--device", "cuda:7"], "Device 'cuda:7' is not there"),
        (["tune", "digits", "--device", "abacus"], "'abacus' is not a device"),
        (["tune", "digits", "--out", "/proc/nowhere"], "/proc/nowhere"),
        (["tune", "digits", "--resume"], "--resume needs --out"),
        (["compare", "digits", "--seeds", "0"], "seeds=0"),
        (["compare", "digits", "--methods", "vanilla,oghw"], "Did you mean 'ohgw'?"),
    ],
)
def test_bad_input_is_one_clear_error_before_any_compute(ohgw, tmp_path, words, says):
    status, out, err = ohgw(*words)
    assert status == 2
    assert says in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err and out == ""
    assert not list(tmp_path.rglob("records.jsonl"))


def test_all_trials_diverged_is_one_clear_error_and_keeps_the_record(ohgw, monkeypatch, tmp_path):
    task = tasks.load("breast-cancer")
    task.space = Space({**task.space, "learning_rate": Float(1e20, 1e30, log=True)})
    monkeypatch.setattr(tasks, "load", lambda name, device: task)
    status, _, err = ohgw("tune", "breast-cancer", "--budget", 20, "--out", "wild")
    assert status == 2
    said = " ".join(err.replace("│", " ").split())
    assert "trials of task 'breast-cancer' diverged" in said and "Lower the upper bounds" in said
    rows = (tmp_path / "wild/records.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["score"] is None
    assert all(json.loads(row)["score"] is None for row in rows[1:])


def test_ctrl_c_keeps_everything_and_says_how_to_go_on(tmp_path):
    words = ["tune", "breast-cancer", "--budget", "3000", "--out", str(tmp_path / "cut")]
    process = subprocess.Popen(
        [sys.executable, "-c", "from ohgw.cli import main; main()", *words],
        stderr=subprocess.PIPE,
        env={"COLUMNS": "300", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        text=True,
    )
    record = tmp_path / "cut/records.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (record.exists() and record.stat().st_size > 5000):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    said = " ".join(err.split())
    assert "Everything computed so far is kept" in said
    assert f"--out {tmp_path / 'cut'} --resume" in said
    assert "Traceback" not in err
    assert (tmp_path / "cut/snapshot.pt").exists()
