"""Records what the public DyHPO expects of its candidates, when it fits, and how a fit goes.

    git clone https://github.com/releaunifreiburg/DyHPO CODE  # commit cfba15a
    python3.11 -m venv public && public/bin/pip install torch==2.13.0 gpytorch==1.15.2 \\
        numpy==1.26.4 scipy==1.17.1 scikit-learn pandas==3.0.6
    public/bin/python record_dyhpo.py CODE dyhpo.npz

The public search runs as it is, but in double precision, with fewer epochs in a fit, and, except
in the arrays named `own_*`, with curves padded to the length of a full training and two more; it
pads them to the longest at hand. For each case the file holds, under its number:

- `points` (N, d) as given, of which `log` (d,) says what is logarithmic, and `x` (N, d) as scaled;
- `scores` (N, S) and `picks` (n, 2), the rows and steps that it chose, the first ones at random;
- `fits` (n, 2): the rows and epochs of the fit after each pick;
- `weights` and `running`, its model at the end in our layout, and for it, with all reports and
  with `fewer` of them: `rows`, `mean`, `std` and `gain` of every candidate;
- `losses` and `fitted_weights`, `fitted_running` of a further fit of `EPOCHS` epochs.
"""

import contextlib
import copy
import sys
import tempfile
import warnings

import numpy as np

CASES = (  # N, d, S, reports, logarithmic columns
    (20, 2, 5, 24, (0,)),
    (60, 5, 27, 40, (0, 1)),
    (150, 8, 12, 90, (0, 3, 7)),
)
EPOCHS = 25


def make_case(seed, n, d, steps, log):
    rng = np.random.default_rng(seed)
    unit = rng.random((n, d))
    points = np.where(np.isin(np.arange(d), log), 10.0 ** (4 * unit - 4), 2 * unit - 1)
    height = np.exp(-2 * np.sum((unit - 0.6) ** 2, axis=1))
    speed = 0.1 + unit[:, 0]
    curves = height[:, None] * (1 - np.exp(-speed[:, None] * np.arange(1, steps + 1)))
    curves += 0.02 * np.sin(7 * np.arange(steps) + 40 * unit[:, :1])
    return points, np.clip(curves, 0.0, 1.0)


def weights_of(model):
    """Parameters in our order, a bias before batch normalisation taken into its mean."""
    network, process = model.feature_extractor.state_dict(), model.model.state_dict()
    network = {name: value.numpy() for name, value in network.items()}
    parts = [
        network["fc1.weight"].T,
        network["bn1.weight"],
        network["bn1.bias"],
        network["cnn.0.weight"][:, 0],
        network["cnn.0.bias"],
        network["fc2.weight"].T,
        network["fc2.bias"],
        process["mean_module.raw_constant"],
        process["covar_module.raw_outputscale"],
        process["covar_module.base_kernel.raw_lengthscale"],
        process["likelihood.noise_covar.raw_noise"],
    ]
    running = [network["bn1.running_mean"] - network["fc1.bias"], network["bn1.running_var"]]
    return np.concatenate([np.ravel(part) for part in parts]), np.array(running)


def expectations(search):
    """Of the search as it stands: rows, means, deviations and expected improvements."""
    mean, std, rows, budgets = search._predict()
    gain = [
        search.acq(search.calculate_fidelity_ymax(int(budget)), m, s)
        for m, s, budget in zip(mean, std, budgets, strict=True)
    ]
    return {"rows": np.array(rows), "mean": mean, "std": std, "gain": np.array(gain)}


def record(number, case, hpo_method):
    n, d, steps, reports, log = case
    points, scores = make_case(number, n, d, steps, log)
    wide = steps + 2

    def pad(curves):
        for curve in curves:
            curve.extend([0.0] * (wide - len(curve)))
        return curves

    own = hpo_method.DyHPOAlgorithm.patch_curves_to_same_length
    hpo_method.DyHPOAlgorithm.patch_curves_to_same_length = staticmethod(pad)
    with tempfile.TemporaryDirectory() as scratch:
        search = hpo_method.DyHPOAlgorithm(
            points,
            [column in log for column in range(d)],
            seed=number,
            max_benchmark_epochs=steps,
            total_budget=10**9,
            device="cpu",
            output_path=scratch,
            surrogate_config={
                "nr_layers": 2,
                "nr_initial_features": d,
                "layer1_units": 64,
                "layer2_units": 128,
                "cnn_nr_channels": 4,
                "cnn_kernel_size": 3,
                "batch_size": 64,
                "nr_epochs": 60,
                "nr_patience_epochs": 10,
                "learning_rate": 0.001,
            },
            verbose=False,
        )
        picks, fits = [], []
        for _ in range(reports):
            row, budget = search.suggest()
            steps_before = count_steps(search)
            search.observe(int(row), int(budget), scores[row, :budget].tolist())
            picks.append((int(row), int(budget)))
            fits.append((len(picks), count_steps(search) - steps_before))
        model = search.model
        for module in (model.model, model.feature_extractor):
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.is_floating_point():  # so that the file can hold them
                    tensor.data = tensor.data.float().double()
        weights, running = weights_of(model)
        out = {
            "points": points,
            "log": np.isin(np.arange(d), log),
            "x": search.hp_candidates,
            "scores": scores,
            "picks": np.array(picks),
            "fits": np.array(fits),
            "weights": weights,
            "running": running,
        }
        out.update(expectations(search))
        fewer = copy.copy(search)
        fewer.examples, fewer.performances = {}, {}
        for row, budget in picks[: 3 * reports // 4]:
            fewer.examples[row] = list(range(1, budget + 1))
            fewer.performances[row] = scores[row, :budget].tolist()
        out.update({f"fewer_{key}": value for key, value in expectations(fewer).items()})
        hpo_method.DyHPOAlgorithm.patch_curves_to_same_length = staticmethod(own)
        out.update({f"own_{key}": value for key, value in expectations(search).items()})
        hpo_method.DyHPOAlgorithm.patch_curves_to_same_length = staticmethod(pad)
        losses = []
        likelihood = model.mll
        model.mll = lambda *arguments: losses.append(likelihood(*arguments)) or losses[-1]
        model.refine_epochs, model.restart = EPOCHS, False
        model.train_pipeline(search._prepare_dataset_and_budgets())
        out["losses"] = -np.array([float(loss) for loss in losses])
        out["fitted_weights"], out["fitted_running"] = weights_of(model)
    hpo_method.DyHPOAlgorithm.patch_curves_to_same_length = staticmethod(own)
    return out


def count_steps(search):
    return 0 if search.model is None else search.model.steps_taken


def main(code, out):
    sys.path.insert(0, code)
    warnings.simplefilter("ignore")
    np.single = np.float64  # what the search casts its data to
    import torch

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    import hpo_method

    class Counted(hpo_method.DyHPO):
        """Counts the steps of its optimiser, over all its restarts."""

        steps_taken = 0

        @property
        def optimizer(self):
            return self._optimizer

        @optimizer.setter
        def optimizer(self, value):
            step = value.step

            def counted(*arguments):
                self.steps_taken += 1
                return step(*arguments)

            value.step = counted
            self._optimizer = value

    hpo_method.DyHPO = Counted
    arrays = {}
    with contextlib.redirect_stdout(sys.stderr):
        for number, case in enumerate(CASES):
            for key, value in record(number, case, hpo_method).items():
                value = np.asarray(value)
                if key in ("weights", "running"):
                    assert np.allclose(value, value.astype(np.float32), rtol=1e-7)
                arrays[f"{number}_{key}"] = value
    np.savez_compressed(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
