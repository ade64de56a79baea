"""The tasks as users write them: `nn.Module`, `torch.optim`, one configuration at a time.

The yardstick of `population.py`, and the oracle of the tests: models and optimisers are those of
`race/`, of which nothing comes from the tasks' own code. Data, sizes and the parameters to start
from are the task's. Mini-batches are slices of resident tensors, so no loader's overhead is counted
against this side.
"""

from collections.abc import Iterator
from types import ModuleType

import torch
from race import breast_cancer, charlm, digits
from torch import Tensor, nn
from torch.nn import functional as F

from ohgw.core.trial import Configuration
from ohgw.tasks._common import ClassificationTask

PROGRAMS: dict[str, ModuleType] = {
    "digits": digits,
    "breast-cancer": breast_cancer,
    "charlm": charlm,
}

# A tensor's name in the task -> in the module. That of a task's linear layer is transposed.
NAMES: dict[str, dict[str, str]] = {
    "digits": {
        "conv1": "conv1.weight",
        "bias1": "conv1.bias",
        "conv2": "conv2.weight",
        "bias2": "conv2.bias",
        "linear3": "linear3.weight",
        "bias3": "linear3.bias",
        "linear4": "linear4.weight",
        "bias4": "linear4.bias",
    },
    "breast-cancer": {
        "linear1": "linear1.weight",
        "bias1": "linear1.bias",
        "linear2": "linear2.weight",
        "bias2": "linear2.bias",
        "linear3": "linear3.weight",
        "bias3": "linear3.bias",
    },
    "charlm": {
        "embedding": "embedding.weight",
        "position": "position",
        "final_scale": "norm.weight",
        "final_bias": "norm.bias",
    },
}
for layer in range(charlm.LAYERS):
    for ours, theirs in {
        f"norm_scale{2 * layer}": "norm1.weight",
        f"norm_bias{2 * layer}": "norm1.bias",
        f"qkv{layer}": "qkv.weight",
        f"qkv_bias{layer}": "qkv.bias",
        f"attention_out{layer}": "attention.weight",
        f"attention_bias{layer}": "attention.bias",
        f"norm_scale{2 * layer + 1}": "norm2.weight",
        f"norm_bias{2 * layer + 1}": "norm2.bias",
        f"mlp_in{layer}": "mlp_in.weight",
        f"mlp_bias{layer}": "mlp_in.bias",
        f"mlp_out{layer}": "mlp_out.weight",
        f"mlp_out_bias{layer}": "mlp_out.bias",
    }.items():
        NAMES["charlm"][ours] = f"blocks.{layer}.{theirs}"


class Reference:
    """One configuration in training: a module, its `torch.optim` optimiser and its schedule."""

    def __init__(self, task: ClassificationTask, configuration: Configuration, theta: Tensor):
        program = PROGRAMS[task.name]
        self.task, self.names = task, NAMES[task.name]
        self.net = program.make_net(configuration, task.data).to(task.device, task.dtype)
        self.smoothing = configuration["label_smoothing"]
        self.optimizer = program.make_optimizer(self.net, configuration)
        self.schedule = program.make_schedule(self.optimizer, configuration)
        self.load(theta)

    def load(self, theta: Tensor) -> None:
        """Take over the task's flat parameters (N,)."""
        with torch.no_grad():
            for name, value in self.task.parameters(theta).items():
                self._turned(name, self.net.get_parameter(self.names[name])).copy_(value)

    def flat(self, gradients: bool = False) -> Tensor:
        """The module's parameters, or their gradients, as a vector (N,) in the task's order."""
        tensors = []
        for name in self.task.layout.shapes:
            parameter = self.net.get_parameter(self.names[name])
            tensor = parameter.grad if gradients else parameter.detach()
            assert tensor is not None  # every parameter of these models has a gradient
            tensors.append(self._turned(name, tensor).reshape(-1))
        return torch.cat(tensors)

    def _turned(self, name: str, tensor: Tensor) -> Tensor:
        """`nn.Linear` keeps (out, in), the tasks multiply by (in, out)."""
        owner, _, kind = self.names[name].rpartition(".")
        linear = kind == "weight" and isinstance(self.net.get_submodule(owner), nn.Linear)
        return tensor.T if linear else tensor

    def loss(self, x: Tensor, y: Tensor, noise: Tensor | None = None) -> Tensor:
        """Mean cross-entropy; with `noise`, as in training."""
        logits = self.net(x, noise).flatten(0, -2)
        smoothing = 0.0 if noise is None else self.smoothing
        return F.cross_entropy(logits, y.flatten(), label_smoothing=smoothing)

    def step(self, x: Tensor, y: Tensor, noise: Tensor) -> None:
        self.optimizer.zero_grad()
        self.loss(x, y, noise).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()

    def epochs(self) -> Iterator[None]:
        """Train on and on, one step for each `next`."""
        x, y = self.task.data["train"]
        while True:
            order = torch.randperm(len(x), device=x.device)
            for indices in torch.split(order, self.task.batch_size)[: self.task.steps_per_epoch]:
                noise = torch.randn(self.task.noise_size, device=x.device, dtype=self.task.dtype)
                self.step(x[indices], y[indices], noise)
                yield
