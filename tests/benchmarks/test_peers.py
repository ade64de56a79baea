"""The race: its targets, its arithmetic with misses, what it runs, and how it stops what it ran."""

import importlib
import json
import math
import os
import sys
import time
from pathlib import Path
from subprocess import run as run_process

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ohgw.core.domains import Float
from ohgw.tasks import BUNDLED, load

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def module():
    """Imports a module of the benchmarks, which are scripts beside each other, no package."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        patch.syspath_prepend(BENCHMARKS / "race")
        yield importlib.import_module
    torch.set_num_threads(threads)  # the training program asks for one


@pytest.fixture
def recording(monkeypatch, tmp_path):
    """Where the training program writes its reports; returns what is there."""
    monkeypatch.setenv("RACE_RECORD", str(tmp_path / "record.jsonl"))

    def rows():
        return [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]

    return rows


def a_run(*reports, seed=0, start_up=1.0, seconds=30.0):
    """Reports as (seconds, loss) or (seconds, loss, test)."""
    rows = [
        {"seconds": row[0], "trial": 0, "epoch": number + 1, "loss": row[1]}
        | ({"test": row[2]} if len(row) == 3 else {})
        for number, row in enumerate(reports)
    ]
    took = {
        "start_up": start_up, "seconds": seconds, "exits": [None], "cpu_seconds": 12.0,
        "peak_rss_mib": 500.0, "peak_pss_mib": 400.0,
    }  # fmt: skip
    return {"seed": seed, "took": took, "reports": rows}


def test_targets_follow_their_rule(module):
    targets = module("_race_targets")
    # Ten searches; number k reports 1 at a tenth, 0.5 + k / 100 at 0.4, and k / 100 at its end.
    searches = [[(0.1, 1.0), (0.4, 0.5 + k / 100), (1.0, k / 100)] for k in range(10)]
    found = targets.choose(searches)
    assert found["median at 25 %"] == 1.0
    assert found["median at 50 %"] == pytest.approx(0.545)
    assert found["reached by 90 %"] == 0.08  # nine of ten are at 0.08 or below
    assert targets.choose([[], *searches])["reached by 90 %"] == 0.09  # none reported: not reached
    assert targets.best([], 1.0) == math.inf
    assert set(targets.EPOCHS_A_MINUTE) == set(BUNDLED)


@given(st.lists(st.floats(0, 1e3), min_size=1), st.floats(0, 1))
def test_quantiles_are_numpys_where_all_is_finite(module, values, share):
    ours = module("_race_results").quantile(values, share)
    assert ours == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-9)


def test_misses_are_infinity_in_medians_and_quartiles(module):
    quantile = module("_race_results").quantile
    assert quantile([1.0, math.inf, 2.0], 0.5) == 2.0
    assert quantile([1.0, math.inf], 0.5) == math.inf
    assert quantile([1.0, 2.0, math.inf, math.inf], 0.5) == math.inf
    assert quantile([1.0, 2.0, 3.0, math.inf, math.inf], 0.5) == 3.0
    assert quantile([math.inf] * 3, 0.25) == math.inf


def test_time_to_a_target_and_test_loss(module):
    results = module("_race_results")
    run = a_run((2.0, None), (3.0, 0.5, 0.6), (4.0, 0.7), (6.0, 0.4, 0.3))
    assert results.seconds_to(run, 0.5) == 3.0
    assert results.seconds_to(run, 0.45) == 6.0
    assert results.seconds_to(run, 0.3) == math.inf
    assert results.test_after(run, 5.9) == 0.6
    assert results.test_after(run, 6.0) == 0.3
    assert results.test_after(run, 1.0) == math.inf


def summary(module, **arms):
    targets = {"digits": {"losses": [0.5, 0.1]}}
    runs = {"digits": {name.replace("_", "-"): found for name, found in arms.items()}}
    (row,) = module("_race_results").summary(runs, targets, at=15.0, limit=40.0)
    return row


def test_the_speed_up_is_over_the_best_peer(module):
    row = summary(
        module,
        random=[a_run((9.0, 0.4), (30.0, 0.1)) for _ in range(3)],
        optuna=[a_run((8.0, 0.4), (20.0, 0.1)), a_run((8.0, 0.4)), a_run((8.0, 0.4))],
        ohgw=[a_run((1.0, 0.1))] * 3,
        ohgw_plain=[a_run((4.0, 0.4), (5.0, 0.1))] * 3,
    )
    easy, hard = row["targets"]
    assert (easy["best_peer"], easy["speedup"]) == ("optuna", 2.0)
    assert (hard["best_peer"], hard["speedup"]) == ("random", 6.0)  # optuna's median is a miss
    assert hard["arms"]["optuna"]["censored"] == 2
    assert hard["arms"]["optuna"]["median_seconds"] is None
    assert hard["arms"]["ohgw-plain"]["start_up_share"] == pytest.approx(1 / 5)
    assert row["speedup_over_best_peer"] == 6.0 and not row["speedup_is_lower_bound"]
    assert row["never_behind"]
    json.dumps(row, allow_nan=False)


def test_a_miss_of_every_peer_is_a_lower_bound_and_a_miss_of_ours_is_no_speed_up(module):
    missed, reached = [a_run((8.0, 0.4))] * 2, [a_run((5.0, 0.1))] * 2
    row = summary(module, random=missed, ohgw_plain=reached)
    assert row["speedup_is_lower_bound"] and row["speedup_over_best_peer"] == 40.0 / 5.0
    row = summary(module, random=reached, ohgw_plain=missed)
    assert row["speedup_over_best_peer"] is None and not row["never_behind"]
    row = summary(module, random=reached)
    assert row["speedup_over_best_peer"] is None and not row["never_behind"]


@pytest.mark.parametrize("name", BUNDLED)
def test_the_peers_train_what_the_task_is(module, name):
    """Space, resource, data and loss; models and steps are compared in test_reference.py."""
    task = load(name)
    program = module("training").get_program(name)
    assert program.SPACE == {
        key: (domain.low, domain.high, domain.log)
        for key, domain in task.space.items()
        if isinstance(domain, Float)
    }
    assert list(program.SPACE) == list(task.space)
    assert (program.MIN_EPOCHS, program.MAX_EPOCHS) == (task.min_resource, task.max_resource)
    assert program.BATCH_SIZE == task.batch_size
    assert program.BATCH_SIZE * program.NOISE == task.noise_size
    data = program.load()
    assert data.keys() == task.data.keys()
    for split, parts in data.items():
        for ours, theirs in zip(task.data[split], parts, strict=True):
            torch.testing.assert_close(ours, theirs)
    middle = task.space.from_unit([0.5] * task.space.d)
    training = module("training").Training(name, middle, 0)
    reference = module("_reference").Reference(task, middle, task.init(torch.Generator()))
    scale = reference.flat().std().item()
    reference.net.load_state_dict(training.net.state_dict())
    assert reference.flat().std().item() == pytest.approx(scale, rel=0.1)  # initialised alike
    assert training.loss("val") == pytest.approx(
        task.loss(reference.flat(), task.data["val"]).item(), rel=1e-5
    )


def test_a_checkpoint_carries_training_on(module, tmp_path, recording):
    training = module("training")
    program = training.get_program("breast-cancer")
    hp = {name: low + 0.4 * (high - low) for name, (low, high, _) in program.SPACE.items()}
    hp["learning_rate"] = 0.05
    first = training.Training("breast-cancer", hp, 0)
    start = first.loss("val")
    first.train_to(3)
    first.save(tmp_path)
    second = training.Training("breast-cancer", hp, 1)
    second.load(tmp_path)
    assert second.loss("val") == first.loss("val") < start
    torch.manual_seed(0)
    first.train_to(4)
    torch.manual_seed(0)
    second.train_to(4)
    assert second.epoch == 4 and second.loss("test") == first.loss("test")


def test_incumbents_alone_are_tested(module, recording):
    record = module("record")
    tested = []
    for loss in (0.5, 0.7, math.nan, 0.3, 0.3):
        record.report(1, 2, loss, lambda loss=loss: tested.append(loss) or 10 * loss)
    assert tested == [0.5, 0.3]
    rows = recording()
    assert [row["loss"] for row in rows] == [0.5, 0.7, None, 0.3, 0.3]
    assert [row.get("test") for row in rows] == [5.0, None, None, 3.0, None]
    assert sorted(row["t"] for row in rows) == [row["t"] for row in rows]


ARM = """
import json, os, subprocess, sys, time
busy = time.process_time() + 0.3
while time.process_time() < busy: pass
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
row = {"t": time.monotonic(), "loss": 0.5, "child": child.pid, "here": os.getcwd()}
with open(os.environ["RACE_RECORD"], "a") as file: file.write(json.dumps(row) + "\\n")
END
"""


@pytest.mark.skipif(sys.platform != "linux", reason="watches processes as Linux does")
@pytest.mark.parametrize(
    "end, exits", [("time.sleep(600)", None), ("os._exit(0)", 0), ("os._exit(3)", 3)]
)
def test_a_run_is_stopped_with_all_that_it_started(tmp_path, end, exits):
    record = tmp_path / "record.jsonl"
    spec = {
        "commands": [[sys.executable, "-c", ARM.replace("END", end)]],
        "environment": os.environ | {"RACE_RECORD": str(record)},
        "folder": str(tmp_path),
        "record": str(record),
        "log": str(tmp_path / "log"),
        "target": 0.5,
        "at": 0.0,
        "limit": 60.0,
    }
    done = run_process(
        [sys.executable, BENCHMARKS / "_race_run.py", json.dumps(spec)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    took, row = json.loads(done.stdout), json.loads(record.read_text())
    assert took["exits"] == [exits] and took["seconds"] < 60.0
    assert took["launched"] < row["t"] < time.monotonic()
    assert took["cpu_seconds"] >= 0.3 and took["peak_rss_mib"] > 1.0
    assert row["here"] == str(tmp_path)
    assert not psutil.pid_exists(row["child"])


def test_the_race_writes_its_results_and_goes_on_from_them(module, monkeypatch, tmp_path, capsys):
    peers, started = module("peers"), []

    def pretend(arm, python, task, seed, *, target, at, limit):
        started.append((arm.name, task, seed, target))
        if (arm.name, seed) == ("optuna", 1) and fails:
            raise peers.RunFailed("optuna fell over")
        faster = 4.0 if arm.ours else 20.0
        found = a_run((faster, 0.3, 0.2), (1.5 * faster, 0.1, 0.1), seed=seed)
        return found["took"], found["reports"]

    fixed = {"losses": [0.4, 0.3, 0.2], "minutes_of_one_core": 1.0}
    monkeypatch.setattr(peers, "run", pretend)
    monkeypatch.setattr(peers, "calibrate", lambda task, minutes, folder: fixed)
    for name in ("optuna",):
        (tmp_path / "environments" / name).mkdir(parents=True)
        (tmp_path / "environments" / name / ".installed").touch()
    arguments = [
        "--peers", str(tmp_path / "environments"), "--tasks", "digits", "charlm", "--seeds", "2",
        "--arms", "random", "optuna", "neps", "ohgw-plain",
        "--out", str(tmp_path / "out"), "--json", str(tmp_path / "peers.json"),
    ]  # fmt: skip
    fails = True
    with pytest.raises(SystemExit, match="2 runs failed"):
        peers.main(arguments)
    said = capsys.readouterr().out
    assert "optuna fell over" in said and "neps: not installed" in said
    measured = [row for row in started if row[3] != math.inf]
    assert len(measured) == 2 * 2 * 3 and {row[3] for row in measured} == {0.2}
    assert next(row[0] for row in measured if row[2] == 1) != measured[0][0]  # another begins
    fails = False
    started.clear()
    peers.main(arguments)
    assert [row for row in started if row[3] != math.inf] == [
        ("optuna", "digits", 1, 0.2),
        ("optuna", "charlm", 1, 0.2),
    ]
    content = json.loads((tmp_path / "peers.json").read_text())
    assert [row["task"] for row in content["tasks"]] == ["digits", "charlm"]
    assert content["tasks"][0]["speedup_over_best_peer"] == 5.0
    assert content["tasks"][0]["arms"]["optuna"]["test_loss"] is None  # at 15 s, before a report
    assert (tmp_path / "out" / "peers.png").stat().st_size > 10_000
    with pytest.raises(SystemExit, match=r"was run with limit = 45.0, not 30.0"):
        peers.main([*arguments, "--limit", "30"])
    with pytest.raises(SystemExit, match="Give that, or choose another --out"):
        peers.main([*arguments, "--minutes", "2"])
