"""Optuna: TPE with the Hyperband pruner, in one process or as one of two.

As its documentation has it: an objective that reports after every epoch and asks whether to stop;
one process keeps the study in memory, several share a journal file (its recommendation where there
is no database server) and let the sampler allow for running trials (`constant_liar`).
"""

import sys
from pathlib import Path

import optuna
from training import Training, get_program


def main(task: str, seed: int, scratch: Path, process: int | None = None) -> None:
    program = get_program(task)

    def objective(trial: optuna.Trial) -> float:
        hp = {
            name: trial.suggest_float(name, low, high, log=log)
            for name, (low, high, log) in program.SPACE.items()
        }
        training = Training(task, hp, seed)
        for epoch in range(1, program.MAX_EPOCHS + 1):
            training.train_to(epoch)
            loss = training.report(trial.number)
            trial.report(loss, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return loss

    shared = process is not None
    study = optuna.create_study(
        study_name=f"race-{seed}",  # from which each trial's bracket is drawn
        storage=_journal(scratch) if shared else None,
        load_if_exists=shared,
        sampler=optuna.samplers.TPESampler(seed=2 * seed + (process or 0), constant_liar=shared),
        pruner=optuna.pruners.HyperbandPruner(
            min_resource=program.MIN_EPOCHS,
            max_resource=program.MAX_EPOCHS,
            reduction_factor=3,
        ),
    )
    study.optimize(objective)


def _journal(scratch: Path) -> optuna.storages.JournalStorage:
    backend = optuna.storages.journal.JournalFileBackend(str(scratch / "journal.log"))
    return optuna.storages.JournalStorage(backend)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
