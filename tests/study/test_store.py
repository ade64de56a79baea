"""Resume, damage and contention of a results directory. Processes are really killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from ohgw import tasks
from ohgw.core.errors import Interrupted, PlanMismatchError, RecordError, StorageError
from ohgw.core.records import RECORDS_NAME, Arm, read_records
from ohgw.study import run as run_module
from ohgw.study.plan import make_plan
from ohgw.study.run import Watcher, run
from ohgw.study.store import SNAPSHOT_NAME

BUDGET = 30.0


def plan_for(task, budget=BUDGET, engine="population", arms=("screen",), scheduler="asha"):
    return make_plan(
        task,
        arms=[Arm(method=method, recipe="averaged") for method in arms],
        seeds=(0,),
        scheduler=scheduler,
        budget=budget,
        workers=3,
        engine=engine,
        device="cpu",
        threads=1,
    )


@pytest.fixture
def task():
    return tasks.load("breast-cancer")


def rows_of(directory):
    """All rows as they are, without measured seconds."""
    lines = (directory / RECORDS_NAME).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row.pop("wall", None)
        row.pop("started", None)
    return rows


def stop_after(turns):
    left = [turns]

    def stopping():
        left[0] -= 1
        return left[0] < 0

    return Watcher(stopping=stopping)


# The snapshot interval is what makes kills hit states other than the beginning.
SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from ohgw.study import run as module
module.SNAPSHOT_SECONDS = 0.02
module.SNAPSHOT_SHARE = 1e9
sys.path.insert(0, {folder!r})
from test_store import plan_for
from ohgw import tasks
task = tasks.load("breast-cancer")
print("ready", flush=True)
module.run(plan_for(task, engine={engine!r}), task, Path({directory!r}), resume=True)
"""


@pytest.mark.parametrize("engine", ["population", "serial"])
def test_killed_at_any_moment_it_ends_with_the_same_record(task, tmp_path, engine, monkeypatch):
    run(plan_for(task, engine=engine), task, tmp_path / "whole")
    began = time.monotonic()
    run(plan_for(task, engine=engine), task, tmp_path / "again")
    seconds = time.monotonic() - began
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "again")

    killed = tmp_path / "killed"
    script = SCRIPT.format(folder=os.path.dirname(__file__), engine=engine, directory=str(killed))
    moments = random.Random(0)
    kills = 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(moments.uniform(0.1, 0.6) * seconds)
        finished = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += not finished
        if kills == 3 or finished:
            break
    run(plan_for(task, engine=engine), task, killed, resume=True)
    assert kills >= 1
    assert rows_of(killed) == rows_of(tmp_path / "whole")
    assert (killed / "best.yaml").read_text() == (tmp_path / "whole/best.yaml").read_text()
    assert not (killed / SNAPSHOT_NAME).exists()


@pytest.mark.parametrize(
    ("share", "scheduler"), [(0.1, "asha"), (0.5, "pasha"), (0.9, "hyperband"), (0.7, "bohb")]
)
def test_stopped_and_resumed_it_ends_with_the_same_record(task, tmp_path, share, scheduler):
    plan = plan_for(task, scheduler=scheduler)
    turns = []
    watcher = Watcher(on_turn=turns.append)
    run(plan, task, tmp_path / "whole", watcher=watcher)
    with pytest.raises(Interrupted) as stop:
        watcher = stop_after(int(share * len(turns)))
        run(plan, task, tmp_path / "cut", watcher=watcher)
    assert stop.value.directory == tmp_path / "cut"
    finals = run(plan, task, tmp_path / "cut", resume=True)
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")
    assert len(finals) == 1


def test_a_complete_run_is_not_computed_again(task, tmp_path, monkeypatch):
    finals = run(plan_for(task), task, tmp_path)
    monkeypatch.setattr(run_module, "make_engine", None)  # calling it would fail
    assert run(plan_for(task), task, tmp_path, resume=True) == finals


def test_a_half_written_line_is_repaired_by_resuming(task, tmp_path):
    run(plan_for(task), task, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(plan_for(task), task, tmp_path / "cut", watcher=stop_after(8))
    record = tmp_path / "cut" / RECORDS_NAME
    with record.open("ab") as file:
        file.write(b'{"kind":"report","sea')
    with pytest.raises(RecordError, match="half-written.*--resume"):
        read_records(record)
    run(plan_for(task), task, tmp_path / "cut", resume=True)
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")


def test_a_directory_in_use_or_used_is_refused(task, tmp_path):
    with pytest.raises(Interrupted):
        run(plan_for(task), task, tmp_path, watcher=stop_after(3))
    before = (tmp_path / RECORDS_NAME).read_bytes()
    with pytest.raises(StorageError, match="already holds a record.*--resume"):
        run(plan_for(task), task, tmp_path)
    assert (tmp_path / RECORDS_NAME).read_bytes() == before

    def second(searches):
        with pytest.raises(StorageError, match="another run is writing"):
            run(plan_for(task), task, tmp_path, resume=True)
        raise Interrupted(tmp_path)

    with pytest.raises(Interrupted):
        run(plan_for(task), task, tmp_path, resume=True, watcher=Watcher(on_start=second))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"budget": 60.0}, "budget=30.0"), ({"arms": ("vanilla",)}, "arms=")],
)
def test_another_plan_is_refused_by_name(task, tmp_path, change, named):
    with pytest.raises(Interrupted):
        run(plan_for(task), task, tmp_path, watcher=stop_after(3))
    before = (tmp_path / RECORDS_NAME).read_bytes()
    with pytest.raises(PlanMismatchError, match=named):
        run(plan_for(task, **change), task, tmp_path, resume=True)
    assert (tmp_path / RECORDS_NAME).read_bytes() == before


def damage_row(path):
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1][:-20] + b"#" * 20
    path.write_bytes(b"\n".join(lines))


def older_schema(path):
    path.write_text(path.read_text().replace('"schema_version":1', '"schema_version":0', 1))


def cut_short(path):
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\n") + 1])


def no_header(path):
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])


def binary(path):
    path.write_bytes(b"\xff\xfe\x00garbage\n")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_row, r"line 2: not a record row.*Restore"),
        (older_schema, "written with record schema 0, this version reads schema 1"),
        (cut_short, "rows are missing.*Restore"),
        (no_header, "the first line is not a header"),
        (binary, "line 1: not a record row"),
    ],
)
def test_a_damaged_record_is_refused_and_kept(task, tmp_path, damage, says):
    with pytest.raises(Interrupted):
        run(plan_for(task), task, tmp_path, watcher=stop_after(10))
    record = tmp_path / RECORDS_NAME
    damage(record)
    before = record.read_bytes()
    with pytest.raises(RecordError, match=says):
        run(plan_for(task), task, tmp_path, resume=True)
    assert record.read_bytes() == before


def test_a_damaged_snapshot_is_refused_with_its_remedy(task, tmp_path):
    run(plan_for(task), task, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(plan_for(task), task, tmp_path / "cut", watcher=stop_after(10))
    snapshot = tmp_path / "cut" / SNAPSHOT_NAME
    snapshot.write_bytes(snapshot.read_bytes()[:1000])
    with pytest.raises(RecordError, match="damaged.*Delete this file"):
        run(plan_for(task), task, tmp_path / "cut", resume=True)
    snapshot.unlink()
    run(plan_for(task), task, tmp_path / "cut", resume=True)
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")


def test_a_snapshot_that_a_kill_cut_short_does_not_stay(task, tmp_path):
    with pytest.raises(Interrupted):
        run(plan_for(task), task, tmp_path, watcher=stop_after(10))
    (tmp_path / f"{SNAPSHOT_NAME}.tmp").write_bytes(b"half")
    run(plan_for(task), task, tmp_path, resume=True)
    assert not list(tmp_path.glob(f"{SNAPSHOT_NAME}*"))


def test_a_place_that_cannot_be_written_is_refused_before_any_compute(task, tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setattr(run_module, "_set_up", None)  # compute would begin here
    with pytest.raises(StorageError, match=r"file.*Check that the directory"):
        run(plan_for(task), task, blocker / "out")


def test_a_full_disk_is_one_clear_error_and_loses_nothing(task, tmp_path, monkeypatch):
    """/dev/full is a real device that is always full."""
    with pytest.raises(Interrupted):
        run(plan_for(task), task, tmp_path, watcher=stop_after(8))
    before = (tmp_path / RECORDS_NAME).read_bytes()
    record = tmp_path / RECORDS_NAME
    kept = tmp_path / "kept"
    record.rename(kept)
    record.symlink_to("/dev/full")
    (tmp_path / SNAPSHOT_NAME).rename(tmp_path / "kept-snapshot")
    with pytest.raises(StorageError, match=r"No space left.*--resume"):
        run(plan_for(task), task, tmp_path)
    assert kept.read_bytes() == before
