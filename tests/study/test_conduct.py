"""A study over its cells: killed, stopped, shared between processes, and out of disk."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from ohgw.core.errors import (
    HeldError,
    Interrupted,
    PlanMismatchError,
    RecordError,
    StorageError,
    WorkerError,
)
from ohgw.core.layout import CELLS, MANIFEST_NAME, STUDY_NAME, read_study
from ohgw.core.records import RECORDS_NAME, read_records
from ohgw.study import conduct as conduct_module
from ohgw.study.conduct import begin, conduct
from ohgw.study.configuration import compose_study
from ohgw.study.store import SNAPSHOT_NAME, Store

CONF = Path(__file__).parent / "conf"
KILLS = int(os.environ.get("OHGW_KILLS", "4"))


@pytest.fixture(autouse=True)
def without_memory(monkeypatch):
    """Memory is measured by searches of their own, which would only take time here."""
    run = conduct_module.run
    monkeypatch.setattr(
        conduct_module, "run", lambda *a, **options: run(*a, **options | {"memory": False})
    )


def tiny(*overrides):
    return compose_study("tiny", overrides, config_dir=CONF)


def run_study(directory, plan=None, resume=False, **options):
    plan = begin(plan or tiny(), directory, resume=resume)
    conduct(plan, directory, **options)
    return plan


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("study") / "whole"
    run_study(directory)
    return directory


def content(directory):
    """The rows of all cells, without measured seconds."""
    rows = {}
    for path in sorted((directory / CELLS).glob(f"*/{RECORDS_NAME}")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line.pop("wall", None)
            line.pop("started", None)
        rows[path.parent.name] = lines
    return rows


SCRIPT = """
import sys
from pathlib import Path
from ohgw.study import conduct, run
run.SNAPSHOT_SECONDS = 0.02
run.SNAPSHOT_SHARE = 1e9
original = conduct.run
conduct.run = lambda *a, **options: original(*a, **options | {{"memory": False}})
sys.path.insert(0, {folder!r})
from test_conduct import tiny
directory = Path({directory!r})
plan = conduct.begin(tiny(), directory, resume=True)
print("ready", flush=True)
conduct.conduct(plan, directory)
"""


def test_killed_at_random_moments_it_ends_with_the_rows_of_an_undisturbed_one(whole, tmp_path):
    killed = tmp_path / "killed"
    script = SCRIPT.format(folder=os.path.dirname(__file__), directory=str(killed))
    moments = random.Random(1)
    kills = 0
    while kills < KILLS:
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(moments.uniform(0.0, 0.6))
        if process.poll() is not None:
            process.stdout.close()
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += 1
    run_study(killed, resume=True)
    assert kills >= 2
    assert content(killed) == content(whole)
    assert not list(killed.rglob(SNAPSHOT_NAME)) and not list(killed.rglob("*.tmp"))


def test_stopped_it_says_so_and_goes_on(whole, tmp_path):
    polls = iter(range(1000))
    with pytest.raises(Interrupted) as stop:
        run_study(tmp_path, stopping=lambda: next(polls) > 40)
    assert stop.value.directory == tmp_path
    run_study(tmp_path, resume=True)
    assert content(tmp_path) == content(whole)


def test_several_processes_share_the_cells(whole, tmp_path):
    told = []
    run_study(tmp_path, jobs=2, tell=told.append)
    assert content(tmp_path) == content(whole)
    assert {p.cell for p in told if p.state == "finished"} == set(content(whole))
    before = len(told)
    run_study(tmp_path, resume=True, jobs=2, tell=told.append)  # nothing left to do
    assert len(told) == before


def test_a_stop_reaches_every_process(tmp_path):
    told = []
    with pytest.raises(Interrupted):
        run_study(tmp_path, tiny("seeds=8"), jobs=2, tell=told.append, stopping=lambda: told)
    run_study(tmp_path, tiny("seeds=8"), resume=True)
    assert all(cell.manifest for cell in read_study(tmp_path).cells)


def test_a_process_that_dies_is_reported(tmp_path):
    def kill_one(progress):
        for child in multiprocessing.active_children()[:1]:
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match="-9"):
        run_study(tmp_path, tiny("seeds=6"), jobs=2, tell=kill_one)
    run_study(tmp_path, tiny("seeds=6"), resume=True)
    assert all(cell.manifest for cell in read_study(tmp_path).cells)


def test_a_cell_that_another_process_holds_is_passed_over(whole, tmp_path):
    plan = begin(tiny(), tmp_path, resume=False)
    taken = plan.cells[1].id
    with Store(tmp_path / CELLS / taken).held():
        with pytest.raises(HeldError, match=taken):
            conduct(plan, tmp_path)
    done = {cell.planned.id for cell in read_study(tmp_path).cells if cell.manifest}
    assert done == {cell.id for cell in plan.cells} - {taken}
    run_study(tmp_path, resume=True)
    assert content(tmp_path) == content(whole)


def test_a_finished_study_is_read_as_tables(whole):
    study = read_study(whole)
    for cell in study.cells:
        assert cell.manifest is not None
        _, reports, finals = read_records(cell.path / RECORDS_NAME)
        table = pd.read_parquet(cell.path / "reports.parquet")
        assert len(table) == len(reports) == cell.manifest.reports
        assert table["configuration.learning_rate"].tolist() == [
            r.configuration["learning_rate"] for r in reports
        ]
        where = cell.path / "finals.parquet"
        ((count,),) = duckdb.sql(f"select count(*) from '{where}'").fetchall()
        assert count == len(finals) == cell.manifest.finals
        assert cell.manifest.cpu_seconds > 0 and cell.manifest.peak_rss_bytes > 1e6


def test_another_plan_is_refused_with_the_difference(whole):
    for change, message in [
        ("blocks.main.budget=17", r"cells\[0\].plan.budget = 16.0, this run has 17.0"),
        ("seeds=3", r"seeds .* 2, this run has 3"),
        ("~blocks.eta", "length of cells"),
    ]:
        with pytest.raises(PlanMismatchError, match=message):
            begin(tiny(change), whole, resume=True)
    with pytest.raises(StorageError, match="--resume"):
        begin(tiny(), whole, resume=False)


@pytest.mark.parametrize(
    "name", [STUDY_NAME, f"{CELLS}/main.breast-cancer.asha.w4/{MANIFEST_NAME}"]
)
@pytest.mark.parametrize("damage", ["", "{", "schema_version: 99", "\x00"])
def test_a_damaged_file_is_named(whole, tmp_path, name, damage):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / STUDY_NAME).write_bytes((whole / STUDY_NAME).read_bytes())
    (tmp_path / name).write_text(damage)
    with pytest.raises(RecordError, match=Path(name).name):
        read_study(tmp_path)


FULL = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.path.insert(0, {folder!r})
from test_conduct import run_study
from ohgw.core.errors import StorageError
from ohgw.study import conduct
original = conduct.run
conduct.run = lambda *a, **options: original(*a, **options | {{"memory": False}})
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
try:
    run_study(Path({directory!r}))
except StorageError as error:
    print(error)
"""


def test_no_room_on_the_disk_is_said_and_loses_nothing(whole, tmp_path):
    script = FULL.format(folder=os.path.dirname(__file__), directory=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "disk has room" in done.stdout and not done.stderr
    run_study(tmp_path, resume=True)
    assert content(tmp_path) == content(whole)
