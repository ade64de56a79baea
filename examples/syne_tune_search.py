"""Syne Tune's ASHA on its local backend, warm-started in one line: the one with `OHGWScheduler`.

This file is also the training script that the backend starts for every trial; what only the search
needs is imported there, so that trials start faster.
"""

import argparse

import torch
from syne_tune import Reporter

from ohgw import tasks

data = tasks.load("breast-cancer").data
loss = torch.nn.CrossEntropyLoss()


def make_model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))


def train(learning_rate: float, momentum: float, epochs: int) -> None:
    torch.manual_seed(0)
    model, report = make_model(), Reporter()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum)
    x, y = data["train"]
    for epoch in range(1, epochs + 1):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            score = loss(model(data["val"][0]), data["val"][1])
        report(epoch=epoch, loss=float(score), trained_at=learning_rate)


def tune() -> None:
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend import LocalBackend
    from syne_tune.config_space import loguniform, uniform
    from syne_tune.optimizer.baselines import ASHA

    from ohgw import Float, ModuleTask, Space, WarmStarter
    from ohgw.integrations.syne_tune import OHGWScheduler

    space = {"learning_rate": loguniform(1e-4, 1.0), "momentum": uniform(0.0, 0.95), "epochs": 9}
    scheduler = ASHA(space, metric="loss", time_attr="epoch", max_t=9, random_seed=0)

    bounds = {"learning_rate": Float(1e-4, 1.0, log=True), "momentum": Float(0.0, 0.95)}
    task = ModuleTask(make_model, loss, data["train"], data["val"], Space(bounds), max_resource=9)
    scheduler = OHGWScheduler(scheduler, WarmStarter(task, method="guided"))

    tuner = Tuner(
        trial_backend=LocalBackend(__file__),
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_num_trials_finished=5),
        n_workers=2,
        sleep_time=0.1,
    )
    tuner.run()
    for trial, found in scheduler.warm_starts.items():
        rate = found.configuration["learning_rate"]
        print(f"trial {trial}: {found.proposed['learning_rate']:.2g} -> {rate!r}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning_rate", type=float)
    parser.add_argument("--momentum", type=float)
    parser.add_argument("--epochs", type=int)
    options, _ = parser.parse_known_args()  # Syne Tune adds its own
    if options.epochs:
        train(options.learning_rate, options.momentum, options.epochs)
    else:
        tune()
