"""`OHGWSampler` in real studies: neutral with null, x' everywhere without, on every storage."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

import ohgw
from ohgw import Float, ModuleTask, Space, WarmStarter, tasks
from ohgw.core.errors import SettingError

optuna = pytest.importorskip("optuna", reason="the extra optuna is not installed")
from optuna.distributions import FloatDistribution  # noqa: E402
from optuna.pruners import HyperbandPruner  # noqa: E402
from optuna.samplers import GridSampler, RandomSampler, TPESampler  # noqa: E402
from optuna.storages import JournalStorage, RDBStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402

from ohgw.integrations.optuna import KEY, OHGWSampler, distributions  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.WARNING)
WORKER = Path(__file__).with_name("optuna_worker.py")
SPACE = Space({"learning_rate": Float(1e-4, 1.0, log=True), "momentum": Float(0.0, 0.95)})
EPOCHS = 4


def network():
    return nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 2))


def make_task():
    data = tasks.load("breast-cancer").data
    return ModuleTask(
        network, nn.CrossEntropyLoss(), data["train"], data["val"], SPACE, max_resource=EPOCHS
    )


def make_starter(method):
    return WarmStarter(make_task(), method=method)


def objective(trial):
    """Real training, with a report for each epoch."""
    rate = trial.suggest_float("learning_rate", 1e-4, 1.0, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.95)
    data = tasks.load("breast-cancer").data
    torch.manual_seed(trial.number)
    model, loss = network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    x, y = data["train"]
    for epoch in range(1, EPOCHS + 1):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            score = float(loss(model(data["val"][0]), data["val"][1]))
        trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return score


def run(sampler, trials=14, pruner=None, function=objective, **options):
    # The name decides Hyperband's brackets: paired studies have the same, in storages of their own.
    study = optuna.create_study(study_name="paired", sampler=sampler, pruner=pruner)
    study.optimize(function, n_trials=trials, **options)
    return study


def outcome(study):
    return [(t.number, t.state, t.params, t.intermediate_values, t.value) for t in study.trials]


SAMPLERS = {
    "random": lambda: RandomSampler(seed=0),
    "tpe": lambda: TPESampler(seed=0, n_startup_trials=5),
    "multivariate": lambda: TPESampler(seed=0, multivariate=True, n_startup_trials=5),
    "grid": lambda: GridSampler(
        {"learning_rate": [1e-3, 1e-2, 1e-1], "momentum": [0.0, 0.9]}, seed=0
    ),
}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("method", ["null", "vanilla"])
def test_null_is_the_peer_without_us(name, method):
    trials = 6 if name == "grid" else 14
    pruner = HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=2)
    bare = run(SAMPLERS[name](), trials, pruner)
    ours = run(OHGWSampler(SAMPLERS[name](), make_starter(method)), trials, pruner)
    assert outcome(ours) == outcome(bare)
    assert any(trial.state == optuna.trial.TrialState.PRUNED for trial in bare.trials)


@pytest.mark.parametrize("method", ["ohgw:eta=1", "screen:max_share=10", "guided"])
def test_every_trial_is_x_prime(method):
    """Recorded, inside the bounds, and what a fresh answer to the same question is."""

    class Spy(TPESampler):
        """Keeps the parameters that the model could see."""

        def infer_relative_search_space(self, study, trial):
            seen.update({t.number: t.params for t in study.get_trials() if t.value is not None})
            return super().infer_relative_search_space(study, trial)

    seen, starter = {}, make_starter(method)
    study = run(OHGWSampler(Spy(seed=0, n_startup_trials=3), starter), 10)
    moved = 0
    for trial in study.trials:
        SPACE.validate(trial.params)
        kept = trial.system_attrs[KEY]
        moved += trial.params != kept["proposed"]
        if not starter.learns:
            fresh = make_starter(method).propose(trial.number, kept["proposed"])
            assert trial.params == fresh.configuration and kept["work"] == fresh.work > 0
    assert moved >= 5
    assert seen == {t.number: t.params for t in study.trials[:-1]}


def test_the_method_hears_every_report_once_also_under_hyperband():
    class Listening(WarmStarter):
        def observe(self, trial, configuration, resource, loss):
            heard[trial, resource] += 1
            assert configuration == study.trials[trial].params
            assert loss == -study.trials[trial].intermediate_values[resource]
            super().observe(trial, configuration, resource, loss)

    def negative(trial):
        value = objective(Negative(trial))
        return -value

    heard = Counter()
    pruner = HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=2)
    sampler = OHGWSampler(RandomSampler(seed=1), Listening(make_task(), method="guided"))
    study = optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")
    study.optimize(negative, n_trials=12)
    expected = {(t.number, step) for t in study.trials[:-1] for step in t.intermediate_values}
    assert heard == Counter(expected)


class Negative:
    """A trial whose reports have the other sign."""

    def __init__(self, trial):
        self._trial = trial

    def __getattr__(self, name):
        return getattr(self._trial, name)

    def report(self, value, step):
        self._trial.report(-value, step)


def test_fixed_parameters_stay_and_others_are_the_samplers_own():
    def more(trial):
        kind = trial.suggest_categorical("kind", ["a", "b"])
        extra = trial.suggest_float("extra", 0.0, 1.0) if kind == "a" else 0.0
        return objective(trial) + extra

    study = optuna.create_study(
        sampler=OHGWSampler(TPESampler(seed=0, n_startup_trials=2), make_starter("ohgw:eta=1"))
    )
    study.enqueue_trial({"learning_rate": 0.01, "momentum": 0.5})
    study.enqueue_trial({"learning_rate": 0.02})
    study.optimize(more, n_trials=6)
    assert {"learning_rate": 0.01, "momentum": 0.5}.items() <= study.trials[0].params.items()
    assert study.trials[1].params["learning_rate"] == 0.02
    assert KEY not in study.trials[0].system_attrs and KEY not in study.trials[1].system_attrs
    for trial in study.trials[2:]:
        assert trial.system_attrs[KEY]["proposed"].keys() == set(SPACE)
        assert ("extra" in trial.params) == (trial.params["kind"] == "a")


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_threads_share_a_sampler():
    sampler = OHGWSampler(TPESampler(seed=0, n_startup_trials=2), make_starter("guided"))
    study = run(sampler, 8, n_jobs=4)
    assert [trial.number for trial in study.trials] == list(range(8))
    assert all(trial.params.keys() == set(SPACE) for trial in study.trials)


def test_a_range_that_does_not_hold_x_prime_is_refused():
    def elsewhere(trial):
        return trial.suggest_float("learning_rate", 5.0, 6.0, log=True)

    with pytest.raises(SettingError, match=r"asks for learning_rate from .*5\.0.*same range"):
        run(OHGWSampler(RandomSampler(seed=0), make_starter("null")), 1, function=elsewhere)


def test_several_objectives_are_refused():
    study = optuna.create_study(
        directions=["minimize", "minimize"],
        sampler=OHGWSampler(RandomSampler(seed=0), make_starter("null")),
    )
    with pytest.raises(SettingError, match="one objective"):
        study.optimize(lambda trial: (trial.suggest_float("momentum", 0, 0.95), 0.0), n_trials=1)


def test_distributions_are_those_of_the_space():
    space = Space(
        {"a": Float(0.1, 1, log=True), "n": ohgw.Int(1, 8), "k": ohgw.Categorical(("x", "y"))}
    )
    found = distributions(space)
    assert found["a"] == FloatDistribution(0.1, 1.0, log=True)
    assert found["n"] == optuna.distributions.IntDistribution(1, 8)
    assert found["k"] == optuna.distributions.CategoricalDistribution(("x", "y"))


# several processes, on real storages


def search_together(url, processes, trials):
    """Trials of one study by so many processes, each with a sampler of its own."""
    storage = open_storage(url)
    optuna.create_study(study_name="shared", storage=storage)
    workers = [
        subprocess.Popen([sys.executable, WORKER, url, str(seed), str(trials // processes)])
        for seed in range(processes)
    ]
    assert [worker.wait(timeout=300) for worker in workers] == [0] * processes
    study = optuna.load_study(study_name="shared", storage=storage)
    numbers = [trial.number for trial in study.trials]
    assert numbers == list(range(trials))  # none lost, none twice
    for trial in study.trials:
        assert trial.state.is_finished() and trial.value is not None
        SPACE.validate(trial.params)
        assert trial.system_attrs[KEY]["proposed"].keys() == set(SPACE)
        assert json.loads(trial.user_attrs["trained at"]) == trial.params
    assert sum(t.params != t.system_attrs[KEY]["proposed"] for t in study.trials) > trials / 2
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def open_storage(url):
    return RDBStorage(url) if "://" in url else JournalStorage(JournalFileBackend(url))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_processes_on_a_file(kind, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db" if kind == "sqlite" else f"{tmp_path}/study.log"
    search_together(url, 2, 8)


def test_eight_processes_on_postgresql(postgresql):
    search_together(postgresql, 8, 32)
