"""Data parallelism: two processes that share each mini-batch out train what one does."""

import multiprocessing

import pytest

from ohgw.api import tune
from ohgw.core.errors import Interrupted, SettingError, WorkerError
from ohgw.core.records import RECORDS_NAME, read_records
from ohgw.engines.build import make_engine
from ohgw.study.run import Watcher
from ohgw.tasks import load


def search(task, engine, out, **settings):
    tune(task, engine=engine, budget=30, workers=2, out=out, **settings)
    _, reports, _ = read_records(out / RECORDS_NAME)
    return reports


def test_two_devices_train_what_one_does(tmp_path):
    alone, shared = (
        search("breast-cancer", f"serial:devices={devices}", tmp_path / f"{devices}")
        for devices in (1, 2)
    )
    assert [(row.trial, row.resource) for row in alone] == [
        (row.trial, row.resource) for row in shared
    ]
    assert [row.score for row in shared] == pytest.approx([row.score for row in alone], rel=1e-4)


def test_the_followers_hold_what_the_leader_holds(tmp_path):
    """Trials take turns, so that states are sent as well as kept; interrupted, it goes on."""
    whole = search("breast-cancer", "serial:devices=2", tmp_path / "whole")
    turns = iter(range(8))
    watcher = Watcher(stopping=lambda: next(turns, None) is None)
    out = tmp_path / "parts"
    with pytest.raises(Interrupted):
        search("breast-cancer", "serial:devices=2", out, watcher=watcher)
    resumed = search("breast-cancer", "serial:devices=2", out, resume=True)
    assert [row.score for row in resumed] == [row.score for row in whole]


def test_a_killed_follower_ends_the_search_with_a_sentence(tmp_path):
    def kill_child(searches):
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(WorkerError, match="exit code -9"):
        search(
            "breast-cancer",
            "serial:devices=2:precision=bf16",
            tmp_path,
            watcher=Watcher(on_turn=kill_child),
        )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("serial:devices=3", "cannot share out a mini-batch of 8 equally"),
        ("serial:devices=0", "must be a whole number from 1"),
    ],
)
def test_what_cannot_be_shared_is_refused(spec, message):
    with pytest.raises(SettingError, match=message):
        make_engine(spec, load("breast-cancer"))
