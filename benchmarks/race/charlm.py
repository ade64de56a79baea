"""Shakespeare's sonnets by character with a small transformer, as a user would write it.

The same data, splits, model, dropout, optimiser and space as the task `charlm`.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Data = dict[str, tuple[Tensor, Tensor]]

SPACE = {  # low, high, logarithmic
    "learning_rate": (1e-5, 1e-1, True),
    "weight_decay": (1e-4, 1.0, True),
    "attention_dropout": (0.01, 0.5, False),
    "residual_dropout": (0.01, 0.5, False),
    "label_smoothing": (0.0, 0.3, False),
    "warmup_scale": (0.1, 10.0, True),
}
MIN_EPOCHS, MAX_EPOCHS = 1, 27
BATCH_SIZE = 2
WIDTH, LAYERS, HEADS, WINDOW = 16, 2, 2, 32
NOISE = LAYERS * (HEADS * WINDOW**2 + 2 * WINDOW * WIDTH)  # numbers per example and step
WARMUP_STEPS = 50.0  # at warmup_scale 1
TEXT = Path(__file__).parents[2] / "src" / "ohgw" / "tasks" / "data" / "sonnets.txt"


def load() -> Data:
    text = TEXT.read_text("ascii")
    code_of = {character: code for code, character in enumerate(sorted(set(text)))}
    codes = torch.tensor([code_of[character] for character in text])
    first, second = int(0.8 * len(codes)), int(0.9 * len(codes))
    data = {}
    for name, part in {
        "train": codes[:first],
        "val": codes[first:second],
        "test": codes[second:],
    }.items():
        count = (len(part) - 1) // WINDOW
        inputs = part[: count * WINDOW].reshape(count, WINDOW)
        targets = part[1 : count * WINDOW + 1].reshape(count, WINDOW)
        data[name] = inputs, targets
    return data


class Block(nn.Module):
    """Pre-norm attention and MLP of a GPT-2-shaped transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.attention = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_in, self.mlp_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        past = torch.ones(WINDOW, WINDOW, dtype=torch.bool).tril()
        self.register_buffer("future", ~past, persistent=False)

    def forward(self, x: Tensor, factors: Iterator[Tensor]) -> Tensor:
        batch, window, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, window, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(width // self.heads)
        weights = scores.masked_fill(self.future, -math.inf).softmax(-1) * next(factors)
        z = (weights @ v).transpose(1, 2).reshape(batch, window, width)
        x = x + self.attention(z) * next(factors)
        x = x + self.mlp_out(F.relu(self.mlp_in(self.norm2(x)))) * next(factors)
        return x


class CharLMNet(nn.Module):
    """The transformer; in training its dropout is Gaussian."""

    def __init__(self, vocabulary: int, attention_dropout: float, residual_dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.position = nn.Parameter(torch.empty(WINDOW, WIDTH))
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.rates = attention_dropout, residual_dropout
        self.initialise()

    def initialise(self) -> None:
        """GPT-2's: N(0, 0.02), projections into the residual stream over sqrt(2 layers)."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" not in name:
                into_residual = name.endswith(("attention.weight", "mlp_out.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS if into_residual else 1))

    def factors(self, batch: int, noise: Tensor | None) -> Iterator[Tensor]:
        """For each block: those of attention weights, then twice those of its residual branches."""
        attention, residual = (
            (math.sqrt(rate / (1 - rate)), (batch, *shape))
            for rate, shape in zip(
                self.rates, ((HEADS, WINDOW, WINDOW), (WINDOW, WIDTH)), strict=True
            )
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


def make_net(hp: Mapping[str, float], data: Data) -> CharLMNet:
    vocabulary = 1 + max(int(part.max()) for pair in data.values() for part in pair)
    return CharLMNet(vocabulary, hp["attention_dropout"], hp["residual_dropout"])


def make_optimizer(net: nn.Module, hp: Mapping[str, float]) -> torch.optim.Optimizer:
    linear = [m.weight for m in net.modules() if isinstance(m, nn.Linear)]
    rest = [p for p in net.parameters() if all(p is not w for w in linear)]
    groups = [
        {"params": linear, "weight_decay": hp["weight_decay"]},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, hp["learning_rate"])


def make_schedule(
    optimizer: torch.optim.Optimizer, hp: Mapping[str, float]
) -> torch.optim.lr_scheduler.LRScheduler | None:
    length = max(hp["warmup_scale"] * WARMUP_STEPS, 1.0)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, (t + 1) / length))
