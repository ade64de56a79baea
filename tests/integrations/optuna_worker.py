"""One process of a distributed study on real data."""

import json

import optuna
import torch
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from ohgw import Float, ModuleTask, Space, WarmStarter, tasks
from ohgw.integrations.optuna import OHGWSampler

SPACE = Space({"learning_rate": Float(1e-4, 1.0, log=True), "momentum": Float(0.0, 0.95)})


def open_storage(url):
    return RDBStorage(url) if "://" in url else JournalStorage(JournalFileBackend(url))


def search(url, seed, trials, barrier):
    """So many trials of the study, once all processes are there."""
    torch.set_num_threads(1)
    data = tasks.load("breast-cancer").data
    net = torch.nn.Linear(30, 2)
    loss = torch.nn.CrossEntropyLoss()
    task = ModuleTask(net, loss, data["train"], data["val"], SPACE, max_resource=27)

    def objective(trial):
        rate = trial.suggest_float("learning_rate", 1e-4, 1.0, log=True)
        momentum = trial.suggest_float("momentum", 0.0, 0.95)
        trial.set_user_attr("trained at", json.dumps(trial.params))
        trial.set_user_attr("worker", seed)
        model = torch.nn.Linear(30, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
        for x, y in zip(*(part.split(32) for part in data["train"]), strict=True):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            return float(loss(model(data["val"][0]), data["val"][1]))

    sampler = OHGWSampler(RandomSampler(seed=seed), WarmStarter(task, method="guided"))
    study = optuna.load_study(study_name="shared", storage=open_storage(url), sampler=sampler)
    barrier.wait(timeout=120)
    study.optimize(objective, n_trials=trials)
