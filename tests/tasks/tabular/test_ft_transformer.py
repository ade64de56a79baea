"""FT-Transformer: published parameter counts, the network against `nn.Module`, dropout, decay."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from ohgw.core.errors import SettingError
from ohgw.tasks import load
from ohgw.tasks.tabular._network import FTTransformer
from ohgw.training.feed import initial_parameters

# What the authors' repository records for its default model (output/*/ft_transformer/default of
# yandex-research/rtdl); 4/3 of the width, written with 15 digits, is rounded down to 255 there.
# Adult: a missing value is a category of its own, and the two classes have one logit.
PUBLISHED = {
    893_179: FTTransformer(8, (), 1, hidden=255),
    913_531: FTTransformer(6, (9, 16, 7, 15, 6, 5, 2, 42), 1, hidden=255),
}


@pytest.mark.parametrize("count", PUBLISHED)
def test_parameter_counts_are_the_published_ones(count):
    assert PUBLISHED[count].layout.size == count


class Block(nn.Module):
    def __init__(self, width, heads, hidden, first):
        super().__init__()
        self.norm = nn.Identity() if first else nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.forward_norm = nn.LayerNorm(width)
        self.inside, self.outside = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)

    def forward(self, h):
        z = self.norm(h)
        h = h + self.attention(z, z, z, need_weights=False)[0]
        value, gate = self.inside(self.forward_norm(h)).chunk(2, dim=-1)
        return h + self.outside(value * F.relu(gate))


class Reference(nn.Module):
    """Gorishniy et al. 2021, sections 3.3 and E, from numbers and codes of categories."""

    def __init__(self, net):
        super().__init__()
        width = net.width
        self.read = nn.Parameter(torch.zeros(width))
        self.weight = nn.Parameter(torch.zeros(net.numbers, width))
        self.bias = nn.Parameter(torch.zeros(net.numbers + len(net.categories), width))
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in net.categories)
        self.blocks = nn.ModuleList(
            Block(width, net.heads, net.hidden, first=k == 0) for k in range(net.layers)
        )
        self.head_norm, self.head = nn.LayerNorm(width), nn.Linear(width, net.outputs)

    def forward(self, numbers, codes):
        tokens = [number[:, None] * row for number, row in zip(numbers.T, self.weight, strict=True)]
        tokens += [table(code) for table, code in zip(self.embeddings, codes.T, strict=True)]
        h = torch.stack([self.read.expand(len(numbers), -1), *tokens], dim=1)
        h = h + torch.cat([torch.zeros_like(self.bias[:1]), self.bias])
        for block in self.blocks:
            h = block(h)
        return self.head(F.relu(self.head_norm(h[:, 0])))

    @torch.no_grad()
    def load(self, w, width):
        def linear(module, name):
            module.weight.copy_(w[name].T)
            module.bias.copy_(w[name.rstrip("0123456789") + "_bias" + name[-1]])

        def norm(module, name):
            module.weight.copy_(w[f"{name[:-1]}_scale{name[-1]}"])
            module.bias.copy_(w[f"{name[:-1]}_shift{name[-1]}"])

        self.read.copy_(w["read"][0])
        self.weight.copy_(w["number"])
        self.bias.copy_(w["token_bias"])
        sizes = [len(table.weight) for table in self.embeddings]
        for table, rows in zip(self.embeddings, w["category"].split(sizes), strict=True):
            table.weight.copy_(rows)
        for k, block in enumerate(self.blocks):
            block.attention.in_proj_weight.copy_(
                torch.cat([w[f"query{k}"], w[f"key_value{k}"]], dim=1).T
            )
            block.attention.in_proj_bias.copy_(
                torch.cat([w[f"query_bias{k}"], w[f"key_value_bias{k}"]])
            )
            linear(block.attention.out_proj, f"attention_out{k}")
            linear(block.inside, f"forward_in{k}")
            linear(block.outside, f"forward_out{k}")
            norm(block.forward_norm, f"forward{k}")
            if k:
                norm(block.norm, f"attention{k}")
        self.head_norm.weight.copy_(w["head_scale"])
        self.head_norm.bias.copy_(w["head_shift"])
        self.head.weight.copy_(w["head"].T)
        self.head.bias.copy_(w["head_bias"])
        return self


@pytest.mark.parametrize("layers", [1, 3])
def test_network_equals_the_module(layers):
    net = FTTransformer(3, (4, 2), outputs=5, width=12, layers=layers, heads=3, hidden=7)
    generator = torch.Generator().manual_seed(0)
    theta = net.init(generator).double()
    w = net.layout.split(theta + 0.1 * torch.randn(len(theta), generator=generator))
    numbers = torch.randn(6, 3, generator=generator).double()
    codes = torch.stack([torch.tensor([0, 1, 2, 3, 3, 0]), torch.tensor([1, 0, 1, 1, 0, 0])], dim=1)
    indicators = [F.one_hot(code, size) for code, size in zip(codes.T, (4, 2), strict=True)]
    x = torch.cat([numbers, *indicators], dim=1)
    module = Reference(net).double().load(w, net.width)
    assert net.layout.size == sum(p.numel() for p in module.parameters())
    assert_close(net.logits(w, x, {}, None), module(numbers, codes))


def test_a_table_of_numbers_alone():
    net = FTTransformer(3, (), outputs=1, width=4, layers=1, heads=2, hidden=5)
    w = net.layout.split(net.init(torch.Generator().manual_seed(0)))
    assert net.logits(w, torch.zeros(6, 3), {}, None).shape == (6, 1)


def test_noise_is_read_to_its_end_and_counts_only_in_proportion_to_the_rates():
    net = FTTransformer(3, (4,), outputs=2, width=4, layers=2, heads=2, hidden=5)
    w = net.layout.split(net.init(torch.Generator().manual_seed(0)).double())
    x = torch.randn(6, 7, generator=torch.Generator().manual_seed(1)).double()
    noise = torch.randn(6 * sum(net.noise), generator=torch.Generator().manual_seed(2)).double()

    def logits(attention, residual, noise=noise):
        rates = {"attention_dropout": attention, "residual_dropout": residual}
        return net.logits(w, x, {k: torch.tensor(v).double() for k, v in rates.items()}, noise)

    assert_close(logits(0.0, 0.0), net.logits(w, x, {}, None))
    assert_close(logits(0.3, 0.3, torch.zeros_like(noise)), net.logits(w, x, {}, None))
    for rates in ((0.3, 0.0), (0.0, 0.3)):
        assert (logits(*rates) - logits(0.0, 0.0)).abs().amax(1).min() > 1e-6
    noise.requires_grad_()
    slopes = torch.autograd.grad(logits(0.3, 0.3).sum(), noise)[0]
    assert (slopes != 0).double().mean() > 0.9


def test_decay_acts_on_the_matrices_of_blocks_and_head(load_small):
    task = load_small("ft-transformer")
    spared = ("read", "number", "category", "token_bias")
    for name, shape in task.layout.shapes.items():
        assert (name in task.net.decayed) == (len(shape) == 2 and name not in spared), name


def test_evaluation_in_parts_is_evaluation(load_small):
    task = load_small("ft-transformer")
    weights = task.layout.split(initial_parameters(task, 0))
    x = task.data["test"][0].repeat(5, 1)
    assert len(x) > 512
    assert_close(task.logits(weights, x), task.net.logits(weights, x, {}, None))


@pytest.mark.parametrize("option", ["heads=5", "layers=0", "width=1.5"])
def test_an_option_that_cannot_work_is_refused(miniature, option):
    with pytest.raises(SettingError, match=option.partition("=")[0]):
        load(f"ft-transformer:{option}")
