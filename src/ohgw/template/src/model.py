"""Models of the experiment, by name."""

from torch import nn


def make_model(cfg: dict, inputs: int, classes: int) -> nn.Module:
    """The configured model, freshly initialised from torch's generator."""
    if cfg["name"] == "linear":
        return nn.Linear(inputs, classes)
    if cfg["name"] == "mlp":
        hidden = cfg["hidden"]
        return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    raise ValueError(f"Unknown model {cfg['name']!r}; known: linear, mlp.")
