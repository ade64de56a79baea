"""Guided warm starts: what they learn, remember and survive."""

import math
import statistics

import numpy as np
import pytest

from ohgw.core.errors import SettingError
from ohgw.core.protocols import Metric
from ohgw.core.records import Arm, Report
from ohgw.core.space import Categorical, Float, Int, Space
from ohgw.core.streams import Streams
from ohgw.engines.build import make_engine
from ohgw.engines.engine import drive
from ohgw.study.plan import make_plan, make_searches
from ohgw.warmstart import make_method
from ohgw.warmstart.black_box_probe import BlackBoxProbe
from ohgw.warmstart.guided import MEMORY, Guided, coordinates
from ohgw.warmstart.probe import converse
from ohgw.warmstart.sweep import make_sweep

SPACE = Space({"learning_rate": Float(1e-4, 1.0, log=True), "a": Float(0, 1), "b": Float(0, 1)})


class Bowl:
    """Scores by a formula. Its probe may favour quite other configurations than training does."""

    name = "bowl"
    space = SPACE
    metric = Metric("loss")
    min_resource, max_resource = 1, 27
    probe_resource = 0.05

    def __init__(self, probed: float = 0.3):
        self.probed = probed  # where the probe has its optimum; training has it at 0.3

    def initial_state(self, seed: int) -> int:
        return seed

    def train(self, configuration, state, resource):
        return state, {"loss": self._loss(configuration, 0.3, resource, state)}

    def probe(self, configuration, seed: int) -> float:
        return self._loss(configuration, self.probed, 0.05, seed)

    def _loss(self, configuration, optimum, resource, seed) -> float:
        u = self.space.to_unit(configuration)
        noise = np.random.default_rng([seed % 2**32, int(100 * resource)]).standard_normal()
        bowl = 3 * (u[0] - optimum) ** 2 + 0.5 * (u[1] - 0.5) ** 2 + 0.2 * (u[2] - 0.2) ** 2
        return math.exp(bowl - 0.5 * math.log(resource + 1) + 0.02 * noise)


def sweep_of(task, seed: int = 0):
    return make_sweep(
        task,
        BlackBoxProbe(task),
        Streams(seed),
        task.space.sample,
        expected_resource=4,
        steps_per_unit=1,
    )


def propose(method, task, trial: int, seed: int = 0):
    sweep = sweep_of(task, seed)
    x = task.space.sample(np.random.default_rng([seed, trial]))
    conversation = method.propose(sweep, trial, x)
    return x, converse(BlackBoxProbe(task), [(sweep.streams, conversation)])[0]


def taught(method, task, trials: int):
    """Propose and report so many trials, each after one unit."""
    for trial in range(trials):
        _, proposal = propose(method, task, trial)
        loss = task.train(proposal.configuration, trial, 1)[1]["loss"]
        method.observe(trial, proposal.configuration, 1, loss)
    return method


def test_after_some_reports_it_proposes_what_is_good():
    task = Bowl()
    method = taught(Guided(), task, 16)
    pairs = [propose(method, task, 100 + k) for k in range(12)]
    off = [
        [abs(task.space.to_unit(c)[0] - 0.3) for c in pair]
        for pair in [(x, proposal.configuration) for x, proposal in pairs]
    ]
    before, after = np.mean(off, axis=0)
    assert after < before / 2
    assert all(proposal.work == 0 for _, proposal in pairs)  # nothing is probed any more


def test_without_reports_it_screens_or_trains_what_was_proposed():
    task = Bowl()
    _, screened = propose(Guided(), task, 0)
    assert "losses" in screened.diagnostics and screened.work > 0
    x, plain = propose(Guided(screening=False, relevance="flat"), task, 0)
    assert plain.configuration == x and plain.work == 0


def test_price_is_never_below_the_work():
    task, method = Bowl(), Guided()
    for trial in range(10):
        price = method.price(sweep_of(task))
        _, proposal = propose(method, task, trial)
        assert proposal.work <= price + 1e-9
        method.observe(trial, proposal.configuration, 1, 1.0 + trial)


def test_a_resumed_method_proposes_the_same():
    task = Bowl()
    method = taught(Guided(), task, 9)
    copy = Guided()
    copy.load_state_dict(method.state_dict())
    for trial in range(9, 30):
        one, two = propose(method, task, trial)[1], propose(copy, task, trial)[1]
        assert one.configuration == two.configuration
        for each in (method, copy):
            each.observe(trial, one.configuration, 1, float(trial % 7) + 0.5)


def test_memory_does_not_grow_with_the_search():
    method = Guided(screening=False)
    rng = np.random.default_rng(0)
    best = None
    for trial in range(3000):
        x = SPACE.sample(rng)
        method.observe(trial, x, 1, float(rng.random()))
        if trial == 5:
            best = trial
            method.observe(trial, x, 27, 0.1)
    state = method.state_dict()["history"]
    assert len(state["losses"]) <= MEMORY
    assert best in {trial for trial, *_ in state["losses"]}  # what went furthest is kept
    assert propose(method, Bowl(), 3000)[1].configuration.keys() == SPACE.keys()


@pytest.mark.parametrize("losses", [[math.inf] * 12, [math.inf] * 8 + [1.0] * 4, [0.0] * 12])
def test_divergence_and_plateaus_stop_nothing(losses):
    task, method = Bowl(), Guided()
    for trial, loss in enumerate(losses):
        _, proposal = propose(method, task, trial)
        method.observe(trial, proposal.configuration, 1, loss)
    task.space.validate(propose(method, task, 50)[1].configuration)


def test_scores_to_be_maximised_arrive_as_losses():
    assert Metric("accuracy", "max").loss(0.9) < Metric("accuracy", "max").loss(0.5)
    assert Metric("loss", "min").loss(0.5) < Metric("loss", "min").loss(0.9)
    assert Metric("accuracy", "max").loss(None) == math.inf


def test_choices_are_equally_far_apart():
    space = Space({"c": Categorical(("a", "b", "c")), "n": Int(1, 9), "x": Float(0, 1)})
    points = [coordinates(space, {"c": c, "n": 3, "x": 0.5}) for c in "abc"]
    apart = {round(float(np.linalg.norm(p - q)), 9) for p in points for q in points if p is not q}
    assert apart == {1.0}


@pytest.mark.parametrize(
    "options",
    ["candidates=1", "caution=-1", "least=1", "relevance=no", "screening=3", "caution=nan"],
)
def test_bad_options_are_refused(options):
    with pytest.raises(SettingError, match=options.partition("=")[0]):
        make_method(f"guided:{options}")


def test_it_is_no_worse_where_probes_mislead():
    """A trap for short horizons: probes have their optimum where training is worst."""
    task = Bowl(probed=0.95)
    arms = (
        Arm(method="vanilla", recipe="plain"),
        Arm(method="guided", recipe="plain"),
        Arm(method="screen", recipe="plain"),
    )
    plan = make_plan(
        task,
        arms=arms,
        seeds=range(24),
        scheduler="asha",
        budget=160,
        workers=4,
        engine="serial",
        device="cpu",
        threads=1,
    )
    engine = make_engine("serial", task)
    rows: list[Report] = []
    drive(make_searches(plan, task, engine), engine, lambda row: rows.append(row), lambda: None)
    reports = [row for row in rows if isinstance(row, Report)]
    vanilla = [row for row in reports if row.search == "vanilla/plain"]
    target = statistics.median(
        min(row.score for row in vanilla if row.seed == seed and row.work <= plan.budget / 2)
        for seed in plan.seeds
    )

    def median_time(search: str) -> float:
        hits = [row for row in reports if row.search == search and row.score <= target]
        times = [
            min((row.work for row in hits if row.seed == seed), default=math.inf)
            for seed in plan.seeds
        ]
        return statistics.median(times)

    assert median_time("screen/plain") > 1.2 * median_time("vanilla/plain")  # it is a trap
    assert median_time("guided/plain") <= 1.05 * median_time("vanilla/plain")
