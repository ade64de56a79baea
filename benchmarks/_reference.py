"""The three tasks as users write them: `nn.Module`, `torch.optim`, one configuration at a time.

The yardstick of `population.py`, and the oracle of the tests: nothing here comes from the tasks'
own code except data, sizes and the parameters to start from. Mini-batches are slices of resident
tensors, so no loader's overhead is counted against this side.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ohgw.core.trial import Configuration
from ohgw.tasks import charlm, digits
from ohgw.tasks._common import ClassificationTask
from ohgw.tasks.breast_cancer import MAX_JITTER


class DigitsNet(nn.Module):
    """The CNN; in training its images are shifted, zoomed and changed in contrast."""

    def __init__(self, task: ClassificationTask, configuration: Configuration) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.linear3 = nn.Linear(256, 32)
        self.linear4 = nn.Linear(32, 10)
        self.magnitude: float = configuration["augmentation"]
        self.background = float(task.data["train"][0].min())

    def augment(self, x: Tensor, noise: Tensor) -> Tensor:
        """Affine resampling by torch's own `grid_sample`; what lies outside is background."""
        down, right, zoom, contrast = torch.tanh(noise.reshape(4, -1)).unbind()
        scale = 1 + self.magnitude * digits.MAX_ZOOM * zoom
        shift = self.magnitude * digits.MAX_SHIFT * 2 / (x.shape[-1] - 1)  # the grid is [-1, 1]
        zero = torch.zeros_like(scale)
        affine = torch.stack([scale, zero, shift * right, zero, scale, shift * down], dim=1)
        grid = F.affine_grid(affine.reshape(-1, 2, 3), list(x.shape), align_corners=True)
        moved = F.grid_sample(x - self.background, grid, align_corners=True)
        gain = 1 + self.magnitude * digits.MAX_CONTRAST * contrast
        return moved * gain[:, None, None, None] + self.background

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is not None:
            x = self.augment(x, noise)
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x)).flatten(1)
        logits: Tensor = self.linear4(F.relu(self.linear3(x)))
        return logits


class BreastCancerNet(nn.Module):
    """The MLP; in training its features carry noise."""

    def __init__(self, task: ClassificationTask, configuration: Configuration) -> None:
        super().__init__()
        self.linear1 = nn.Linear(30, 32)
        self.linear2 = nn.Linear(32, 16)
        self.linear3 = nn.Linear(16, 2)
        self.jitter = configuration["augmentation"] * MAX_JITTER

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is not None:
            x = x + self.jitter * noise.reshape(x.shape)
        logits: Tensor = self.linear3(F.relu(self.linear2(F.relu(self.linear1(x)))))
        return logits


class Block(nn.Module):
    """Pre-norm attention and MLP of a GPT-2-shaped transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.attention = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_in, self.mlp_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, factors: Iterator[Tensor]) -> Tensor:
        batch, window, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, window, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(width // self.heads)
        past = torch.ones(window, window, dtype=torch.bool, device=x.device).tril()
        weights = scores.masked_fill(~past, -math.inf).softmax(-1) * next(factors)
        z = (weights @ v).transpose(1, 2).reshape(batch, window, width)
        x = x + self.attention(z) * next(factors)
        x = x + self.mlp_out(F.relu(self.mlp_in(self.norm2(x)))) * next(factors)
        return x


class CharLMNet(nn.Module):
    """The transformer; in training its dropout is Gaussian, as the task's is."""

    def __init__(self, task: ClassificationTask, configuration: Configuration) -> None:
        super().__init__()
        width, heads, window = charlm.WIDTH, charlm.HEADS, charlm.WINDOW
        self.embedding = nn.Embedding(task.layout.shapes["embedding"][0], width)
        self.position = nn.Parameter(torch.zeros(window, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(charlm.LAYERS))
        self.norm = nn.LayerNorm(width)
        self.rates = configuration["attention_dropout"], configuration["residual_dropout"]
        self.shapes = (heads, window, window), (window, width)

    def factors(self, batch: int, noise: Tensor | None) -> Iterator[Tensor]:
        """For each block: those of attention weights, then twice those of its residual branches."""
        attention, residual = (
            (math.sqrt(rate / (1 - rate)), (batch, *shape))
            for rate, shape in zip(self.rates, self.shapes, strict=True)
        )
        first = 0
        for std, shape in (attention, residual, residual) * len(self.blocks):
            if noise is None:
                yield self.position.new_ones(())
            else:
                size = math.prod(shape)
                yield 1 + std * noise[first : first + size].view(shape)
                first += size

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        factors = self.factors(len(x), noise)
        h = self.embedding(x) + self.position
        for block in self.blocks:
            h = block(h, factors)
        logits: Tensor = self.norm(h) @ self.embedding.weight.T
        return logits


NETS: dict[str, Callable[[ClassificationTask, Configuration], nn.Module]] = {
    "digits": DigitsNet,
    "breast-cancer": BreastCancerNet,
    "charlm": CharLMNet,
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
        self.task = task
        self.net = NETS[task.name](task, configuration).to(task.device, task.dtype)
        self.names = NAMES[task.name]
        self.smoothing = configuration["label_smoothing"]
        self.schedule: torch.optim.lr_scheduler.LRScheduler | None = None
        self.optimizer: torch.optim.Optimizer
        lr, decay = configuration["learning_rate"], configuration["weight_decay"]
        if isinstance(self.net, CharLMNet):
            linear = [m.weight for m in self.net.modules() if isinstance(m, nn.Linear)]
            rest = [p for p in self.net.parameters() if all(p is not w for w in linear)]
            groups = [
                {"params": linear, "weight_decay": decay},
                {"params": rest, "weight_decay": 0.0},
            ]
            self.optimizer = torch.optim.AdamW(groups, lr)
            length = max(configuration["warmup_scale"] * charlm.WARMUP_STEPS, 1.0)
            self.schedule = torch.optim.lr_scheduler.LambdaLR(
                self.optimizer, lambda t: min(1.0, (t + 1) / length)
            )
        else:
            self.optimizer = torch.optim.SGD(
                self.net.parameters(), lr, configuration["momentum"], weight_decay=decay
            )
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
