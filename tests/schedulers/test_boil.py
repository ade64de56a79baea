import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from ohgw.core.errors import SettingError
from ohgw.core.space import Categorical, Float, Int, Space
from ohgw.schedulers import BOIL, RandomSearch
from ohgw.schedulers._surrogates.curve_compression import Curves, Epochs, compress, compress_all
from ohgw.schedulers._surrogates.expected_improvement import log_expected_improvement
from ohgw.schedulers._surrogates.improvement_per_cost import (
    Candidates,
    ImprovementPerCost,
    best_resumed,
)
from ohgw.schedulers._surrogates.product_gp import (
    Likelihood,
    Points,
    Posterior,
    fit,
    informative_epochs,
    product_kernel,
)

RECORD = Path(__file__).parents[1] / "oracles" / "boil.json.gz"
ORACLE = json.loads(gzip.decompress(RECORD.read_bytes()))
EPOCHS, NOISE = 27, 5e-4
BOUNDS = np.array([[0.03, 0.3, -2.0, 0.5], [0.3, 0.6, 3.0, 2.0]])
START = np.array([0.1, 0.4, 0.0, 1.0])


def padded(curves):
    gains = np.full((len(curves), EPOCHS), np.nan)
    for row, curve in zip(gains, curves, strict=True):
        row[: len(curve)] = curve
    return gains, np.array([len(curve) for curve in curves])


def curves_at(record):
    return Points(np.array(record["z"]), *padded(record["curves"]))


def posterior_of(record):
    z, scales = np.array(record["z"]), record["scales"]
    y = np.array(record.get("y", np.zeros(len(z))))
    return Posterior(z, y, np.array([*scales, 0.0, 1.0]), NOISE)


def uniform(posterior, d, last, seed):
    rng = np.random.default_rng(seed)
    return Candidates(
        posterior, Epochs(1, last), rng, lambda x: x, np.ones(d, dtype=bool), size=512
    )


# Against traces of the public implementation.


def test_same_scores_of_curves():
    for record in ORACLE["compressions"]:
        gains, epochs = padded([record["gains"]])
        scores, _ = compress(gains, epochs, record["midpoint"], record["growth"])
        assert scores[0] == pytest.approx(record["score"], abs=1e-12)


def test_same_likelihood():
    for record in ORACLE["likelihoods"]:
        likelihood = Likelihood(curves_at(record), NOISE)
        values = np.array([-likelihood(np.array(theta))[0] for theta in record["thetas"]])
        constant = len(record["z"]) / 2 * math.log(math.pi / 3.14)
        assert values + constant == pytest.approx(record["values"], abs=1e-6)


def test_fits_at_least_as_likely():
    better = []
    for record in ORACLE["fits"]:
        points, rng = curves_at(record), np.random.default_rng(0)
        likelihood = Likelihood(points, NOISE)
        scales = rng.uniform(*BOUNDS[:, :2], size=(20, 2))
        ours = fit(points, NOISE, BOUNDS, START, scales)
        assert np.all((BOUNDS[0] <= ours) & (ours <= BOUNDS[1]))
        better.append(likelihood(np.array(record["theta"]))[0] - likelihood(ours)[0])
    assert min(better) > -1.0  # nats; both may miss the best of several local maxima
    assert np.mean(better) > 0.5


def test_same_posterior_and_acquisition():
    for record in ORACLE["decisions"]:
        posterior = posterior_of(record)
        queries, z = np.array(record["queries"]), posterior.z
        covariance = product_kernel(z, z, posterior.theta) + NOISE * np.eye(len(z))
        assert covariance == pytest.approx(np.array(record["covariance"]), abs=1e-12)
        mean, variance = posterior.predict(queries)
        assert mean == pytest.approx(np.array(record["mean"]), abs=1e-9)
        assert variance == pytest.approx(np.array(record["variance"]), abs=1e-9)
        gain, _, _ = log_expected_improvement(mean, np.sqrt(variance), record["incumbent"])
        value = gain - np.log(0.1 + np.maximum(record["cost"], 0.0))
        there = np.isfinite(record["value"])  # it takes the logarithm of 0 far from the incumbent
        assert value[there] == pytest.approx(np.array(record["value"])[there], abs=1e-6)


def test_the_regression_of_costs_finds_what_is_known_here():
    exact = [record for record in ORACLE["decisions"] if record["exact"]]
    assert exact
    for record in exact:
        t = np.array(record["queries"])[:, -1]
        epochs = 9 + t * (EPOCHS - 9)
        low, high = record["cost_range"]
        assert record["cost"] == pytest.approx((epochs - low) / (high - low), abs=1e-6)


def test_as_good_a_decision_under_the_same_model():
    for record in ORACLE["decisions"]:
        posterior, d = posterior_of(record), len(record["z"][0]) - 1
        candidates = uniform(posterior, d, 1001, seed=0)
        assert candidates.incumbent(4) > record["incumbent"] - 1e-6
        if record["exact"]:  # elsewhere the cost depends on x
            low, high = record["cost_range"]
            scaled = (np.linspace(9, EPOCHS, 1001) - low) / (high - low)
            cost = np.append(0.0, 0.1 + np.maximum(scaled, 0.0))
            acquisition = ImprovementPerCost(posterior, Epochs(1, 1001), cost, record["incumbent"])
            assert candidates.best(acquisition, 4)[2] > record["value"][0] - 1e-4


def test_same_virtual_points():
    for record in ORACLE["augmentations"]:
        posterior = posterior_of(record)
        end = posterior.z[-1]
        t = np.linspace(0.0, end[-1], 801)
        z = np.column_stack((np.tile(end[:-1], (len(t), 1)), t))
        picked = t[informative_epochs(posterior, z, record["most"], 15.0)]
        assert np.sort(picked) == pytest.approx(record["picked"], abs=2e-3)


# The parts.


def some_points(n=40, d=3, seed=0):
    rng = np.random.default_rng(seed)
    epochs = rng.integers(1, EPOCHS + 1, n)
    gains = np.sort(rng.random((n, EPOCHS)), axis=1)
    z = np.column_stack((rng.random((n, d)), Epochs(1, EPOCHS).to_unit(epochs)))
    return Points(z, gains, epochs)


def test_a_late_steady_curve_is_worth_most():
    late = np.linspace(0.0, 1.0, EPOCHS)
    curves = np.stack((late, late[::-1], np.where(np.arange(EPOCHS) == 20, 1.0, 0.0), 0 * late))
    whole, _ = compress(curves, np.full(4, EPOCHS), 0.0, 1.0)
    assert whole[0] > whole[1] > whole[2] > whole[3] == 0.0
    lengths = np.arange(1, EPOCHS + 1)
    prefixes, _ = compress(np.tile(late, (EPOCHS, 1)), lengths, 0.0, 1.0)
    assert np.all(np.diff(prefixes) > 0.0)


def test_scores_of_a_grid_are_those_one_by_one():
    points, midpoints, growths = some_points(), np.array([-2.0, 0.3, 3.0]), np.array([0.5, 2.0])
    together = compress_all(points.gains, points.epochs, midpoints, growths)
    apart = [compress(points.gains, points.epochs, m, g)[0] for m in midpoints for g in growths]
    assert together == pytest.approx(np.stack(apart, axis=1), abs=1e-14)


def test_gradient_of_the_likelihood():
    likelihood = Likelihood(some_points(), NOISE)
    for theta in ([0.1, 0.4, 0.31, 1.0], [0.28, 0.55, -1.43, 0.7]):
        by_differences = approx_fprime(theta, lambda at: likelihood(at)[0], 1e-7)
        assert likelihood(np.array(theta))[1] == pytest.approx(by_differences, rel=1e-4)


def test_gradient_of_the_acquisition():
    points, rng = some_points(), np.random.default_rng(1)
    y, _ = points.targets(START)
    posterior = Posterior(points.z, y, START, NOISE, pending=rng.random((3, 4)))
    acquisition = ImprovementPerCost(posterior, Epochs(9, 27), np.arange(28.0), incumbent=1.0)
    for z in rng.random((5, 4)):
        by_differences = approx_fprime(z, lambda at: acquisition.of_new(at[None])[0][0], 1e-7)
        assert acquisition.of_new(z[None])[1][0] == pytest.approx(by_differences, rel=1e-4)


def test_a_paused_trial_pays_for_what_is_left():
    points, rng = some_points(), np.random.default_rng(2)
    y, _ = points.targets(START)
    posterior, x = Posterior(points.z, y, START, NOISE), rng.random((5, 3))
    reached = np.array([9, 12, 20, 20, 26])
    cost = np.append(0.0, np.cumsum(rng.uniform(1.0, 2.0, 27)))
    acquisition = ImprovementPerCost(posterior, Epochs(9, 27), cost, incumbent=1.0)
    choices = [(k, epoch) for k in range(5) for epoch in range(reached[k] + 1, 28)]
    rows, epochs = np.array(choices).T
    rest = np.log(cost[epochs] - cost[reached[rows]])
    values = acquisition.values(x[rows], epochs) + np.log(cost[epochs]) - rest
    row, epoch, value = best_resumed(acquisition, x, reached)
    assert (row, epoch) == choices[int(np.argmax(values))]
    assert value == pytest.approx(values.max())


def test_what_is_pending_takes_variance_away_and_leaves_the_mean():
    points, rng = some_points(), np.random.default_rng(1)
    y, _ = points.targets(START)
    pending, queries = rng.random((2, 4)), rng.random((20, 4))
    mean, variance = Posterior(points.z, y, START, NOISE).predict(queries)
    fantasies, _ = Posterior(points.z, y, START, NOISE).predict(pending)
    told = Posterior(np.vstack((points.z, pending)), np.append(y, fantasies), START, NOISE)
    after = Posterior(points.z, y, START, NOISE, pending)
    assert after.predict(queries)[0] == pytest.approx(mean, abs=1e-10)
    for ours, theirs in zip(after.predict(queries), told.predict(queries), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)
    assert np.all(after.predict(queries)[1] <= variance + 1e-12)
    assert after.predict(pending)[1] == pytest.approx(2 * NOISE, rel=0.1)


def test_expected_improvement_far_below_the_incumbent():
    z = np.array([-0.999, -1.001, -5.0, -30.0, -9.9e3, -1.01e4, -1e8])
    value, by_mean, by_deviation = log_expected_improvement(z, np.ones(7), 0.0)
    far = z[3:]
    series = -0.5 * far**2 - 0.5 * np.log(2 * np.pi) - 2 * np.log(-far)
    series += np.log1p(-3 / far**2 + 15 / far**4 - 105 / far**6)
    assert value[3:] == pytest.approx(series, rel=1e-9)
    assert value[0] - value[1] == pytest.approx(0.002 * by_mean[0], rel=1e-2)
    assert np.all(np.diff(value) < 0) and np.all(np.isfinite(value))
    for k in range(3):
        m = approx_fprime(z[k], lambda at: log_expected_improvement(at, np.ones(1), 0.0)[0], 1e-7)
        s = approx_fprime(1.0, lambda at, k=k: log_expected_improvement(z[k], at, 0.0)[0], 1e-7)
        assert (by_mean[k], by_deviation[k]) == pytest.approx((m.item(), s.item()), rel=1e-4)


def test_virtual_points_are_those_of_largest_variance_one_after_another():
    points = some_points(n=12)
    y, _ = points.targets(START)
    x, epochs = np.full(3, 0.5), np.arange(1, EPOCHS)
    z = np.column_stack((np.tile(x, (len(epochs), 1)), Epochs(1, EPOCHS).to_unit(epochs)))
    posterior, one_by_one = Posterior(points.z, y, START, NOISE), []
    known = points.z
    for _ in range(5):
        variance = Posterior(known, np.zeros(len(known)), START, NOISE).predict(z)[1]
        one_by_one.append(int(np.argmax(variance)))
        known = np.vstack((known, z[one_by_one[-1]]))
    assert informative_epochs(posterior, z, 5, 15.0) == one_by_one
    every = informative_epochs(posterior, z, 100, 15.0)
    assert 5 < len(every) < len(z)  # until the process is as certain as an observation
    left = Posterior(np.vstack((points.z, z[every])), np.zeros(12 + len(every)), START, NOISE)
    assert left.predict(z)[1].max() < 2 * NOISE


def test_virtual_points_keep_the_condition_number_within_bounds():
    points = some_points(n=12)
    y, _ = points.targets(START)
    t = np.linspace(0.0, 1.0, EPOCHS)
    z = np.column_stack((np.full((EPOCHS, 3), 0.5), t))
    posterior = Posterior(points.z, y, START, NOISE)

    def log_condition(picked):
        known = np.vstack((points.z, z[picked]))
        covariance = product_kernel(known, known, START) + NOISE * np.eye(len(known))
        return np.log(np.linalg.cond(covariance))

    free = informative_epochs(posterior, z, 8, 15.0)
    for bound in (4.0, 6.0, 8.0):
        picked = informative_epochs(posterior, z, 8, bound)
        assert picked == free[: len(picked)] and len(picked) < 8
        assert log_condition(picked) <= bound < log_condition(free[: len(picked) + 1])


def test_gains_ignore_how_far_losses_explode():
    curves = Curves(2)
    for trial, loss in enumerate([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1e6, 1e9]):
        curves.report(trial, 1, loss)
    curves.report(9, 1, math.inf)
    gains = curves.gains()
    assert np.all(np.diff(gains[:7, 0]) < -0.01)
    assert gains[0, 0] == 1.0
    assert np.all(gains[7:10, 0] == 0.0)
    assert np.isnan(gains[0, 1]) and gains[9, 1] == 0.0  # a failed trial is at its end


def test_too_many_points_are_all_of_the_best_trials_and_the_ends_of_others():
    curves = Curves(4)
    for trial in range(50):
        for epoch in (1, 2, 3, 4):
            curves.report(trial, epoch, 1.0 + (trial * 7 % 50) - epoch / 10)
        curves.score(trial, [4, 1, 2])
    gains = curves.gains()
    everything, epochs = curves.select(gains, 0.0, 1.0, most=150)
    assert len(everything) == 150
    trials, epochs = curves.select(gains, 0.0, 1.0, most=40)
    assert len(set(zip(trials.tolist(), epochs.tolist(), strict=True))) == 40
    ranks = {trial: trial * 7 % 50 for trial in trials.tolist()}
    counts = {ranks[trial]: trials.tolist().count(trial) for trial in trials.tolist()}
    assert [counts[rank] for rank in range(6)] == [3] * 6
    assert sum(counts.values()) == 40 and set(counts.values()) == {1, 3}
    assert max(counts) == 49 and set(epochs[18:].tolist()) == {4}


# The scheduler.

UNIT = Space({"a": Float(0.0, 1.0), "b": Float(0.0, 1.0)})


def build(space=UNIT, seed=0, mode="min", low=1, high=EPOCHS, **options):
    rng = np.random.default_rng(seed)
    return BOIL(space, rng, mode=mode, min_resource=low, max_resource=high, **options)


def random_search(seed):
    return RandomSearch(UNIT, np.random.default_rng(seed), mode="min", max_resource=EPOCHS)


def bowl(u, epoch):
    """Loss of a curve that falls to a bowl's height, slowly where `a` is large."""
    height = (u[0] - 0.3) ** 2 + (u[1] - 0.7) ** 2
    return height + math.exp(-epoch / (2.0 + 6.0 * u[0]))


def search(scheduler, epochs, loss=bowl):
    """One worker; the trace of suggestions, and the best loss."""
    trace, best, spent = [], math.inf, 0
    while spent < epochs:
        asked = scheduler.ask()
        trace.append(asked)
        spent += asked.resource - asked.start
        u = scheduler.space.to_unit(asked.configuration)
        value = loss(u, asked.resource)
        best = min(best, value)
        scheduler.tell(asked.trial, asked.resource, value)
    return trace, best


def ways(trace):
    """(trial, from, to) of every uninterrupted training."""
    found = []
    for asked in trace:
        if found and (asked.trial, asked.start) == (found[-1][0], found[-1][2]):
            found[-1] = (asked.trial, found[-1][1], asked.resource)
        else:
            found.append((asked.trial, asked.start, asked.resource))
    return found


def test_first_trials_are_random_and_new_ones_not_too_short():
    trace, _ = search(build(initial=4, shortest=0.25), 400)
    new = [way for way in ways(trace) if way[1] == 0]
    assert len(new) > 8
    assert min(end for _, _, end in new) >= 7
    assert len({end for _, _, end in new[:4]}) > 1
    assert trace[0].configuration == random_search(0).ask().configuration


def test_paused_trials_are_trained_on():
    trace, _ = search(build(), 400)
    resumed = [way for way in ways(trace) if way[1] > 0]
    assert resumed
    assert all(end > start for _, start, end in resumed)


def test_better_than_random_search():
    ratios = []
    for seed in range(3):
        _, ours = search(build(seed=seed), 12 * EPOCHS)
        _, theirs = search(random_search(seed), 12 * EPOCHS)
        ratios.append(ours / theirs)
    assert np.median(ratios) < 0.7


def test_every_unit_is_reported_and_the_last_may_be_short():
    trace, _ = search(build(low=4, high=30), 300)
    assert {asked.resource - asked.start for asked in trace} == {4, 2}
    assert max(asked.resource for asked in trace) == 30


def test_few_trials_are_lost_where_training_fails():
    def loss(u, epoch):
        return math.inf if u[0] < 0.5 and epoch > 3 else bowl(u, epoch)

    trace, _ = search(build(), 300, loss)
    failed = [asked.start < 4 and asked.configuration["a"] < 0.5 for asked in trace]
    lost = {asked.trial for asked, one in zip(trace, failed, strict=True) if one}
    assert len(lost) < len({asked.trial for asked in trace}) / 3


def test_workers_that_ask_at_once_get_different_trials():
    scheduler = build()
    search(scheduler, 100)
    first, second, third = (list(scheduler.ask().configuration.values()) for _ in range(3))
    assert min(math.dist(first, second), math.dist(first, third), math.dist(second, third)) > 0.1


def test_learns_from_what_was_trained_and_not_from_what_was_asked():
    def fourth(amended):
        """The first configuration that is not random."""
        scheduler = build(initial=3)
        while (asked := scheduler.ask()).trial < 3:
            if asked.is_new and amended:
                scheduler.amend(asked.trial, {"a": 0.9 - 0.1 * asked.trial, "b": 0.1})
            scheduler.tell(asked.trial, asked.resource, 1.0 / (1 + asked.trial + asked.resource))
        return asked.configuration

    assert fourth(False) == fourth(False) != fourth(True)


def test_finds_the_best_of_discrete_values():
    space = Space({"n": Int(1, 4), "kind": Categorical(("p", "q", "r")), "x": Float(0.0, 1.0)})

    def loss(u, epoch):
        return (u[0] - 0.625) ** 2 + abs(u[1] - 1.0) + (u[2] - 0.2) ** 2 + 1.0 / epoch

    trace, _ = search(build(space), 12 * EPOCHS, loss)
    best = min(trace, key=lambda asked: loss(space.to_unit(asked.configuration), asked.resource))
    assert (best.configuration["n"], best.configuration["kind"]) == (3, "r")
    assert abs(best.configuration["x"] - 0.2) < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 0}, "initial 0 must be a whole number of at least 1"),
        ({"shortest": 1.5}, "shortest 1.5 must be a number from 0 to 1"),
        ({"shortest": math.nan}, "shortest nan"),
        ({"virtual": -1}, "virtual -1"),
        ({"noise": 0.0}, "noise 0.0 must be a number from 1e-08"),
        ({"noise": "low"}, "noise 'low'"),
        ({"x_scale_low": 0.4}, "x_scale_low 0.4 is above x_scale_high 0.3; swap them"),
        ({"t_scale_high": True}, "t_scale_high True"),
        ({"midpoint_low": -7}, "midpoint_low -7 must be a number from -6 to 6"),
        ({"growth_high": 0.0}, "growth_high 0.0"),
        ({"points": 1}, "points 1"),
        ({"candidates": 2.5}, "candidates 2.5"),
    ],
)
def test_settings_that_cannot_work_are_refused(options, message):
    with pytest.raises(SettingError, match=message):
        build(**options)


def test_a_state_of_other_options_is_refused():
    state = build().state_dict()
    for options in ({"virtual": 3}, {"noise": 1e-3}, {"growth_high": 1.0}, {"shortest": 0.1}):
        with pytest.raises(SettingError, match="this scheduler has"):
            build(**options).load_state_dict(state)
