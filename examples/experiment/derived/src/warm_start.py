"""The method: one hypergradient step on the configuration, from one mini-batch."""

from torch import nn

import ohgw


def warm_start(model: nn.Module, data, configuration: dict, space, cfg: dict, seed: int):
    """The configuration to train instead, and what finding it cost in training steps."""
    found = ohgw.warm_start(
        model,
        nn.CrossEntropyLoss(),
        data["train"],
        configuration,
        space,
        method=f"ohgw:eta={cfg['eta']}",
        batch_size=cfg["batch_size"],
        seed=seed,
    )
    return found.configuration, found.work
