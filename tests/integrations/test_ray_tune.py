"""Ray Tune with a warm start: searchers are told of x', schedulers promote as they do anywhere."""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from ohgw import tasks
from ohgw.core.errors import SettingError
from ohgw.core.space import Float, Space
from ohgw.schedulers import make
from ohgw.warmstart.starter import WarmStarter

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytest.importorskip("optuna", reason="the searcher that is wrapped here")
from ray import tune  # noqa: E402
from ray.tune.search.basic_variant import BasicVariantGenerator  # noqa: E402
from ray.tune.search.optuna import OptunaSearch  # noqa: E402
from ray.tune.search.searcher import Searcher  # noqa: E402

from ohgw.engines.search import Job  # noqa: E402
from ohgw.engines.worker import Assignment, Source, Worker  # noqa: E402
from ohgw.integrations.ray_tune import (  # noqa: E402
    OHGWScheduler,
    OHGWSearcher,
    warm_start_result,
)
from ohgw.training.recipes import get_recipe  # noqa: E402

pytestmark = [
    # Ray's and Optuna's own: of sockets and files that outlive a run, of what Optuna 5 renamed.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]
TASK = tasks.load("breast-cancer")
EPOCHS = 2


def peer(seed=0):
    space = {
        name: (tune.loguniform if domain.log else tune.uniform)(domain.low, domain.high)
        for name, domain in TASK.space.items()
    }
    from optuna.samplers import TPESampler

    sampler = TPESampler(seed=seed, n_startup_trials=4)
    return OptunaSearch(space, metric="loss", mode="min", sampler=sampler)


def score(configuration, trial):
    """Validation loss after two epochs of the real thing."""
    from ohgw.core.streams import Streams

    job = Job(0, 0, trial, 0, EPOCHS, EPOCHS * TASK.steps_per_epoch, 0.0, 0.0)
    arguments = (dict(configuration), Streams(0), get_recipe("plain"), TASK.metric, None)
    worker = Worker(Source.of(TASK, "cpu"), False, 1)
    ((_, metrics),), _ = worker.train([Assignment(job, *arguments)])
    return metrics[TASK.metric.name]


def searched(searcher, trials=8, add=lambda x: {}):
    """What Tune does with a searcher, without its processes: configurations and scores."""
    found = []
    for trial in range(trials):
        configuration = searcher.suggest(f"t{trial}")
        trained = add(configuration).get("ohgw", {}).get("configuration", configuration)
        result = {"loss": score(trained, trial), "training_iteration": EPOCHS, **add(configuration)}
        searcher.on_trial_result(f"t{trial}", result)
        searcher.on_trial_complete(f"t{trial}", result)
        found.append((configuration, result["loss"]))
    return found


def modelled(optuna_search):
    """Parameters and values of what Optuna's model is made of."""
    trials = optuna_search._ot_study.trials
    return [(t.params, t.value) for t in trials if t.state.name == "COMPLETE"]


def starter(method, **settings):
    return WarmStarter(TASK, method=method, expected_resource=27, **settings)


@pytest.mark.parametrize("method", ["null", "vanilla"])
def test_without_a_move_nothing_changes(method):
    """To the last bit: what is proposed, what it scores, what the searcher's model saw."""
    bare, wrapped = peer(), OHGWSearcher(peer(), starter(method))
    assert searched(wrapped) == searched(bare)
    assert modelled(wrapped.searcher) == modelled(bare)


@pytest.mark.parametrize("method", ["guided", "screen", "ohgw"])
def test_the_searcher_sees_what_was_trained(method):
    wrapped = OHGWSearcher(peer(), starter(method))
    found = searched(wrapped)
    moved = [w for w in wrapped.warm_starts.values() if w.configuration != w.proposed]
    assert moved
    for (configuration, _), warm in zip(found, wrapped.warm_starts.values(), strict=True):
        TASK.space.validate(configuration)
        assert configuration == warm.configuration
    seen = sorted(modelled(wrapped.searcher), key=lambda pair: pair[1])
    assert seen == sorted(found, key=lambda pair: pair[1])


def test_a_trainable_that_probes_by_itself():
    """The driver proposes x; reports say x'."""
    inside = starter("ohgw")
    wrapped = OHGWSearcher(peer())
    warm = {}

    def probed(x):
        key = json.dumps(x)
        if key not in warm:
            warm[key] = inside.propose(len(warm), x)
        return warm_start_result(warm[key])

    searched(wrapped, add=probed)
    assert any(w.configuration != w.proposed for w in warm.values())
    seen = [params for params, _ in modelled(wrapped.searcher)]
    assert seen == [w.configuration for w in warm.values()]


def test_a_searcher_goes_on_after_a_restore(tmp_path):
    whole = searched(OHGWSearcher(peer(), starter("guided")), trials=8)
    first = OHGWSearcher(peer(), starter("guided"))
    found = searched(first, trials=5)
    first.save(str(tmp_path / "state"))
    second = OHGWSearcher(peer(), starter("guided"))
    second.restore(str(tmp_path / "state"))
    assert second.warm_starts == first.warm_starts
    configuration = second.suggest("t5")
    assert [*found, (configuration, score(configuration, 5))] == whole[:6]


def test_searchers_that_cannot_be_told_are_refused():
    class Deaf(Searcher):
        pass

    with pytest.raises(SettingError, match="Deaf has no add_evaluated_point"):
        OHGWSearcher(Deaf(metric="loss", mode="min"), starter("ohgw"))
    assert not isinstance(BasicVariantGenerator(), Searcher)
    narrow = OptunaSearch({"x": tune.uniform(0, 1)}, metric="loss", mode="min")
    with pytest.raises(SettingError, match="proposes no learning_rate"):
        OHGWSearcher(narrow, starter("ohgw")).suggest("t0")


SPACE = Space({"rate": Float(1e-3, 10.0, log=True), "decay": Float(1e-5, 1.0, log=True)})


def logistic(config, data=None, notes=None):
    """Epochs of gradient descent on a real table, from a checkpoint or from nothing."""
    x, y = data
    weights, epoch = np.zeros(x.shape[1]), 0
    if (checkpoint := tune.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            weights, epoch = np.load(Path(folder) / "w.npy"), int(Path(folder, "n").read_text())
    while True:
        for _ in range(5):
            p = 1 / (1 + np.exp(-np.clip(x[::2] @ weights, -30, 30)))
            slope = x[::2].T @ (p - y[::2]) / len(p) + config["decay"] * weights
            weights = weights - config["rate"] * slope
        epoch += 1
        p = np.clip(1 / (1 + np.exp(-np.clip(x[1::2] @ weights, -30, 30))), 1e-9, 1 - 1e-9)
        loss = -np.mean(y[1::2] * np.log(p) + (1 - y[1::2]) * np.log(1 - p))
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "w.npy", weights)
            Path(folder, "n").write_text(str(epoch))
            with Path(notes).open("a") as file:
                file.write(json.dumps([json.dumps(config, sort_keys=True), epoch]) + "\n")
            report = {"loss": float(loss), "epoch": epoch}
            tune.report(report, checkpoint=tune.Checkpoint.from_directory(folder))


@pytest.fixture(scope="module")
def cluster():
    # Its CSV and JSON files stay open in a run that was interrupted, for pytest to complain of.
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.shutdown()
    del os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"]


@pytest.fixture
def trainable(cluster, tmp_path):
    x, y = load_breast_cancer(return_X_y=True)
    data = ((x - x.mean(0)) / x.std(0), y)
    return tune.with_parameters(logistic, data=data, notes=str(tmp_path / "notes"))


def tuned(scheduler, trainable, folder, watch):
    config = tune.TuneConfig(
        search_alg=scheduler.searcher, scheduler=scheduler, num_samples=-1, reuse_actors=True
    )
    run = tune.RunConfig(storage_path=str(folder), name="run", verbose=0, callbacks=[watch])
    return tune.Tuner(trainable, tune_config=config, run_config=run)


def rungs(**settings):
    options = {"metric": "loss", "mode": "min", "max_resource": 3, "trials": 6, "workers": 2}
    return OHGWScheduler("asha", SPACE, time_attr="epoch", **(options | settings))


def replayed(log):
    """The same scheduler alone, told the same, asks for the same: configurations by trial."""
    rng = np.random.default_rng(0)
    alone = make("asha", SPACE, rng, mode="min", min_resource=1, max_resource=3)
    configurations = {}
    for kind, trial, *rest in log:
        if kind == "ask":
            asked = alone.ask()
            assert (asked.trial, asked.start, asked.resource) == (trial, *rest)
            configurations[trial] = asked.configuration
        else:
            alone.tell(trial, *rest)
    return configurations


class Watch(tune.Callback):
    """Notes every report; ends the run at one of them, as somebody who stops it would."""

    def __init__(self, stop_after=math.inf, once=None):
        self.reports, self.stop_after = {}, stop_after
        self.once = once  # a file; Tune restores this object as it was at the start

    def on_trial_result(self, iteration, trials, trial, result, **info):
        key = json.dumps(trial.config, sort_keys=True)
        self.reports.setdefault(key, []).append((result["epoch"], result["loss"]))
        if sum(map(len, self.reports.values())) == self.stop_after and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGINT)


def assert_trained_as_told(log, reports):
    configurations = replayed(log)
    assert len(configurations) == 6 and not any(e[0] == "ask" for e in log[-1:])
    scores = {(trial, at): score for kind, trial, at, score in log_tells(log)}
    promoted = {trial for kind, trial, *rest in log if kind == "ask" and rest[0] > 0}
    assert promoted and len(scores) == 6 + len(promoted)
    for trial, configuration in configurations.items():
        seen = reports[json.dumps(configuration, sort_keys=True)]
        last = 3 if trial in promoted else 1
        # once each: promotions go on from where they paused, and nobody trains beyond a rung
        assert [epoch for epoch, _ in seen] == list(range(1, last + 1))
        assert {at: loss for epoch, loss in seen for at in (1, 3) if epoch == at} == {
            at: score for (other, at), score in scores.items() if other == trial
        }


def log_tells(log):
    return [entry for entry in log if entry[0] == "tell"]


def test_asha_in_tune_promotes_as_it_does_anywhere(trainable, tmp_path):
    scheduler, watch = rungs(), Watch()
    results = tuned(scheduler, trainable, tmp_path, watch).fit()
    assert len(results) == 6 and not results.errors
    assert_trained_as_told(scheduler.log, watch.reports)


def test_rungs_survive_a_restore(trainable, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", "0")
    watch = Watch(stop_after=5, once=tmp_path / "stopped")
    tuned(rungs(), trainable, tmp_path, watch).fit()
    assert sum(map(len, watch.reports.values())) < 10
    restored = tune.Tuner.restore(str(tmp_path / "run"), trainable)
    results = restored.fit()
    assert len(results) == 6 and not results.errors
    logs = []
    for state in (tmp_path / "run").glob("searcher-state-*.pkl"):  # one of each session
        scheduler = rungs()
        scheduler.restore(str(state))
        logs.append(scheduler.log)
    before, after = sorted(logs, key=len)
    assert after[: len(before)] == before
    configurations = replayed(after)
    assert len(configurations) == 6
    reached = {}
    for line in (tmp_path / "notes").read_text().splitlines():
        key, epoch = json.loads(line)
        reached[key] = max(epoch, reached.get(key, 0))
    top = {trial: at for _, trial, at, _ in log_tells(after)}
    assert {t: reached[json.dumps(c, sort_keys=True)] for t, c in configurations.items()} == top


def test_x_prime_is_what_the_scheduler_models_and_tune_records():
    """Without Tune's processes: the conversation alone."""
    scheduler = OHGWScheduler(
        "bohb", TASK.space, metric="loss", mode="min", max_resource=27, trials=4,
        starter=starter("ohgw"),
    )  # fmt: skip
    for trial in range(3):
        proposed = scheduler.searcher.suggest(f"t{trial}")
        warm = scheduler.warm_starts[trial]
        assert proposed == warm.configuration != warm.proposed
        TASK.space.validate(proposed)
    kept = scheduler.scheduler.state_dict()["configurations"]
    assert kept == [warm.configuration for warm in scheduler.warm_starts.values()]


def test_the_example(cluster):
    example = Path(__file__).parents[2] / "examples" / "ray_search.py"
    environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    found = subprocess.run(
        [sys.executable, str(example)], env=environment, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert "9 trials, best loss" in found.stdout and "9 at 1" in found.stdout
