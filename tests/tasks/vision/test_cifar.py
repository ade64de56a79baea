"""CIFAR: the published network against `nn.Module`, normalisation, subsets and archives."""

import hashlib
import pickle
import tarfile
from io import BytesIO

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import grad, vmap
from torch.nn import functional as F
from torch.testing import assert_close

from ohgw.core.errors import DataError, SettingError
from ohgw.engines.states import final_metrics
from ohgw.tasks import _data, load
from ohgw.tasks.vision._corruptions import CORRUPTIONS
from ohgw.tasks.vision._resnet import ResNet
from ohgw.tasks.vision.cifar10 import Cifar10
from ohgw.tasks.vision.cifar100 import Cifar100
from ohgw.training.feed import initial_parameters


class Block(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.more = stride, outside - inside

    def forward(self, x):
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.avg_pool2d(x, 1, self.stride)  # a window of one: subsampling
            zero = x.new_zeros(len(x), self.more // 2, *x.shape[2:])
            x = torch.cat([zero, x, zero], dim=1)
        return F.relu(x + h)


class Reference(nn.Module):
    """He et al. 2016, section 4.2, with option A."""

    def __init__(self, depth, width):
        super().__init__()
        n = (depth - 2) // 6
        self.conv, self.bn = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        blocks, inside = [], width
        for stage in range(3):
            for block in range(n):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(inside, width << stage, stride))
                inside = width << stage
        self.blocks, self.linear = nn.Sequential(*blocks), nn.Linear(inside, 10)

    def forward(self, x):
        h = self.blocks(F.relu(self.bn(self.conv(x))))
        return self.linear(F.adaptive_avg_pool2d(h, 1).flatten(1))

    def load(self, weights):
        """The task's parameters: convolutions and their normalisation come in order of use."""
        pairs = zip(
            (m for m in self.modules() if isinstance(m, nn.Conv2d)),
            (m for m in self.modules() if isinstance(m, nn.BatchNorm2d)),
            strict=True,
        )
        with torch.no_grad():
            for k, (conv, bn) in enumerate(pairs):
                conv.weight.copy_(weights[f"conv{k}"])
                bn.weight.copy_(weights[f"scale{k}"])
                bn.bias.copy_(weights[f"shift{k}"])
            self.linear.weight.copy_(weights["head"].T)
            self.linear.bias.copy_(weights["bias"])
        return self


@pytest.fixture(scope="module")
def task(load_small):
    return load_small("cifar10")


def drawn(net, seed=0):
    """Parameters away from the initialisation, by name."""
    generator = torch.Generator().manual_seed(seed)
    theta = net.init(generator).double()
    return net.layout.split(theta + 0.1 * torch.randn(len(theta), generator=generator))


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_parameter_counts_are_the_published_ones(depth, millions):
    """He et al. 2016, table 6, for ten classes."""
    count = ResNet(depth).layout.size
    assert count == sum(p.numel() for p in Reference(depth, 16).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize(("depth", "width"), [(8, 4), (20, 16)])
def test_training_pass_equals_the_module(depth, width):
    net = ResNet(depth, width)
    weights = drawn(net)
    x = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    module = Reference(depth, width).double().load(weights).train()
    assert_close(net.logits(weights, x), module(x))


def test_evaluation_equals_the_module_with_precise_statistics():
    """Those of one pass over calibration images, as torch's own update with momentum 1 keeps."""
    net = ResNet(14, 4)
    weights = drawn(net)
    generator = torch.Generator().manual_seed(1)
    seen, x = (torch.randn(n, 3, 32, 32, generator=generator).double() for n in (40, 7))
    module = Reference(14, 4).double().load(weights)
    for bn in module.modules():
        if isinstance(bn, nn.BatchNorm2d):
            bn.momentum = 1.0
    module.train()(seen)
    ours = net.logits(weights, x, net.moments(weights, seen))
    # torch keeps the unbiased variance: the smallest layer has 40 * 8 * 8 values
    assert_close(ours, module.eval()(x), rtol=2e-3, atol=2e-3)
    with torch.no_grad():
        for bn in module.modules():
            if isinstance(bn, nn.BatchNorm2d):
                n = 40 * {4: 1024, 8: 256, 16: 64}[bn.num_features]
                bn.running_var *= (n - 1) / n
    assert_close(ours, module.eval()(x))


def test_evaluation_of_an_image_does_not_depend_on_the_others(task):
    weights = drawn(task.net)
    x = task.data["val"][0]
    few = task.logits(weights, x[:3])
    assert_close(task.logits(weights, x)[:3], few)
    assert_close(task.logits(weights, x[:1].repeat(300, 1, 1, 1))[-1], few[0])  # another chunk


def test_statistics_follow_the_parameters(task):
    """An averaged parameter vector is evaluated with statistics of its own."""
    one, two = (initial_parameters(task, seed) for seed in (0, 1))
    middle = (one + two) / 2
    weights, (x, y) = task.layout.split(middle), task.data["val"]
    several, single = (task.data["train"][0][: n * task.batch_size] for n in (8, 1))
    expected = task.net.logits(weights, x, task.net.moments(weights, several))
    assert_close(task.logits(weights, x), expected)
    assert_close(task.metrics(middle, (x, y))["loss"], F.cross_entropy(expected, y))
    other = task.net.moments(task.layout.split(one), several)
    assert (task.net.logits(weights, x, other) - expected).abs().max() > 1e-3
    look = task.net.logits(weights, x, task.net.moments(weights, single))
    assert_close(task.loss(middle, (x, y)), F.cross_entropy(look, y))
    assert (look - expected).abs().max() > 1e-4


# data


def test_label_noise_and_examples(load_small):
    name = "cifar10:depth=8:width=1:batch_size=8:examples="
    whole, part = load_small(name + "200"), load_small(name + "100")
    assert torch.equal(part.data["train"][1], whole.data["train"][1][:100])
    assert (torch.bincount(part.data["train"][1]) == 10).all()
    assert len(part.data["val"][1]) == 50 and len(whole.data["val"][1]) == 100
    noisy = load_small(name + "200:label_noise=0.5")
    changed = (noisy.data["train"][1] != whole.data["train"][1]).double().mean()
    assert 0.35 < changed < 0.55
    for split in ("val", "test"):
        assert_close(noisy.data[split], whole.data[split], rtol=0, atol=0)
    x = whole.data["train"][0]
    assert_close(x.mean((0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-10)
    assert_close(x.std((0, 2, 3), correction=0), torch.ones(3).double())


def test_corruptions_are_further_splits(load_small):
    name = "cifar10:depth=8:width=1:examples=100:batch_size=8"
    plain, task = load_small(name), load_small(name + ":corruptions=true")
    assert task.data.keys() - plain.data.keys() == CORRUPTIONS.keys()
    for split in plain.data:
        assert_close(task.data[split], plain.data[split], rtol=0, atol=0)
    scores = final_metrics(task, initial_parameters(task, 0))
    for corruption in CORRUPTIONS:
        x, y = task.data[corruption]
        assert len(x) == len(y) == 5 * len(task.data["test"][0])
        assert torch.equal(y[-len(task.data["test"][1]) :], task.data["test"][1])
        expected = task.metrics(initial_parameters(task, 0), (x, y))
        assert scores[f"{corruption}_loss"] == pytest.approx(expected["loss"].item())


@pytest.mark.parametrize(
    "option",
    ["depth=9", "depth=2", "width=0", "examples=0", "examples=2.5", "width=true", "corruptions=2"],
)
def test_an_option_that_cannot_work_is_refused(miniature, option):
    with pytest.raises(SettingError, match=option.partition("=")[0]):
        load(f"cifar10:{option}")


def test_more_examples_than_the_subset_has_need_the_archive(miniature, monkeypatch):
    dead = _data.Remote("absent.tar.gz", "http://127.0.0.1:9/none", "0" * 64, 1.0)
    monkeypatch.setattr(Cifar10, "archive", dead)
    for spec in ("cifar10", "cifar10:examples=301"):
        with pytest.raises(DataError, match=r"cifar10_14k.npz serves up to 300: cifar10:examples"):
            load(spec)


@pytest.mark.parametrize("kind", [Cifar10, Cifar100])
def test_the_official_archive(miniature, tmp_path, monkeypatch, kind):
    """A small one of the same format, found by name and checked."""
    rng = np.random.default_rng(0)
    training, testing = kind.members
    whole, each = {}, {Cifar10: 40, Cifar100: 1500}[kind]
    labels = {Cifar10: b"labels", Cifar100: b"fine_labels"}[kind]
    with tarfile.open(tmp_path / kind.archive.file, "w:gz") as archive:
        for name in (*training, *testing):
            y = rng.permutation(np.arange(200 if name in testing else each) % kind.classes)
            images = rng.integers(0, 256, (len(y), 3, 32, 32), dtype=np.uint8)
            whole[name] = images
            content = pickle.dumps({b"data": images.reshape(len(y), -1), labels: y.tolist()})
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    path = tmp_path / kind.archive.file
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setenv("OHGW_DATA", str(tmp_path))
    with pytest.raises(DataError, match="SHA-256"):
        load(f"{kind.name}:batch_size=8")
    here = _data.Remote(path.name, "http://127.0.0.1:9/none", digest, 0.1)
    monkeypatch.setattr(kind, "archive", here)
    task = load(f"{kind.name}:depth=8:width=1:batch_size=8", dtype=torch.float64)
    assert task.source == path.name
    sizes = {split: len(part[0]) for split, part in task.data.items()}
    read = np.concatenate([whole[name] for name in training])
    held = len(read) // 10
    assert sizes == {"train": len(read) - held, "val": held, "test": 200}
    spread = torch.bincount(task.data["val"][1], minlength=kind.classes)
    assert spread.max() - spread.min() <= 1
    pixels = [torch.cat([task.data["train"][0], task.data["val"][0]]), task.data["test"][0]]
    for ours, theirs in zip(pixels, (read, whole[testing[0]]), strict=True):
        flat = torch.as_tensor(theirs.astype(float)).flatten(1)
        # standardising is affine: each image has its source at correlation 1
        best = [
            torch.corrcoef(torch.stack([image[0].flatten(), *flat[:, :1024]]))[0, 1:].max()
            for image in ours[:5]
        ]
        assert min(best) == pytest.approx(1.0)


def test_vmapped_gradients_equal_single_ones(task):
    """Through fused batch normalisation too."""
    theta = torch.stack([initial_parameters(task, seed) for seed in range(3)])
    batch = tuple(part[: task.batch_size] for part in task.data["train"])
    noise = torch.randn(task.noise_size, generator=torch.Generator().manual_seed(0)).double()
    values = task.space.from_unit([0.5] * task.space.d)
    hp = {name: torch.tensor(value).double() for name, value in values.items()}

    def slope(theta):
        return grad(task.train_loss)(theta, batch, hp, noise)

    together = vmap(slope)(theta)
    for lane, alone in zip(together, theta, strict=True):
        assert_close(lane, slope(alone), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [Cifar10, Cifar100])
def test_real_images(monkeypatch, kind):
    monkeypatch.delenv("OHGW_DATA", raising=False)  # not those made up for the other tests
    if _data.find(kind.subset) is None:
        pytest.skip(f"{kind.subset} is not in {', '.join(map(str, _data.places()))}")
    task = load(f"{kind.name}:depth=8:width=1:examples=10000")
    sizes = {split: len(part[0]) for split, part in task.data.items()}
    assert sizes == {"train": 10_000, "val": 2_000, "test": 2_000}
    assert (torch.bincount(task.data["train"][1]) == 10_000 // kind.classes).all()
