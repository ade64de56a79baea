"""The method: before its first rung a configuration moves against its own hypergradient."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from src.space import Hyperparameters, Space


def hypergradient(model: nn.Module, configuration: Hyperparameters, first, second) -> np.ndarray:
    """Derivative of the loss on `second` after one SGD step on `first`.

    With respect to log learning rate, log weight decay and label smoothing. The model's weights
    are read, never changed.
    """
    psi = torch.tensor(configuration.vector(), requires_grad=True)
    weights = dict(model.named_parameters())
    logits = model(first[0])
    uniform = -F.log_softmax(logits, dim=1).mean()  # the loss against uniform labels
    loss = (1 - psi[2]) * F.cross_entropy(logits, first[1]) + psi[2] * uniform
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    moved = {
        name: weight - psi[0].exp() * (gradient + psi[1].exp() * weight)
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
    after = F.cross_entropy(functional_call(model, moved, (second[0],)), second[1])
    (result,) = torch.autograd.grad(after, psi)
    return result.numpy().astype(float)


def warm_start(
    model: nn.Module,
    train,
    configuration: Hyperparameters,
    space: Space,
    config: dict[str, Any],
    rng: np.random.Generator,
) -> Hyperparameters:
    """The configuration that the scheduler evaluates instead of the sampled one."""
    x, y = train
    for _ in range(config["steps"]):
        rows = torch.from_numpy(rng.permutation(len(x))[: 2 * config["batch_size"]])
        first, second = rows.split(config["batch_size"])
        batches = (x[first], y[first]), (x[second], y[second])
        gradient = hypergradient(model, configuration, *batches)
        if not np.isfinite(gradient).all():
            break  # this configuration diverges within one step; the scheduler will drop it
        if config["direction"] == "random":
            noise = rng.normal(size=gradient.shape)
            gradient = noise * np.linalg.norm(gradient) / np.linalg.norm(noise)
        elif config["direction"] != "gradient":
            raise ValueError(f"unknown direction {config['direction']!r}")
        moved = np.array(configuration.vector()) - config["eta"] * gradient
        configuration = space.configuration(moved)
    return configuration
