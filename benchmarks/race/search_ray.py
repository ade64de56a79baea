"""Ray Tune: random search under ASHA, a trial on each of two cores.

As its documentation has it: a function that reports after every epoch, which ASHA may stop; actors
are kept for the next trial (`reuse_actors`, recommended where trials are short: a new one has to
load torch again).
"""

import random
import sys
from pathlib import Path

import numpy as np
from ray import tune
from ray.tune.schedulers import ASHAScheduler


def main(task: str, seed: int, scratch: Path) -> None:
    from training import get_program

    program = get_program(task)
    random.seed(seed)
    np.random.seed(seed)

    def train(hp: dict) -> None:
        from training import Training  # Ray's workers find it by PYTHONPATH

        training = Training(task, hp, seed)
        trial = tune.get_context().get_trial_id()
        for epoch in range(1, program.MAX_EPOCHS + 1):
            training.train_to(epoch)
            tune.report({"loss": training.report(trial), "epoch": epoch})

    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={
            name: tune.loguniform(low, high) if log else tune.uniform(low, high)
            for name, (low, high, log) in program.SPACE.items()
        },
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            num_samples=-1,
            reuse_actors=True,
            scheduler=ASHAScheduler(
                time_attr="epoch",
                grace_period=program.MIN_EPOCHS,
                max_t=program.MAX_EPOCHS,
                reduction_factor=3,
            ),
        ),
        run_config=tune.RunConfig(name="race", storage_path=str(scratch)),
    )
    tuner.fit()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
