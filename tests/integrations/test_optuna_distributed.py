"""`OHGWSampler` in several processes that share a study, on real storages."""

import json
from collections import Counter
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="the extra optuna is not installed")
from ohgw.integrations.optuna import KEY  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.WARNING)
PRELOADED = [
    "torch._dynamo",
    "optuna.storages._rdb.storage",
    "psycopg",
    "ohgw.tasks",
    "ohgw.integrations.optuna",
]


def search_together(url, processes, trials):
    """Trials of one study by so many processes, each with a sampler of its own."""
    from optuna_worker import SPACE, open_storage, search

    storage = open_storage(url)
    optuna.create_study(study_name="shared", storage=storage)
    context = get_context("forkserver")  # each process is a fork of one that has loaded torch
    context.set_forkserver_preload(PRELOADED)
    barrier = context.Barrier(processes)
    workers = [
        context.Process(target=search, args=(url, seed, trials // processes, barrier), daemon=True)
        for seed in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=200)
    assert [worker.exitcode for worker in workers] == [0] * processes
    found = optuna.load_study(study_name="shared", storage=storage).trials
    assert [trial.number for trial in found] == list(range(trials))  # none lost, none twice
    by_worker = Counter(trial.user_attrs["worker"] for trial in found)
    assert by_worker == dict.fromkeys(range(processes), trials // processes)
    assert any(b.datetime_start < a.datetime_complete for a, b in pairwise(found))  # at once
    for trial in found:
        assert trial.state.is_finished() and trial.value is not None
        SPACE.validate(trial.params)
        assert trial.params == trial.system_attrs[KEY]["configuration"]
        assert trial.params == json.loads(trial.user_attrs["trained at"])
    moved = sum(t.params != t.system_attrs[KEY]["proposed"] for t in found)
    assert moved > trials / 3  # all but the first ones, before there is enough to learn from
    modelled = [t.system_attrs[KEY]["diagnostics"].get("reports", 0) for t in found]
    assert max(modelled) > trials // processes  # also trials of other processes
    if hasattr(storage, "engine"):
        storage.engine.dispose()


@pytest.fixture(autouse=True)
def worker_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_three_processes_on_a_file(kind, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db" if kind == "sqlite" else f"{tmp_path}/study.log"
    search_together(url, 3, 12)


def test_eight_processes_on_postgresql(postgresql):
    search_together(postgresql, 8, 32)
