"""`OHGWSampler` in real studies: neutral with null, x' everywhere without."""

import pickle
import runpy
from collections import Counter
from pathlib import Path

import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from ohgw import Categorical, Float, Int, ModuleTask, Space, WarmStarter, tasks
from ohgw.core.errors import SettingError
from ohgw.core.protocols import Metric

optuna = pytest.importorskip("optuna", reason="the extra optuna is not installed")
from optuna.distributions import FloatDistribution  # noqa: E402
from optuna.pruners import HyperbandPruner  # noqa: E402
from optuna.samplers import (  # noqa: E402
    GridSampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)
from optuna.storages import RetryHeartbeatStaleTrialCallback  # noqa: E402

from ohgw.integrations.optuna import KEY, OHGWSampler, distributions  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.WARNING)
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


class Forest:
    """Trees on real data: a black box of every kind of hyperparameter, without a probe."""

    name, metric = "forest", Metric("loss", "min")
    min_resource, max_resource = 1, 4
    space = Space(
        {
            "max_features": Float(0.05, 1.0, log=True),
            "max_depth": Int(1, 12),
            "criterion": Categorical(("gini", "entropy", "log_loss")),
        }
    )

    def initial_state(self, seed):
        raise AssertionError("never trained: the study does")

    train = initial_state


def forest_objective(trial):
    kind = trial.suggest_categorical("bootstrap", [True, False])  # not of the space
    settings = {
        "max_features": trial.suggest_float("max_features", 0.05, 1.0, log=True),
        "max_depth": trial.suggest_int("max_depth", 1, 12),
        "criterion": trial.suggest_categorical("criterion", ["gini", "entropy", "log_loss"]),
    }
    share = trial.suggest_float("max_samples", 0.5, 1.0) if kind else None
    (x, y), (val_x, val_y) = (
        tuple(part.numpy() for part in tasks.load("breast-cancer").data[split])
        for split in ("train", "val")
    )
    forest = RandomForestClassifier(
        4, bootstrap=kind, max_samples=share, random_state=trial.number, **settings
    )
    return 1 - forest.fit(x, y).score(val_x, val_y)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", ["random", "tpe", "multivariate"])
def test_discrete_and_undeclared_parameters(name):
    """The sampler's own where they are not of the space, in whatever order and under conditions."""
    bare = run(SAMPLERS[name](), 12, function=forest_objective)
    null = OHGWSampler(SAMPLERS[name](), WarmStarter(Forest(), method="null"))
    assert outcome(run(null, 12, function=forest_objective)) == outcome(bare)
    guided = OHGWSampler(SAMPLERS[name](), WarmStarter(Forest(), method="guided"))
    trials = run(guided, 12, function=forest_objective).trials
    assert any(trial.params["bootstrap"] for trial in trials)
    for trial in trials:
        assert ("max_samples" in trial.params) == trial.params["bootstrap"]
        Forest.space.validate({name: trial.params[name] for name in Forest.space})
    kept = [trial.system_attrs[KEY] for trial in trials]
    assert sum(entry["configuration"] != entry["proposed"] for entry in kept) >= 4


def test_a_parameter_of_the_space_may_go_unasked():
    def part(trial):
        return abs(trial.suggest_float("learning_rate", 1e-4, 1.0, log=True) - 0.1)

    study = run(OHGWSampler(RandomSampler(seed=0), make_starter("guided")), 8, function=part)
    assert all(trial.params.keys() == {"learning_rate"} for trial in study.trials)
    assert study.trials[-1].system_attrs[KEY]["diagnostics"]["reports"] == 7


@pytest.mark.parametrize("method", ["screen:max_share=10", "guided"])
def test_a_sampler_pickles(method):
    """As users keep one beside a storage, to go on in another process."""
    whole = run(OHGWSampler(RandomSampler(seed=0), make_starter(method)), 10)
    halves = run(OHGWSampler(RandomSampler(seed=0), make_starter(method)), 5)
    halves.sampler = pickle.loads(pickle.dumps(halves.sampler))
    halves.optimize(objective, n_trials=5)
    assert outcome(halves) == outcome(whole)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_that_is_run_again_keeps_x_prime():
    def failing(trial):
        trial.suggest_float("learning_rate", 1e-4, 1.0, log=True)
        raise MemoryError

    study = run(
        OHGWSampler(RandomSampler(seed=0), make_starter("ohgw:eta=1")),
        1,
        function=failing,
        catch=[MemoryError],
    )
    RetryHeartbeatStaleTrialCallback()(study, study.trials[0])  # as after a lost heartbeat
    study.optimize(objective, n_trials=1)
    first, again = study.trials
    assert first.params.keys() == {"learning_rate"}
    assert again.params == first.system_attrs[KEY]["configuration"]


class Untouched(WarmStarter):
    def propose(self, trial, configuration):
        raise AssertionError("probed before the mistake was found")


@pytest.mark.parametrize("low, high", [(1e-4, 0.5), (1e-5, 1.0), (5.0, 6.0)])
def test_another_range_is_refused_before_any_probe(low, high):
    def elsewhere(trial):
        return trial.suggest_float("learning_rate", low, high, log=True)

    sampler = OHGWSampler(RandomSampler(seed=0), Untouched(make_task(), method="null"))
    with pytest.raises(SettingError, match=rf"asks for learning_rate from .*{low}.*same range"):
        run(sampler, 1, function=elsewhere)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_what_a_partial_fixed_sampler_holds_is_refused():
    fixed = {"momentum": 0.5}
    with pytest.raises(SettingError, match="PartialFixedSampler fixes momentum.*Leave it out"):
        OHGWSampler(PartialFixedSampler(fixed, RandomSampler(seed=0)), make_starter("null"))
    ours = OHGWSampler(RandomSampler(seed=0), Untouched(make_task(), method="null"))
    with pytest.raises(SettingError, match="PartialFixedSampler fixes momentum.*Leave it out"):
        run(PartialFixedSampler(fixed, ours), 1)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_partial_fixed_sampler_holds_what_is_not_of_the_space():
    def more(trial):
        return objective(trial) + trial.suggest_float("extra", 0.0, 1.0)

    for wrap in (
        lambda fixed, peer: OHGWSampler(PartialFixedSampler(fixed, peer), make_starter("guided")),
        lambda fixed, peer: PartialFixedSampler(fixed, OHGWSampler(peer, make_starter("guided"))),
    ):
        study = run(wrap({"extra": 0.25}, SAMPLERS["multivariate"]()), 8, function=more)
        assert all(trial.params["extra"] == 0.25 for trial in study.trials)
        assert all(KEY in trial.system_attrs for trial in study.trials)


def test_several_objectives_are_refused():
    study = optuna.create_study(
        directions=["minimize", "minimize"],
        sampler=OHGWSampler(RandomSampler(seed=0), make_starter("null")),
    )
    with pytest.raises(SettingError, match="one objective"):
        study.optimize(lambda trial: (trial.suggest_float("momentum", 0, 0.95), 0.0), n_trials=1)


def test_distributions_are_those_of_the_space():
    space = Space({"a": Float(0.1, 1, log=True), "n": Int(1, 8), "k": Categorical(("x", "y"))})
    found = distributions(space)
    assert found["a"] == FloatDistribution(0.1, 1.0, log=True)
    assert found["n"] == optuna.distributions.IntDistribution(1, 8)
    assert found["k"] == optuna.distributions.CategoricalDistribution(("x", "y"))


def test_the_example(capsys):
    runpy.run_path(str(Path(__file__).parents[2] / "examples/optuna_search.py"))
    assert float(capsys.readouterr().out.split()[1]) < 0.2
