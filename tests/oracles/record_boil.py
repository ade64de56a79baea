"""Record the public BOIL: compression, likelihood, fits, posterior, acquisition, virtual points.

    python3.8 -m venv oracle
    oracle/bin/pip install numpy==1.22.4 scipy==1.4.1 scikit-learn==1.0.2 matplotlib==3.5.3 \\
        sobol_seq==0.2.0 tqdm==4.70.1
    git clone https://github.com/ntienvu/BOIL code && git -C code checkout 051434d
    oracle/bin/python tests/oracles/record_boil.py code tests/oracles/boil.json.gz

Everything is computed by the package in the given directory, on curves of a formula; about five
minutes. z = [x, t] lies in the unit cube, scores are `EPOCHS` long at most.

- `compressions`: a curve, midpoint and growth, and its score.
- `likelihoods`: curves at z, and the log marginal likelihood of several theta, which is
  [x scale, t scale, midpoint, growth]; the package takes pi for 3.14 in a term that is the same
  for all theta.
- `fits`: curves at z, and the theta found for them.
- `decisions`: points z with targets y and kernel scales, and the covariance matrix; the largest
  posterior mean found; at some query points mean, variance, cost and acquisition; the point
  chosen. The cost is the prediction of a regression, fitted to costs of the points that are linear
  in epochs in the cases called `exact` and depend on x in the others.
- `augmentations`: points z, of which the last has virtual epochs chosen for it, and these.
"""

import contextlib
import copy
import gzip
import io
import json
import sys
import warnings

import numpy as np

FIRST, EPOCHS = 9, 27
NOISE = 5e-4
CASES = [(1, 0, True), (2, 1, False), (2, 2, True), (4, 3, False)]  # d, seed, exact costs
DECISIONS = 7
QUERIES = 12


def curve(x, epochs):
    rate = 2.0 + 10.0 * x[0]
    height = np.exp(-3.0 * np.sum((x - 0.4) ** 2))
    return height * (1.0 - np.exp(-np.arange(1, epochs + 1) / rate))


def compressions(package):
    rng = np.random.default_rng(0)
    records = []
    for _ in range(40):
        gains = rng.random(rng.integers(1, EPOCHS + 1))
        midpoint, growth = rng.uniform(-2, 3), rng.uniform(0.5, 2)
        score = package.transform_logistic([gains], midpoint, growth, EPOCHS)
        records.append(
            {
                "gains": gains.tolist(),
                "midpoint": midpoint,
                "growth": growth,
                "score": float(np.ravel(score)[0]),
            }
        )
    return records


class Watched:
    """A search whose maximisers are looked at while they are called."""

    def __init__(self, package, d, seed, exact):
        self.package, self.d, self.exact = package, d, exact
        self.rng = np.random.default_rng(seed)
        self.decisions, self.largest = [], []
        self.plain = package.acq_max_with_name, package.acq_min_scipy_kwargs
        package.acq_max_with_name, package.acq_min_scipy_kwargs = self.maximise, self.minimise
        space = {**{f"x{k}": (0.0, 1.0) for k in range(d)}, "epochs": (FIRST, EPOCHS)}
        self.search = package.BOIL(self.train, space, verbose=0)
        self.search.max_n_augmentation = 5  # few enough for no point to be drawn twice
        self.search.init(n_init_points=3, seed=seed)

    def close(self):
        self.package.acq_max_with_name, self.package.acq_min_scipy_kwargs = self.plain

    def train(self, points):
        curves, costs = [], []
        for point in np.atleast_2d(points):
            epochs = int(point[-1])
            curves.append(curve(point[:-1], epochs))
            costs.append(epochs * (1.0 + 0.5 * point[0]))
        return curves, costs

    def decide(self):
        if self.exact:
            costs = self.search.Tscaler.inverse_transform(np.reshape(self.search.T, (-1, 1)))
            self.search.Y_cost_original = costs
            self.search.Y_cost = (costs - costs.min()) / np.ptp(costs)
        self.costs = np.ravel(self.search.Y_cost_original)
        self.search.suggest_nextpoint()

    def fitted(self):
        gp = copy.deepcopy(self.search.gp)
        start = [0.1, 0.4, 0.0, 1.0]
        return [float(value) for value in gp.optimize_lengthscale_logistic_hyper(start, NOISE)]

    def maximise(self, **settings):
        found = self.plain[0](**settings)
        if settings["acq_name"] == "mu":
            self.largest.append(float(np.ravel(found[1])[0]))
        return found

    def minimise(self, myfunc, SearchSpace, **settings):
        chosen = self.plain[1](myfunc=myfunc, SearchSpace=SearchSpace, **settings)
        gp = self.search.gp
        queries = np.vstack((np.ravel(chosen), self.rng.random((QUERIES, self.d + 1))))
        predictions = [gp.predict(query[None]) for query in queries]
        values = [-float(np.ravel(myfunc(query[None], **settings))[0]) for query in queries]
        self.decisions.append(
            {
                "exact": self.exact,
                "z": np.hstack((gp.X, gp.T)).tolist(),
                "y": np.ravel(gp.Y).tolist(),
                "scales": [float(gp.hyper["lengthscale_x"]), float(gp.hyper["lengthscale_t"])],
                "covariance": gp.KK_x_x.tolist(),
                "incumbent": self.largest[-1],
                "queries": queries.tolist(),
                "mean": [float(np.ravel(mean)[0]) for mean, _ in predictions],
                "variance": [float(np.ravel(variance)[0]) for _, variance in predictions],
                "cost": np.ravel(self.search.linear_regression.predict(queries)).tolist(),
                "cost_range": [float(self.costs.min()), float(self.costs.max())],
                "value": values,  # the first is that of the point chosen
            }
        )
        return chosen

    def curves(self):
        gp = self.search.gp
        return {
            "z": np.hstack((gp.X, gp.T)).tolist(),
            "curves": [np.ravel(gains).tolist() for gains in gp.Y_curves],
        }


def searches(package):
    """Records of likelihoods, fits and decisions."""
    likelihoods, fits, decisions = [], [], []
    for d, seed, exact in CASES:
        watched = Watched(package, d, seed, exact)
        for k in range(DECISIONS):
            watched.decide()
            if k % 3 == 0:
                fits.append({**watched.curves(), "theta": watched.fitted()})
        low, high = (0.03, 0.3, -2.0, 0.5), (0.3, 0.6, 3.0, 2.0)
        thetas = watched.rng.uniform(low, high, size=(6, 4))
        values = watched.search.gp.log_marginal_lengthscale_logistic_hyper(thetas, NOISE)
        likelihoods.append(
            {
                **watched.curves(),
                "thetas": thetas.tolist(),
                "values": [float(value) for value in values],
            }
        )
        decisions += watched.decisions
        watched.close()
    return {"likelihoods": likelihoods, "fits": fits, "decisions": decisions}


def augmentations(package):
    rng = np.random.default_rng(1)
    records = []
    for d, points in ((1, 3), (2, 5), (3, 8)):
        space = {**{f"x{k}": (0.0, 1.0) for k in range(d)}, "epochs": (FIRST, EPOCHS)}
        x, t = rng.uniform(0.4, 0.6, (points, d)), rng.random((points, 1))
        t[-1] = 0.87
        for most in (1, 2, 3, 4, 5):
            search = package.BOIL(None, space, verbose=0)
            search.X, search.T = x, t
            search.Y = rng.standard_normal((points, 1))
            search.Y_curves = [curve(row, EPOCHS) for row in x]
            scales = search.gp.hyper["lengthscale_x"], search.gp.hyper["lengthscale_t"] = 0.1, 0.4
            picked, _ = search.select_informative_location_by_uncertainty(most, x[-1], t[-1])
            records.append(
                {
                    "z": np.hstack((x, t)).tolist(),
                    "scales": scales,
                    "most": most,
                    "picked": np.ravel(picked).tolist(),
                }
            )
    return records


def main(code, path):
    sys.path.insert(0, code)
    warnings.simplefilter("ignore")
    import bayes_opt.sequentialBO.boil as package

    with contextlib.redirect_stdout(io.StringIO()):  # it prints every decision
        records = {
            "compressions": compressions(package),
            **searches(package),
            "augmentations": augmentations(package),
        }
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write(json.dumps(records).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
