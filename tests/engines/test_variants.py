"""Searches over discrete hyperparameters: engines agree, work adds up, methods hold the values."""

import pytest
import torch

from ohgw import tasks
from ohgw.core.errors import SettingError
from ohgw.core.records import Arm, Report
from ohgw.core.space import Int, Space
from ohgw.core.streams import Streams
from ohgw.engines.build import default_engine, default_workers, make_engine
from ohgw.engines.engine import drive
from ohgw.study.plan import make_plan, make_searches
from ohgw.testing.estimators import SmallTask, small_task
from ohgw.testing.mixed_tasks import SmallMixedTask
from ohgw.training.feed import Feed
from ohgw.training.optimizers import SGD
from ohgw.warmstart.differentiable_probe import DifferentiableProbe
from ohgw.warmstart.method import GradientRequest, Method, Proposal, RolloutRequest

ENGINES = ("population", "serial")
FLOATS = SmallMixedTask().space.continuous
ARMS = tuple(
    Arm(method=method, recipe=recipe)
    for method, recipe in (
        ("vanilla", "plain"),
        ("ohgw:eta=0.1", "averaged"),
        ("screen:max_share=1", "averaged"),
    )
)


def prepared(task, engine_name, *, arms=ARMS, seeds=(0,), budget=40.0, scheduler="asha"):
    plan = make_plan(
        task,
        arms=arms,
        seeds=seeds,
        scheduler=scheduler,
        budget=budget,
        workers=3,
        engine=engine_name,
        device="cpu",
        threads=1,
    )
    engine = make_engine(engine_name, task)
    return engine, make_searches(plan, task, engine)


def rows_of(task, engine_name, **settings):
    engine, searches = prepared(task, engine_name, **settings)
    rows = []
    drive(searches, engine, rows.append, lambda: None)
    return rows


def by_search(rows):
    found = {}
    for row in rows:
        found.setdefault((row.search, row.seed), []).append(row)
    return found


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "bohb"])
def test_engines_give_the_same_record(scheduler):
    task = SmallMixedTask()
    records = [
        by_search(rows_of(task, engine, seeds=(0, 1), scheduler=scheduler)) for engine in ENGINES
    ]
    assert records[0].keys() == records[1].keys()
    kinds = set()
    for key, fused in records[0].items():
        alone = records[1][key]
        assert len(fused) == len(alone)
        for one, two in zip(fused, alone, strict=True):
            kinds.add(tuple(one.configuration[name] for name in task.space.discrete))
            left, right = (
                row.model_dump(exclude={"wall", "diagnostics", "configuration"})
                for row in (one, two)
            )
            scores = [part.pop("metrics") | {"score": part.pop("score")} for part in (left, right)]
            assert left == right  # trials, promotions and work: exactly
            assert scores[0] == pytest.approx(scores[1], rel=1e-6)
            for name, value in one.configuration.items():
                other = two.configuration[name]
                assert value == (pytest.approx(other, rel=1e-6) if name in FLOATS else other)
    assert len(kinds) >= 8


def test_engines_agree_on_a_task_that_ships():
    task = tasks.load("breast-cancer:space=mixed", dtype=torch.float64)
    fused, alone = (rows_of(task, engine, arms=ARMS[2:], budget=40.0) for engine in ENGINES)
    assert [row.trial for row in fused] == [row.trial for row in alone]
    assert [row.score for row in fused] == pytest.approx([row.score for row in alone], rel=1e-6)
    assert fused[-1].metrics == pytest.approx(alone[-1].metrics, rel=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_work_is_in_steps_of_the_reference(engine):
    """Of every job: its epochs times its variant's steps times what one of them costs."""
    task = tasks.load("breast-cancer:space=mixed")
    # FLOPs of an example in each layer's products; those of the step's other work do not count
    each = {w: 2 * 30 * w + 3 * w * w // 2 + 3 * w for w in (16, 32, 64)}
    steps = {8: 42, 16: 21, 32: 10}
    rows = rows_of(task, engine, budget=60.0)
    for found in by_search(rows).values():
        *reports, final = found
        assert len({row.configuration["width"] for row in reports}) > 1
        for row in reports:
            size, width = row.configuration["batch_size"], row.configuration["width"]
            epochs = row.resource - row.start
            training = epochs * steps[size] * size / 8 * each[width] / each[32]
            assert row.job_work - row.probe_work == pytest.approx(training)
        assert final.work == pytest.approx(sum(row.job_work for row in reports))
        assert 30 * 42 <= final.work <= 60 * 42 + 1e-6


@pytest.mark.parametrize("engine", ENGINES)
def test_a_proposal_has_the_discrete_values_that_were_asked_for(engine):
    task = SmallMixedTask()
    first = {}
    for row in rows_of(task, engine, budget=60.0):
        if isinstance(row, Report) and row.start == 0:
            held = {name: row.proposed[name] for name in task.space.discrete}
            assert held == {name: row.configuration[name] for name in task.space.discrete}
            moved = row.configuration != row.proposed
            first.setdefault(row.search, []).append(moved)
            if "stood_aside" not in row.diagnostics:
                assert (row.probe_work > 0) == (row.search != ARMS[0].label)
    assert not any(first[ARMS[0].label]) and all(first[ARMS[1].label])
    assert any(first[ARMS[2].label])


FIXED = {
    name: torch.tensor(value, dtype=torch.float64)
    for name, value in {"learning_rate": 0.1, "weight_decay": 1e-3, "dropout": 0.1}.items()
} | {"smoothing": torch.tensor(0.1, dtype=torch.float64)}


class FixedSGD(SGD):
    """Asks nobody for its learning rate."""

    def update_(self, theta, slots, grad, t, hp):
        super().update_(theta, slots, grad, t, FIXED)

    def update(self, theta, slots, grad, t, hp):
        return super().update(theta, slots, grad, t, FIXED)


class Frozen(SmallTask):
    def train_loss(self, theta, batch, hp, noise):
        return SmallTask.train_loss(self, theta, batch, FIXED, noise)


class DiscreteOnly(SmallMixedTask):
    """Nothing is continuous, so no method has anything to do."""

    train_loss = Frozen.train_loss

    def __init__(self):
        super().__init__()
        self.space, self.optimizer = self.own, FixedSGD(momentum=0.5)

    def variant(self, values):
        made = super().variant(values)
        made.__class__, made.optimizer = Frozen, FixedSGD(momentum=0.5)
        made.space = self.space.only(())
        return made


METHODS = (
    "vanilla", "ohgw", "random", "null", "ohgw-multistep", "ohgw-normalised", "screen:max_share=1"
)  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_methods_are_neutral_on_discrete_hyperparameters_alone(engine):
    task = DiscreteOnly()
    arms = [Arm(method=name, recipe="plain") for name in METHODS]
    found = by_search(rows_of(task, engine, arms=arms))
    plain = found[arms[0].label, 0]
    for arm in arms[1:]:
        rows = found[arm.label, 0]
        assert [(row.trial, row.work, row.configuration) for row in rows] == [
            (row.trial, row.work, row.configuration) for row in plain
        ]
        assert [row.score for row in rows] == pytest.approx([row.score for row in plain], rel=1e-9)
        reasons = {row.diagnostics["stood_aside"] for row in rows[:-1] if row.start == 0}
        assert reasons == {"no hyperparameter is continuous"}


def test_a_probe_sees_what_it_sees_of_the_frozen_task():
    """Continuous hyperparameters are probed in a mixed space as in the variant alone."""
    mixed = tasks.load("breast-cancer:space=mixed", dtype=torch.float64)
    values = {"width": 16, "activation": "tanh", "batch_size": 8}
    frozen = mixed.variant(values)
    probe, alone = (DifferentiableProbe(task, Feed(task)) for task in (mixed, frozen))
    low, high = ({**frozen.space.from_unit([u] * 5), **values} for u in (0.3, 0.6))
    other = {**low, "width": 64}
    asked = [
        (Streams(1), GradientRequest(4, low, 1, "reverse")),
        (Streams(1), GradientRequest(4, other, 1, "reverse")),
        (Streams(2), RolloutRequest((low, high), 3, 0)),
    ]
    gradient, elsewhere, rollout = probe.answer(asked)
    expected, expected_rollout = alone.answer([asked[0], asked[2]])
    assert gradient.gradient == pytest.approx(expected.gradient, rel=1e-9)
    assert elsewhere.gradient != pytest.approx(gradient.gradient, rel=1e-3)
    assert rollout.after == pytest.approx(expected_rollout.after, rel=1e-9)
    # the same FLOPs, in steps of the reference, which is larger
    assert gradient.work == pytest.approx(expected.work * probe.of(low).step_work)
    assert rollout.work == pytest.approx(expected_rollout.work * probe.of(low).step_work)
    assert elsewhere.work > 5 * gradient.work
    with pytest.raises(SettingError, match="compare width, activation, batch_size"):
        probe.answer([(Streams(1), RolloutRequest((low, other), 3, 0))])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("steps", [4, 6])
def test_a_probe_that_reaches_the_first_rung_is_charged_in_full(engine, steps):
    """Nothing would be reported there: the trial starts anew, from its own initialisation."""
    task = small_task("sgd")
    assert task.min_resource * task.steps_per_epoch == 4
    arms = [Arm(method=f"screen:max_share=9:steps={steps}:guard=false", recipe="plain")]
    reports = [row for row in rows_of(task, engine, arms=arms) if row.kind == "report"]
    first = [row for row in reports if row.start == 0]
    assert len(first) >= 3 and any(row.start > 0 for row in reports)
    assert all(row.probe_work > 3 * steps for row in first)


@pytest.mark.parametrize("engine", ENGINES)
def test_snapshot_of_a_mixed_search_goes_on_identically(engine):
    task = SmallMixedTask(torch.float32)

    class Stop(Exception):
        pass

    def stop_after(turns):
        for _ in range(turns - 1):
            yield
        raise Stop

    trainer, searches = prepared(task, engine)
    whole, turns = [], []
    drive(searches, trainer, whole.append, lambda: turns.append(None))
    for moment in (1, len(turns) // 3, len(turns) - 1):
        trainer, searches = prepared(task, engine)
        rows, clock = [], stop_after(moment)
        with pytest.raises(Stop):
            drive(searches, trainer, rows.append, lambda clock=clock: next(clock))
        states = [search.state_dict() for search in searches], trainer.state_dict()
        trainer, searches = prepared(SmallMixedTask(torch.float32), engine)
        for search, state in zip(searches, states[0], strict=True):
            search.load_state_dict(state)
        jobs = {(job.search, job.trial): job for s in searches for job in s.jobs.values()}
        trainer.bind(searches)
        trainer.load_state_dict(states[1], jobs)
        drive(searches, trainer, rows.append, lambda: None, resumed=True)
        assert [row.model_dump(exclude={"wall"}) for row in rows] == [
            row.model_dump(exclude={"wall"}) for row in whole
        ]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_task_that_cannot_give_its_variants_is_refused(engine):
    task = small_task("sgd")
    task.space = Space({**task.space, "layers": Int(1, 3)})
    with pytest.raises(SettingError, match=r"'small-sgd'.*\(layers\).*no variant\(values\)"):
        make_engine(engine, task)


class Meddler(Method):
    name = "meddler"

    def propose(self, sweep, trial, configuration):
        return Proposal({**configuration, "hidden": 3 if configuration["hidden"] > 3 else 4})
        yield


def test_a_method_that_changes_a_discrete_value_is_refused():
    engine, (search,) = prepared(SmallMixedTask(), "serial", arms=ARMS[:1])
    search.method = Meddler()
    with pytest.raises(SettingError, match=r"changed hidden from \d to \d"):
        drive([search], engine, lambda row: None, lambda: None)


def test_a_budget_that_holds_no_first_trial_is_refused():
    """One epoch of the variant that comes first costs more than one of the reference."""
    task = tasks.load("breast-cancer:space=mixed")
    for seed in range(20):
        _, (search,) = prepared(task, "serial", arms=ARMS[:1], seeds=(seed,))
        (job, *_) = search.launch()
        if job.step_work * job.steps > 2.5 * 42:
            break
    assert search.trials[0].proposed["width"] == 64
    with pytest.raises(SettingError, match=r"budget of 2.5 epochs .*first trial"):
        prepared(task, "serial", arms=ARMS[:1], seeds=(seed,), budget=2.5)
    with pytest.raises(SettingError, match="does not hold the first trial that scheduler 'random'"):
        prepared(tasks.load("breast-cancer"), "serial", budget=10.0, scheduler="random")


def test_the_engine_is_chosen_by_lanes_for_each_variant():
    assert default_engine(small_task("sgd"), 1) == "population"
    task = tasks.load("breast-cancer:space=mixed")  # 27 variants
    assert [default_engine(task, lanes) for lanes in (1, 53, 54)] == ["serial"] * 2 + ["population"]


@pytest.mark.parametrize(
    ("budget", "workers"), [(1.0, 4), (float("nan"), 4), (400.0, 4), (500.0, 8), (1e9, 32)]
)
def test_workers_grow_with_the_budget_up_to_what_fuses(budget, workers):
    task = tasks.load("digits")  # whose maximum is 27 epochs
    assert default_workers(task, budget, "population") == workers
    assert default_workers(task, budget, "serial") == 4


def test_large_steps_are_not_fused():
    assert default_engine(tasks.load("breast-cancer:width=16"), 64) == "population"
    assert default_engine(tasks.load("breast-cancer:width=1024:batch_size=64"), 64) == "serial"
