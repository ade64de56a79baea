"""Boosted trees: a black box that pauses without a trace, is scored rightly, and is left alone."""

import pickle
import sys

import numpy as np
import pytest

from ohgw.core.errors import MissingExtraError, SettingError, UnknownNameError
from ohgw.core.protocols import BlackBoxTask
from ohgw.core.records import Arm
from ohgw.engines.build import default_engine, make_engine
from ohgw.engines.engine import drive
from ohgw.study.plan import make_plan, make_searches
from ohgw.tasks import load
from ohgw.tasks.tabular.xgboost import ROUNDS
from ohgw.warmstart import METHODS

SMALL = "xgboost:examples=200"
CONFIGURATION = {
    "learning_rate": 0.3,
    "max_depth": 3,
    "min_child_weight": 1.0,
    "subsample": 0.7,
    "colsample_bytree": 0.7,
    "reg_lambda": 1.0,
}


@pytest.fixture(scope="module")
def task(miniature):
    pytest.importorskip("xgboost", reason="the extra 'xgboost' is not installed")
    return load(SMALL)


def test_it_is_a_black_box(task):
    assert isinstance(task, BlackBoxTask)
    assert task.name == SMALL and default_engine(task, 64) == "serial"
    task.space.validate(CONFIGURATION)


def test_a_pause_leaves_no_trace(task):
    """Row and column sampling go on where they were, not from their start."""
    whole, expected = task.train(CONFIGURATION, task.initial_state(5), 4)
    paused, _ = task.train(CONFIGURATION, task.initial_state(5), 1)
    paused, found = task.train(CONFIGURATION, pickle.loads(pickle.dumps(paused)), 4)
    assert found == expected and task.test(paused) == task.test(whole)
    other = task.train(CONFIGURATION, task.initial_state(6), 4)[1]
    assert other != expected


def test_more_trees_fit_better(task):
    losses = [task.train(CONFIGURATION, task.initial_state(0), n)[1]["loss"] for n in (1, 3)]
    assert losses[1] < 0.9 * losses[0] < 0.9 * np.log(2)


def test_scores_are_xgboosts_own(miniature):
    xgboost = pytest.importorskip("xgboost")
    for data, metric in (("magic", "mlogloss"), ("california-housing", "rmse")):
        task = load(f"xgboost:data={data}")
        state, metrics = task.train(CONFIGURATION, task.initial_state(0), 1)
        booster = xgboost.Booster(params={"eval_metric": metric})
        booster.load_model(bytearray(state.model))
        assert booster.num_boosted_rounds() == ROUNDS
        x, y = task.table.splits["val"]
        line = booster.eval(xgboost.DMatrix(x, label=y))
        value = float(line.rpartition(":")[2])
        if metric == "rmse":
            assert metrics["rmse"] == pytest.approx(value * task.table.unit, rel=1e-5)
            assert metrics["loss"] == pytest.approx(value**2, rel=1e-5)
        else:
            assert metrics["loss"] == pytest.approx(value, rel=1e-5)
            assert 0.5 < metrics["accuracy"] <= 1


def test_methods_stand_aside(task):
    """Every arm makes the trials that vanilla makes."""
    arms = [Arm(method=name, recipe="plain") for name in METHODS]
    plan = make_plan(
        task,
        arms=arms,
        seeds=[0],
        scheduler="asha",
        budget=6.0,
        workers=2,
        engine="serial",
        device="cpu",
        threads=1,
    )
    engine, found = make_engine("serial", task), []
    drive(make_searches(plan, task, engine), engine, found.append, lambda: None)
    rows = {name: [] for name in METHODS}
    for row in found:
        same = row.model_dump(exclude={"wall", "search", "diagnostics"})
        rows[row.search.partition("/")[0]].append(same)
    for name in METHODS:
        assert rows[name] == rows["vanilla"], name
    assert len(rows["vanilla"]) > 3


def test_without_the_library(miniature, monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingExtraError, match=r"ohgw\[xgboost\]"):
        load(SMALL)


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("data=nothing", UnknownNameError),
        ("examples=0", SettingError),
        ("label_noise=2", SettingError),
        ("batch_size=8", UnknownNameError),
    ],
)
def test_an_option_that_cannot_work_is_refused(task, option, kind):
    with pytest.raises(
        kind, match=option.partition("=")[0] if kind is SettingError else "known|Unk"
    ):
        load(f"xgboost:{option}")
