"""Record the model of HpBandSter's BOHB: what it is fitted to, its densities and what it proposes.

    python3.11 -m venv oracle
    oracle/bin/pip install Cython==0.29.37 setuptools==75.8.0 wheel==0.45.1 numpy==1.26.4
    oracle/bin/pip install scipy==1.13.1 statsmodels==0.14.4 pandas==2.2.3
    oracle/bin/pip install --no-cache-dir --no-build-isolation ConfigSpace==0.4.21 \\
        hpbandster==0.7.4
    oracle/bin/python tests/oracles/record_bohb.py tests/oracles/bohb.json.gz

(ConfigSpace 0.4.21 compiles with a newer Cython too, perhaps one that pip has in its cache, and
then refuses its own calls.)

A case is a space, the settings and jobs in order of arrival, each with its configuration, the
vector that HpBandSter makes of it, a budget and a loss (null for a failed job). `modelled` holds
the budget of the model in use after every job. A snapshot, taken after `jobs` jobs, holds which of
them are good and bad, both bandwidths, the candidates of one proposal with their densities (null
for infinity), and the configuration that was proposed.

Two things are not as in the package. Its sort is made stable: which of two equal losses comes
first would depend on the processor. And in cases of kind `repaired`, the categorical kernel of
statsmodels is told the number of choices and its bandwidth is at most (c - 1) / c.
"""

import gzip
import json
import logging
import sys
import types
import warnings

import ConfigSpace as CS
import hpbandster.optimizers.config_generators.bohb as package
import numpy as np
from hpbandster.core.dispatcher import Job
from statsmodels.nonparametric import kernels

BUDGETS = [1.0, 3.0, 9.0]
CANDIDATES = 24

stable = types.SimpleNamespace(**vars(np))
stable.argsort = lambda values: np.argsort(values, kind="stable")
package.np = stable


class Repaired(package.BOHB):
    def new_result(self, job, update_model=True):
        super().new_result(job, update_model)
        for models in self.kde_models.values():
            for kde in models.values():
                widest = [1 - 1 / c if c else np.inf for c in self.vartypes]
                kde.bw = np.minimum(kde.bw, widest)
                kde.pdf = types.MethodType(self.density, kde)

    def density(self, kde, vector):
        product = np.ones(kde.nobs)
        for h, data, x, c in zip(kde.bw, kde.data.T, vector, self.vartypes, strict=True):
            if c:
                product *= kernels.aitchison_aitken(h, data, x, num_levels=c)
            else:
                product *= kernels.gaussian(h, data, x) / h
        return product.mean()


def random_domain(rng, categorical):
    kind = rng.choice(["categorical"] if categorical else ["float", "log float", "int", "log int"])
    if kind == "categorical":
        return {"type": "categorical", "choices": ["a", "b", "c", "d"][: int(rng.integers(2, 5))]}
    if kind.endswith("float"):
        low = round(float(rng.uniform(1e-4, 1e-1)), 6)  # the package rounds bounds to ten digits
        high = round(low * float(10 ** rng.uniform(0.5, 4)), 6)
        return {"type": "float", "low": low, "high": high, "log": kind.startswith("log")}
    low = int(rng.integers(1, 5))
    high = low + int(rng.integers(1, 60))
    return {"type": "int", "low": low, "high": high, "log": kind.startswith("log")}


def hyperparameter(name, domain):
    if domain["type"] == "categorical":
        return CS.CategoricalHyperparameter(name, domain["choices"])
    kinds = {"float": CS.UniformFloatHyperparameter, "int": CS.UniformIntegerHyperparameter}
    low, high = domain["low"], domain["high"]
    return kinds[domain["type"]](name, low, high, default_value=low, log=domain["log"])


def plain(configuration):
    return {k: v.item() if hasattr(v, "item") else v for k, v in configuration.items()}


def snapshot(generator, numbers, jobs):
    """The model in use; `numbers` holds, by budget, which jobs the package has kept."""
    budget = generator.largest_budget_with_model()
    models = generator.kde_models[budget]
    order = np.argsort(generator.losses[budget], kind="stable")
    kept = np.array(generator.configs[budget])[order]
    good, bad = models["good"], models["bad"]
    cut = good.nobs
    assert (good.data == kept[:cut]).all() and (bad.data == kept[cut : cut + bad.nobs]).all()
    names = np.array(numbers[budget])[order].tolist()

    densities = {}  # by candidate; the package asks for some of them more than once
    functions = {name: kde.pdf for name, kde in models.items()}
    for name, kde in models.items():

        def logged(vector, name=name):
            value = functions[name](vector)
            found = densities.setdefault(tuple(float(x) for x in vector), {})
            found[name] = float(value) if np.isfinite(value) else None
            return value

        kde.pdf = logged
    proposal, info = generator.get_config(budget)
    for name, kde in models.items():
        kde.pdf = functions[name]
    assert info["model_based_pick"]
    return {
        "jobs": jobs,
        "budget": budget,
        "good": names[:cut],
        "bad": names[cut : cut + bad.nobs],
        "bandwidth": [good.bw.tolist(), bad.bw.tolist()],
        "candidates": list(densities),
        "l": [found["good"] for found in densities.values()],
        "g": [found["bad"] for found in densities.values()],
        "proposal": plain(proposal),
    }


def record(seed, kind):
    rng = np.random.default_rng([seed, *kind.encode()])
    np.random.seed(rng.integers(2**31))
    discrete = kind in ("categorical", "repaired")
    d = int(rng.integers(2 if discrete else 1, 6))
    domains = {f"x{k}": random_domain(rng, discrete and k % 2 == 0) for k in range(d)}
    space = CS.ConfigurationSpace(seed=int(rng.integers(2**31)))
    space.add_hyperparameters([hyperparameter(*item) for item in domains.items()])
    settings = {}
    if seed % 3 == 2:
        settings = {
            "min_points": d + 1 + int(rng.integers(4)),
            "top_n_percent": int(rng.integers(5, 60)),
            "min_bandwidth": float(rng.uniform(0.01, 0.1)),
            "bandwidth_factor": float(rng.uniform(1, 5)),
        }
    theirs = {**settings, "min_points_in_model": settings.get("min_points")}
    theirs.pop("min_points", None)
    generator = (Repaired if kind == "repaired" else package.BOHB)(
        configspace=space, num_samples=CANDIDATES, random_fraction=0.0, **theirs
    )

    jobs, modelled, snapshots, numbers = [], [], [], {budget: [] for budget in BUDGETS}
    total = int(rng.integers(40, 140))
    failures = {"failing": 0.15, "mostly failing": 0.7}.get(kind, 0.0)
    for number in range(total):
        configuration = plain(space.sample_configuration().get_dictionary())
        if jobs and rng.random() < 0.5:  # clusters, down to values that are all equal
            copied = jobs[int(rng.integers(len(jobs)))]["configuration"]
            for name in domains:
                if rng.random() < 0.7:
                    configuration[name] = copied[name]
        vector = CS.Configuration(space, configuration).get_array()
        # Larger budgets come later, so that the model moves up while they fill.
        budget = BUDGETS[int(rng.choice(3, p=[0.7, 0.2, 0.1] if number < 25 else [0.1, 0.1, 0.8]))]
        loss = float(((vector - 0.3) ** 2).sum() + 0.3 * rng.standard_normal())
        if kind == "tied":
            loss = round(loss, 1)
        job = Job((0, 0, number), config=configuration, budget=budget)
        job.result = {"loss": loss}
        if rng.random() < failures:
            job.result = [None, {"loss": np.nan}, {"loss": np.inf}, {"loss": -np.inf}][number % 4]
            loss = None
        before = len(generator.configs.get(budget, ()))
        generator.new_result(job)
        if len(generator.configs[budget]) > before:
            numbers[budget].append(number)
        jobs.append(
            {
                "configuration": configuration,
                "vector": vector.tolist(),
                "budget": int(budget),
                "loss": loss,
            }
        )
        now = generator.largest_budget_with_model()
        modelled.append(int(now) if np.isfinite(now) else 0)
        if modelled[-1] and number in (total // 4, total // 2, total - 1):
            snapshots.append(snapshot(generator, numbers, number + 1))
    return {
        "kind": kind,
        "space": domains,
        "settings": settings,
        "jobs": jobs,
        "modelled": modelled,
        "snapshots": snapshots,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the unrepaired categorical kernel divides by zero,
    logging.disable()  # and the package says so at length
    kinds = {
        "plain": 15,
        "tied": 9,
        "failing": 9,
        "mostly failing": 6,
        "categorical": 12,
        "repaired": 12,
    }
    cases = [record(seed, kind) for kind, count in kinds.items() for seed in range(count)]
    text = json.dumps(cases, allow_nan=False, sort_keys=True)
    with open(sys.argv[1], "wb") as file:
        file.write(gzip.compress(text.encode(), mtime=0))
