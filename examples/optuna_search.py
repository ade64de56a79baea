"""Optuna's TPE under Hyperband, warm-started in one line: the one with `OHGWSampler`."""

import optuna
import torch
from optuna.pruners import HyperbandPruner
from optuna.samplers import TPESampler

from ohgw import Float, ModuleTask, Space, WarmStarter, tasks
from ohgw.integrations.optuna import OHGWSampler

EPOCHS = 9
data = tasks.load("breast-cancer").data
loss = torch.nn.CrossEntropyLoss()


def make_model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))


def objective(trial: optuna.Trial) -> float:
    rate = trial.suggest_float("learning_rate", 1e-4, 1.0, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.95)
    torch.manual_seed(trial.number)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    x, y = data["train"]
    score = float("inf")
    for epoch in range(1, EPOCHS + 1):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            score = float(loss(model(data["val"][0]), data["val"][1]))
        trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return score


space = Space({"learning_rate": Float(1e-4, 1.0, log=True), "momentum": Float(0.0, 0.95)})
task = ModuleTask(make_model, loss, data["train"], data["val"], space, max_resource=EPOCHS)

sampler = OHGWSampler(TPESampler(seed=0), WarmStarter(task, method="guided"))

pruner = HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=3)
study = optuna.create_study(sampler=sampler, pruner=pruner)
study.optimize(objective, n_trials=30)
print(f"best {study.best_value:.4f} at {study.best_params}")
