"""One trial of Syne Tune: a training script whose hyperparameters are its arguments."""

import argparse
from pathlib import Path

from syne_tune import Reporter
from training import Training, get_program

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--task")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--st_checkpoint_dir", type=Path)
    options, rest = parser.parse_known_args()
    for name in get_program(options.task).SPACE:
        parser.add_argument(f"--{name}", type=float)
    options = parser.parse_args()
    hp = {name: getattr(options, name) for name in get_program(options.task).SPACE}
    training = Training(options.task, hp, options.seed)
    trial = options.st_checkpoint_dir.parent.name
    report = Reporter()
    for epoch in range(1, options.epochs + 1):
        training.train_to(epoch)
        report(epoch=epoch, loss=training.report(trial))
