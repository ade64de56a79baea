"""NePS: what it chooses itself for a space with a fidelity (Hyperband), as one of two processes.

As its documentation has it: a pipeline that goes on from the checkpoint of its lower rung and
reports at the end of its own; processes share the results directory.
"""

import logging
import random
import sys
from pathlib import Path

import neps
import numpy as np
import torch
from training import Training, get_program


def main(task: str, seed: int, scratch: Path, process: int) -> None:
    program = get_program(task)

    def evaluate_pipeline(
        pipeline_directory: Path,
        previous_pipeline_directory: Path | None,
        epochs: int,
        **hp: float,
    ) -> float:
        state = torch.get_rng_state()  # NePS draws configurations from the global generators
        training = Training(task, hp, seed)
        if previous_pipeline_directory is not None:
            training.load(previous_pipeline_directory)
        training.train_to(epochs)
        training.save(pipeline_directory)
        torch.set_rng_state(state)
        return training.report(pipeline_directory.name.rpartition("_rung_")[0])

    members = {
        name: neps.Float(low, high, log=log) for name, (low, high, log) in program.SPACE.items()
    }
    members["epochs"] = neps.IntegerFidelity(program.MIN_EPOCHS, program.MAX_EPOCHS)
    space = type("Space", (neps.PipelineSpace,), members)
    random.seed(2 * seed + process)
    np.random.seed(2 * seed + process)
    torch.manual_seed(2 * seed + process)
    logging.basicConfig(level=logging.INFO)
    neps.run(evaluate_pipeline, space(), root_directory=scratch / "neps")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
