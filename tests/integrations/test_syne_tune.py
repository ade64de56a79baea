"""`OHGWScheduler` around real schedulers of Syne Tune, by hand and in a real Tuner."""

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn

from ohgw import Float, ModuleTask, Space, WarmStarter, tasks
from ohgw.core.errors import SettingError

pytest.importorskip("syne_tune", reason="the extra syne-tune is not installed")
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import finrange, loguniform, uniform
from syne_tune.optimizer.baselines import ASHA, BOHB
from syne_tune.optimizer.scheduler import TrialSuggestion
from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

from ohgw.integrations.syne_tune import OHGWScheduler

# statsmodels, which BOHB's density estimator is from.
pytestmark = pytest.mark.filterwarnings("ignore:After 0.17 or January 2028:FutureWarning")

SPACE = Space({"learning_rate": Float(1e-4, 1.0, log=True), "momentum": Float(0.0, 0.95)})
THEIRS = {"learning_rate": loguniform(1e-4, 1.0), "momentum": uniform(0.0, 0.95), "epochs": 9}
EXAMPLE = Path(__file__).parents[2] / "examples/syne_tune_search.py"


def make_scheduler(kind, **space):
    return kind(
        THEIRS | space,
        metric="loss",
        time_attr="epoch",
        max_t=9,
        grace_period=1,
        reduction_factor=3,
        random_seed=0,
    )


def make_starter(method, kind=WarmStarter):
    data = tasks.load("breast-cancer").data
    task = ModuleTask(
        lambda: nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 2)),
        nn.CrossEntropyLoss(),
        data["train"],
        data["val"],
        SPACE,
        max_resource=9,
    )
    return kind(task, method=method)


def loss_of(config, epoch):
    """A formula in place of a training: what schedulers decide is compared, not what is trained."""
    distance = (np.log10(config["learning_rate"]) + 1.5) ** 2 + (config["momentum"] - 0.6) ** 2
    return float(distance + 1 / epoch)


def search(scheduler, trials=25, workers=3):
    """Every running trial reports in turn; everything that was suggested and decided."""
    np.random.seed(0)  # ASHA draws its brackets from the global generator
    log, running, count = [], [], 0
    while count < trials or running:
        while len(running) < workers and count < trials:
            suggestion = scheduler.suggest()
            trial = Trial(count, suggestion.config, datetime.datetime.now())
            scheduler.on_trial_add(trial)
            log.append(("suggest", count, dict(suggestion.config)))
            running.append([trial, 0])
            count += 1
        for entry in list(running):
            entry[1] += 1
            trial, epoch = entry
            result = {"epoch": epoch, "loss": loss_of(trial.config, epoch)}
            decision = scheduler.on_trial_result(trial, result)
            log.append((decision, trial.trial_id, epoch))
            if decision == "STOP":
                running.remove(entry)
                scheduler.on_trial_complete(trial, result)
    return log


@pytest.mark.parametrize("kind", [ASHA, BOHB])
@pytest.mark.parametrize("method", ["null", "vanilla"])
def test_null_is_the_peer_without_us(kind, method):
    bare = search(make_scheduler(kind))
    assert search(OHGWScheduler(make_scheduler(kind), make_starter(method))) == bare
    assert {"STOP", "CONTINUE"} <= {entry[0] for entry in bare}


@pytest.mark.parametrize("kind", [ASHA, BOHB])
@pytest.mark.parametrize("method", ["ohgw:eta=1", "screen:max_share=10", "guided"])
def test_every_trial_is_x_prime_and_the_searcher_learns_from_it(kind, method, monkeypatch):
    inner, starter = make_scheduler(kind), make_starter(method)
    told, learn = {}, inner.searcher.on_trial_result

    def spy(trial_id, config, *args, **kwargs):
        told[trial_id] = {name: config[name] for name in SPACE}
        return learn(trial_id, config, *args, **kwargs)

    monkeypatch.setattr(inner.searcher, "on_trial_result", spy)
    ours = OHGWScheduler(inner, starter)
    log = search(ours)
    trained = {
        number: {name: config[name] for name in SPACE}
        for kind_, number, config in log
        if kind_ == "suggest"
    }
    assert told == trained
    assert {n: found.configuration for n, found in ours.warm_starts.items()} == trained
    for configuration in trained.values():
        SPACE.validate(configuration)
    moved = [n for n, found in ours.warm_starts.items() if found.proposed != trained[n]]
    assert len(moved) >= len(trained) // 2


def test_the_method_hears_every_report():
    heard = []

    class Listening(WarmStarter):
        def observe(self, trial, configuration, resource, loss):
            assert loss == loss_of(configuration, resource)
            heard.append((trial, resource))
            super().observe(trial, configuration, resource, loss)

    log = search(OHGWScheduler(make_scheduler(ASHA), make_starter("guided", Listening)))
    assert heard == [(number, epoch) for kind, number, epoch in log if kind != "suggest"]


def test_a_failed_trial_is_as_bad_as_can_be():
    heard = []

    class Listening(WarmStarter):
        def observe(self, *report):
            heard.append(report)
            super().observe(*report)

    ours = OHGWScheduler(make_scheduler(ASHA), make_starter("guided", Listening))
    trial = Trial(0, ours.suggest().config, datetime.datetime.now())
    ours.on_trial_add(trial)
    ours.on_trial_result(trial, {"epoch": 1, "loss": 0.5})
    ours.on_trial_error(trial)
    x = {name: trial.config[name] for name in SPACE}
    assert heard == [(0, x, 1, 0.5), (0, x, 2, float("inf"))]


def test_what_goes_on_from_a_checkpoint_is_left_alone():
    """Population-based training copies a trial and its weights into a new one."""
    peer = make_scheduler(ASHA)
    ours = OHGWScheduler(peer, make_starter("ohgw:eta=1"))
    first = peer.suggest()
    copied = TrialSuggestion.start_suggestion(dict(first.config), checkpoint_trial_id=0)
    resumed = TrialSuggestion.resume_suggestion(0)
    queue = [first, copied, resumed, peer.suggest()]
    peer.suggest = lambda: queue.pop(0)
    assert ours.suggest().config != copied.config
    assert ours.suggest().config == copied.config
    assert ours.suggest() is resumed
    ours.suggest()
    assert sorted(ours.warm_starts) == [0, 2]  # the copy is trial 1


def test_a_name_that_is_not_suggested_is_refused():
    scheduler = ASHA({"rate": uniform(0, 1)}, metric="loss", time_attr="epoch", max_t=9)
    with pytest.raises(SettingError, match=r"ASHA suggests no learning_rate, momentum.*same names"):
        OHGWScheduler(scheduler, make_starter("null")).suggest()


@pytest.mark.parametrize(
    "domain", [uniform(0.0, 0.9), loguniform(0.01, 0.95), finrange(0.0, 0.95, 5), 0.9]
)
def test_another_range_is_refused_when_it_is_made(domain):
    with pytest.raises(SettingError, match=r"ASHA suggests momentum from .*Give both the same"):
        OHGWScheduler(make_scheduler(ASHA, momentum=domain), make_starter("null"))


def test_several_metrics_are_refused():
    scheduler = SingleFidelityScheduler(THEIRS, metrics=["loss", "seconds"], random_seed=0)
    with pytest.raises(SettingError, match="has the metrics loss, seconds"):
        OHGWScheduler(scheduler, make_starter("null"))


def test_the_example_in_a_real_tuner(tmp_path):
    """Real processes: what each trained at is what was found, and the tuner's state is saved."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"SYNETUNE_FOLDER": str(tmp_path), "PATH": path}
    ran = subprocess.run(
        [sys.executable, EXAMPLE],
        env=environment,
        cwd=tmp_path,  # Syne Tune leaves an empty file where it looked for GPUs
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found = dict(re.findall(r"^trial (\d+): \S+ -> (\S+)$", ran.stdout, re.MULTILINE))
    rows = pd.concat(map(pd.read_csv, tmp_path.rglob("results.csv*")))
    assert rows["trial_id"].nunique() >= 5 and len(found) >= 5
    assert (rows["trained_at"] == rows["config_learning_rate"]).all()
    assert (rows["trained_at"] == rows["trial_id"].astype(str).map(found).astype(float)).all()
    assert list(tmp_path.rglob("tuner.dill"))
