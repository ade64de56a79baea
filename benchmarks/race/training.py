"""The training loop that every peer runs: one configuration, epoch by epoch, with checkpoints.

    training = Training("digits", hp, seed)
    training.train_to(epoch)
    loss = training.report(trial)

Runs in the peers' environments: torch and scikit-learn, nothing of ohgw.
"""

import math
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import record
import torch
from torch.nn import functional as F

WORST = 1e3  # what a library is told for a loss that is not finite; all of them order by loss
PROGRAMS = {"digits": "digits", "breast-cancer": "breast_cancer", "charlm": "charlm"}

torch.set_num_threads(1)  # models this small train no faster on two; see README
_loaded: dict[str, Any] = {}


def get_program(task: str) -> ModuleType:
    """Model, data and search space of a task."""
    return import_module(PROGRAMS[task])


class Training:
    """One configuration in training."""

    def __init__(self, task: str, hp: Mapping[str, float], seed: int) -> None:
        self.program = get_program(task)
        if task not in _loaded:
            _loaded[task] = self.program.load()
        self.data = _loaded[task]
        # The same trial whichever process it falls to; hashes of numbers are the same everywhere.
        torch.manual_seed(hash((seed, *hp.values())) % 2**63)
        self.net = self.program.make_net(hp, self.data)
        self.optimizer = self.program.make_optimizer(self.net, hp)
        self.schedule = self.program.make_schedule(self.optimizer, hp)
        self.smoothing = hp["label_smoothing"]
        self.epoch = 0

    def train_to(self, epoch: int) -> None:
        record.training_begins()
        x, y = self.data["train"]
        batch, noise = self.program.BATCH_SIZE, self.program.BATCH_SIZE * self.program.NOISE
        steps = len(x) // batch
        self.net.train()
        while self.epoch < epoch:
            order = torch.randperm(len(x))
            for rows in torch.split(order, batch)[:steps]:
                self.optimizer.zero_grad()
                logits = self.net(x[rows], torch.randn(noise)).flatten(0, -2)
                F.cross_entropy(
                    logits, y[rows].flatten(), label_smoothing=self.smoothing
                ).backward()
                self.optimizer.step()
                if self.schedule is not None:
                    self.schedule.step()
            self.epoch += 1

    def loss(self, split: str) -> float:
        """Mean cross-entropy on the whole split, in nats."""
        x, y = self.data[split]
        self.net.eval()
        with torch.inference_mode():
            return F.cross_entropy(self.net(x).flatten(0, -2), y.flatten()).item()

    def report(self, trial: int | str) -> float:
        """Record the validation loss, and return what to tell the library."""
        loss = self.loss("val")
        record.report(trial, self.epoch, loss, lambda: self.loss("test"))
        return loss if math.isfinite(loss) else WORST

    def save(self, directory: Path) -> None:
        parts = {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.schedule is not None:
            parts["schedule"] = self.schedule.state_dict()
        torch.save({"epoch": self.epoch, **parts}, os.path.join(directory, "checkpoint.pt"))

    def load(self, directory: Path) -> None:
        parts = torch.load(os.path.join(directory, "checkpoint.pt"))
        self.epoch = parts["epoch"]
        self.net.load_state_dict(parts["net"])
        self.optimizer.load_state_dict(parts["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(parts["schedule"])
