"""Models of the experiment, by name."""

from torch import nn


def make_model(cfg: dict, inputs: int, classes: int) -> nn.Module:
    """The configured model, freshly initialised from torch's generator."""
    name = cfg["name"]
    if name == "linear":
        return nn.Linear(inputs, classes)
    if name == "MODEL_PLACEHOLDER":
        raise NotImplementedError("MODEL_PLACEHOLDER is replaced in the derived experiment.")
    raise ValueError(f"Unknown model {name!r}.")
