"""Fashion-MNIST: the network against `nn.Module`, the official files, and the whole in one file."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ohgw.core.errors import DataError, SettingError
from ohgw.tasks import _data, load
from ohgw.tasks.vision import fashion_mnist
from ohgw.training.feed import initial_parameters


@pytest.fixture(scope="module")
def task(load_small):
    return load_small("fashion-mnist")


def test_network_equals_the_module(task):
    module = nn.Sequential(
        nn.Conv2d(1, 2, 5, stride=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(100, 10),
    ).double()
    weights = task.layout.split(initial_parameters(task, 0))
    ours = [weights[name] for name in ("conv1", "bias1", "conv2", "bias2")]
    ours += [weights["linear3"].T, weights["bias3"]]
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), ours, strict=True):
            parameter.copy_(value)
    x = task.data["test"][0].repeat(3, 1, 1, 1)  # more than is evaluated at a time
    assert_close(task.logits(weights, x), module(x))


def test_parameter_counts():
    counts = {width: fashion_mnist.FashionMNIST(width=width).layout.size for width in (8, 32)}
    assert counts == {8: 5_386, 32: 35_338}


def test_splits(load_small):
    """Of all classes alike, disjoint, and the validation images the same for more examples."""
    whole = load_small("fashion-mnist:width=1:batch_size=8")
    sizes = {split: len(part[0]) for split, part in whole.data.items()}
    assert sizes == {"train": 330, "val": 30, "test": 120}
    assert (torch.bincount(whole.data["val"][1]) == 3).all()
    x = torch.cat([whole.data["train"][0], whole.data["val"][0]]).flatten(1)
    assert len(x.unique(dim=0)) == len(x)
    part = load_small("fashion-mnist:width=1:batch_size=8:examples=40")
    assert [len(part.data[split][0]) for split in ("train", "val", "test")] == [40, 20, 120]
    assert torch.equal(part.data["train"][1], whole.data["train"][1][:40])


@pytest.mark.parametrize("option", ["width=0", "width=2.5", "examples=0", "examples=331"])
def test_an_option_that_cannot_work_is_refused(miniature, option):
    with pytest.raises(SettingError, match=option.partition("=")[0]):
        load(f"fashion-mnist:batch_size=8:{option}")


def idx(array):
    """MNIST's format (LeCun): a magic number, sizes, bytes."""
    head = struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes())


def test_the_official_files_are_the_same_images(miniature, tmp_path, monkeypatch, load_small):
    with np.load(miniature / fashion_mnist.WHOLE) as file:
        arrays = [file[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    expected = load_small("fashion-mnist:width=1:batch_size=8")
    assert expected.source == fashion_mnist.WHOLE
    remotes = []
    for remote, array in zip(fashion_mnist.OFFICIAL, arrays, strict=True):
        path = tmp_path / remote.file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(idx(array))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        remotes.append(_data.Remote(remote.file, "http://127.0.0.1:9/none", digest, 0.1))
    monkeypatch.setenv("OHGW_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # away from where the whole file may lie
    with pytest.raises(DataError, match="SHA-256"):
        load("fashion-mnist")
    monkeypatch.setattr(fashion_mnist, "OFFICIAL", remotes)
    found = load("fashion-mnist:width=1:batch_size=8", dtype=torch.float64)
    assert found.source == "fashion-mnist"
    for split, (x, y) in expected.data.items():
        assert torch.equal(found.data[split][0], x) and torch.equal(found.data[split][1], y)


def test_real_images(monkeypatch):
    monkeypatch.delenv("OHGW_DATA", raising=False)  # not those made up for the other tests
    if _data.find(fashion_mnist.WHOLE) is None:
        pytest.skip(f"{fashion_mnist.WHOLE} is not in {', '.join(map(str, _data.places()))}")
    task = load("fashion-mnist:width=1")
    sizes = {split: len(part[0]) for split, part in task.data.items()}
    assert sizes == {"train": 55_000, "val": 5_000, "test": 10_000}
    assert (torch.bincount(task.data["train"][1]) == 5_500).all()
