"""Syne Tune: ASHA or BOHB on its local backend, two workers.

As its documentation has it: `trial_syne_tune.py` is the training script, of which every trial is a
process. The tuner looks for news ten times a second instead of every five, its default.
"""

import sys
from pathlib import Path

from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import loguniform, uniform
from syne_tune.optimizer.baselines import ASHA, BOHB
from training import get_program

SCHEDULERS = {"asha": ASHA, "bohb": BOHB}


def main(task: str, seed: int, scheduler: str) -> None:
    program = get_program(task)
    space = {
        name: (loguniform if log else uniform)(low, high)
        for name, (low, high, log) in program.SPACE.items()
    }
    tuner = Tuner(
        trial_backend=LocalBackend(str(Path(__file__).with_name("trial_syne_tune.py"))),
        scheduler=SCHEDULERS[scheduler](
            space | {"task": task, "seed": seed, "epochs": program.MAX_EPOCHS},
            metric="loss",
            time_attr="epoch",
            max_t=program.MAX_EPOCHS,
            grace_period=program.MIN_EPOCHS,
            reduction_factor=3,
            random_seed=seed,
        ),
        stop_criterion=StoppingCriterion(max_wallclock_time=24 * 3600),
        n_workers=2,
        sleep_time=0.1,
    )
    tuner.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[4])
