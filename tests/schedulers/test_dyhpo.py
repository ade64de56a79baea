"""DyHPO against the public code (tests/oracles/record_dyhpo.py), and what is ours alone."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ohgw.core.errors import SettingError
from ohgw.core.space import Categorical, Float, Space
from ohgw.core.streams import Streams
from ohgw.schedulers import DyHPO, make
from ohgw.schedulers._surrogates.deep_kernel import DeepKernel, Rows
from ohgw.schedulers._surrogates.growing_posterior import Posterior
from ohgw.schedulers._surrogates.race import Pool, Race, Schedule

ORACLE = Path(__file__).parents[1] / "oracles" / "dyhpo.npz"
SPACE = Space(
    {
        "learning_rate": Float(1e-4, 1.0, log=True),
        "momentum": Float(0.0, 0.99),
        "activation": Categorical(("relu", "gelu", "tanh")),
    }
)


class Case:
    """One recorded search, replayed into a pool and a race of ours."""

    def __init__(self, number):
        with np.load(ORACLE) as recorded:
            prefix = f"{number}_"
            arrays = {
                key.removeprefix(prefix): recorded[key]
                for key in recorded.files
                if key.startswith(prefix)
            }
        self.__dict__.update(arrays)
        self.n, self.d = self.points.shape
        self.steps = self.scores.shape[1]
        self.fewer = 3 * len(self.picks) // 4

    def pool(self):
        space = Space(
            {
                f"x{k}": Float(1e-4, 1.0, log=True) if log else Float(-1.0, 1.0)
                for k, log in enumerate(self.log)
            }
        )
        pool = Pool(space, self.steps)
        pool.extend([dict(zip(space.names, point.tolist(), strict=True)) for point in self.points])
        pool.anchors = (0.0, -1.0)  # scores as they are
        return pool

    def kernel(self, weights="weights", running="running"):
        kernel = DeepKernel(self.d, np.random.default_rng(0))
        kernel.theta[:], kernel.running[:] = getattr(self, weights), getattr(self, running)
        return kernel

    def race(self, pool, **schedule):
        defaults = {
            "initial_epochs": 60,
            "refit_epochs": 50,
            "fresh_fits": 10,
            "refit_growth": 0.0,
            "fit_rows": 10**6,
            "learning_rate": 1e-3,
            "patience": 1.2,
        }
        return Race(pool, Schedule(**{**defaults, **schedule}), Streams(0))

    def tell(self, pool, first, last):
        for row, step in self.picks[first:last]:
            assert pool.reached[row] == step - 1
            pool.tell(int(row), -float(self.scores[row, step - 1]))

    def told_rows(self, pad):
        """The rows of all reports, in the order of the public code, with curves padded to `pad`."""
        rows, steps = [], []
        for row in dict.fromkeys(self.picks[:, 0].tolist()):
            reached = int((self.picks[:, 0] == row).sum())
            rows += [row] * reached
            steps += range(1, reached + 1)
        rows, steps = np.array(rows), np.array(steps)
        return self._rows(rows, steps, pad), self.scores[rows, steps - 1]

    def candidate_rows(self, pad):
        rows = self.own_rows
        return self._rows(
            rows, np.array([(self.picks[:, 0] == row).sum() for row in rows]) + 1, pad
        )

    def _rows(self, rows, steps, pad):
        wide = np.zeros((len(rows), pad))
        for k, (row, step) in enumerate(zip(rows, steps, strict=True)):
            wide[k, : step - 1] = self.scores[row, : step - 1]
        return Rows.of(self.x[rows], steps / self.steps, wide)


@pytest.fixture(params=[0, 1, 2])
def case(request):
    return Case(request.param)


def test_points_are_scaled_as_in_the_public_code(case):
    np.testing.assert_allclose(case.pool().x, case.x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("appended", [False, True], ids=["at once", "appended"])
def test_expects_what_the_public_model_expects(case, appended):
    """With its weights, from its reports: every improvement to 1e-5, and so who is next."""
    pool = case.pool()
    race = case.race(pool)
    race._kernel = case.kernel()
    case.tell(pool, 0, case.fewer)
    race.forget_posterior()
    _same_gains(race.gains(), case.fewer_gain, case.fewer_rows)
    case.tell(pool, case.fewer, None)
    if not appended:
        race.forget_posterior()
    _same_gains(race.gains(), case.gain, case.rows)
    posterior = race._follow()
    np.testing.assert_allclose(posterior.mean[case.rows], case.mean, rtol=1e-7)
    np.testing.assert_allclose(np.sqrt(posterior.variance[case.rows]), case.std, rtol=1e-7)


def _same_gains(ours, public, rows):
    np.testing.assert_allclose(np.exp(ours[rows]), public, rtol=1e-5)
    np.testing.assert_array_equal(np.argsort(-ours[rows]), np.argsort(-public))


def test_expects_what_the_public_model_expects_of_curves_that_it_pads_its_own_way(case):
    reached = np.bincount(case.picks[:, 0], minlength=case.n)
    told, y = case.told_rows(pad=max(3, reached.max() - 1))
    candidates = case.candidate_rows(pad=max(3, reached[case.own_rows].max()))
    posterior = Posterior(case.kernel(), told, y, candidates)
    np.testing.assert_allclose(posterior.mean, case.own_mean, rtol=1e-7)
    np.testing.assert_allclose(np.sqrt(posterior.variance), case.own_std, rtol=1e-7)
    mean, variance = posterior.at(candidates)
    np.testing.assert_allclose(mean, case.own_mean, rtol=1e-7)
    np.testing.assert_allclose(np.sqrt(variance), case.own_std, rtol=1e-7)


def test_a_fit_is_that_of_the_public_code(case):
    told, y = case.told_rows(pad=case.steps + 2)
    kernel = case.kernel()
    losses = kernel.fit(told, y, epochs=len(case.losses), learning_rate=1e-3, precision=np.float64)
    np.testing.assert_allclose(losses, case.losses, rtol=1e-9)
    np.testing.assert_allclose(kernel.theta, case.fitted_weights, rtol=0, atol=1e-7)
    np.testing.assert_allclose(kernel.running, case.fitted_running, rtol=0, atol=1e-7)
    assert np.abs(kernel.theta - case.weights).max() > 1e-3


def test_fits_when_the_public_code_does_and_as_long(case, monkeypatch):
    """Ten times from fresh weights, then on; from fresh weights again after stagnation."""
    epochs = []
    monkeypatch.setattr(DeepKernel, "fit", lambda *_, **given: epochs.append(given["epochs"]))
    pool = case.pool()
    race = case.race(pool)
    for row, step in case.picks:
        race.count(improved=pool.tell(int(row), -float(case.scores[row, step - 1])))
        race.fit_if_due()
    expected = case.fits[case.fits[:, 1] > 0]
    assert epochs == expected[:, 1].tolist()
    if case.steps == 5:
        assert 60 in epochs[10:], "the record holds no restart"


def build(space=SPACE, seed=0, mode="min", **options):
    cheap = {"candidates": 20, "initial_epochs": 5, "refit_epochs": 3, **options}
    resources = {"min_resource": 1, "max_resource": cheap.pop("max_resource", 9)}
    return DyHPO(space, np.random.default_rng(seed), mode=mode, **resources, **cheap)


def loss_of(configuration, resource):
    distance = abs(math.log10(configuration["learning_rate"]) + 2) + configuration["momentum"]
    return 0.1 + distance / (1 + 0.2 * resource)


def run(scheduler, reports, loss=loss_of):
    asked = []
    for _ in range(reports):
        asked.append(scheduler.ask())
        resource = asked[-1].resource
        scheduler.tell(asked[-1].trial, resource, loss(asked[-1].configuration, resource))
    return asked


def test_goes_on_one_unit_at_a_time_up_to_the_maximum():
    scheduler = DyHPO(
        SPACE,
        np.random.default_rng(0),
        mode="min",
        min_resource=4,
        max_resource=10,
        candidates=2,
        initial_epochs=2,
    )
    asked = run(scheduler, 6)
    legs = {trial: [] for trial in (0, 1)}
    for suggestion in asked:
        legs[suggestion.trial].append((suggestion.start, suggestion.resource))
    assert legs == {trial: [(0, 4), (4, 8), (8, 10)] for trial in (0, 1)}
    assert run(scheduler, 1)[0].trial == 2, "the pool is drawn on when nobody is left in it"


def test_looks_where_losses_are_small():
    """Better than the median of uniform draws by far, for most of what it trains."""
    scheduler = build(candidates=200, initial_epochs=300, max_resource=9)
    run(scheduler, 60)
    rng = np.random.default_rng(1)
    uniform = np.median([loss_of(SPACE.sample(rng), 1) for _ in range(500)])
    late = [loss_of(suggestion.configuration, 1) for suggestion in run(scheduler, 30)]
    assert np.quantile(late, 0.8) < uniform


def test_the_unit_of_a_score_does_not_matter():
    asked = run(build(), 60)
    scaled = run(build(), 60, lambda *where: 1024.0 * loss_of(*where))  # rounds nowhere
    assert [s.trial for s in asked] == [s.trial for s in scaled]


def test_the_model_sees_what_a_trial_was_amended_to():
    scheduler, plain = build(), build()
    run(scheduler, 12), run(plain, 12)
    asked = scheduler.ask()
    while not asked.is_new:
        scheduler.tell(asked.trial, asked.resource, 0.3)
        asked = scheduler.ask()
    moved = {"learning_rate": 1.0, "momentum": 0.99, "activation": "tanh"}
    scheduler.amend(asked.trial, moved)
    row = scheduler._rows[asked.trial]
    pool = scheduler._pool
    np.testing.assert_array_equal(pool.x[row], pool.stretched(SPACE.to_unit(moved)))
    assert pool.x[row].max() > 1.0, "x' may lie outside the pool"
    scheduler.tell(asked.trial, asked.resource, 0.4)
    scheduler.ask()
    told = pool.inputs(np.array([row]), np.array([1])).inputs
    np.testing.assert_array_equal(told[0, :-1], pool.x[row])


def test_goes_on_bit_for_bit_between_fits_whatever_was_amended():
    def amend(scheduler, asked, reports):
        for k in range(reports):
            asked.append(scheduler.ask())
            trial = asked[-1].trial
            if k % 3 == 0:  # also trials that have reported before
                scheduler.amend(trial, SPACE.sample(np.random.default_rng(k)))
            loss = math.inf if k % 7 == 6 else loss_of(asked[-1].configuration, 1 + k % 5)
            scheduler.tell(trial, asked[-1].resource, loss)
        return asked

    for cut in range(20, 40, 3):  # fits at 20, 30 and 45 reports at the latest
        whole = build(refit_growth=0.5)
        amend(whole, [], cut)
        state = json.loads(json.dumps(whole.state_dict(), allow_nan=False))
        resumed = build(seed=1, refit_growth=0.5)
        resumed.load_state_dict(state)
        rng = np.random.default_rng(5)
        assert whole.draw(rng) == resumed.draw(np.random.default_rng(5))
        where = whole._open  # a failed row keeps the column that it had
        assert where == resumed._open
        gains, again = whole._race.gains()[where], resumed._race.gains()[where]
        np.testing.assert_array_equal(gains, again, strict=True)
        assert amend(whole, [], 30) == amend(resumed, [], 30)


def test_draws_the_most_promising_of_fresh_points():
    scheduler = build(candidates=200, initial_epochs=300)
    run(scheduler, 60)
    drawn = [scheduler.draw(np.random.default_rng(k)) for k in range(20)]
    uniform = [SPACE.sample(np.random.default_rng(k)) for k in range(500)]
    best = np.median([loss_of(configuration, 1) for configuration in drawn])
    assert best < np.quantile([loss_of(configuration, 1) for configuration in uniform], 0.3)
    assert all(configuration not in scheduler._configurations for configuration in drawn)


def test_fits_on_growth_to_some_of_the_rows(monkeypatch):
    rows, epochs = [], []

    def fit(kernel, told, y, **given):
        rows.append(len(told))
        epochs.append(given["epochs"])

    monkeypatch.setattr(DeepKernel, "fit", fit)
    scheduler = build(refit_growth=0.5, fit_rows=12, fresh_fits=6, patience=1e3)
    seen = []
    for _ in range(40):
        before = len(rows)
        run(scheduler, 1)
        seen += [len(scheduler._pool.told) - 1] * (len(rows) - before)
    assert seen == [2, 3, 5, 8, 12, 18, 27]
    assert rows == [2, 3, 5, 8, 12, 12, 12]
    assert epochs == [5, 5, 5, 3, 3, 3, 3]


@pytest.mark.parametrize(("learning_rate", "y"), [(1e-3, math.nan), (1e4, 0.5)])
def test_a_fit_that_fails_numerically_ends_at_the_last_weights_that_worked(learning_rate, y):
    kernel = DeepKernel(2, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    told = Rows.of(rng.random((30, 2)), rng.random(30), np.zeros((30, 5)))
    losses = kernel.fit(told, np.full(30, y), epochs=50, learning_rate=learning_rate)
    assert len(losses) < 50 and np.isfinite(losses).all()
    assert np.isfinite(kernel.theta).all() and np.isfinite(kernel.features(told)).all()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("candidates", 0),
        ("initial_epochs", 0),
        ("refit_epochs", 1.5),
        ("fresh_fits", -1),
        ("refit_growth", -0.1),
        ("fit_rows", 1),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("patience", "long"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(option, value):
    with pytest.raises(SettingError, match=f"{option} {value!r} must be"):
        build(**{option: value})


def test_a_state_of_other_settings_is_refused():
    with pytest.raises(SettingError, match="schedule"):
        build(refit_epochs=4).load_state_dict(build().state_dict())


def test_the_table_makes_it_with_options():
    scheduler = make(
        "dyhpo:candidates=5",
        SPACE,
        np.random.default_rng(0),
        mode="max",
        min_resource=1,
        max_resource=27,
    )
    assert isinstance(scheduler, DyHPO) and len(scheduler._pool) == 5
    assert scheduler.expected_resource == 1 + 2 / 3 + 6 / 9 + 18 / 27
