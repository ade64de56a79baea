import os

import numpy as np
import pandas as pd
import pyarrow
import pytest
import torch
from hypothesis import settings
from PIL import Image

from ohgw.tasks import load
from ohgw.tasks.tabular._tables import TABLES

# Examples are timed by the suite as a whole: a busy machine is not a failure.
settings.register_profile("ohgw", deadline=None)
settings.load_profile("ohgw")


@pytest.fixture(autouse=True)
def one_thread():
    """Tests are small: threads would cost more than they save, and change rounding."""
    torch.set_num_threads(1)


# Tasks whose data do not come with the package, at a size for tests.
TINY = {
    "tabular": "tabular:width=8:examples=200:batch_size=8",
    "ft-transformer": "ft-transformer:layers=2:width=4:heads=2:examples=200:batch_size=8",
    "fashion-mnist": "fashion-mnist:width=2:examples=160:batch_size=8",
    "cifar10": "cifar10:depth=8:width=4:examples=160:batch_size=8",
    "cifar100": "cifar100:depth=8:width=4:examples=160:batch_size=8",
    "vit": "cifar10:model=vit-ti:patch=16:depth=2:width=8:heads=2:examples=160:batch_size=8",
    "imagenet": "imagenet:model=resnet14:width=2:size=32:examples=160:batch_size=8",
    "wikitext": (
        "wikitext:layers=1:width=8:heads=2:context=16:vocabulary=280:examples=400:batch_size=4"
    ),
}


def images(path, rng, shape, splits):
    """So many noisy images per class of a pattern for each; `shape` begins with the classes."""
    classes, rows, columns, *channels = shape
    pattern = rng.integers(20, 236, (classes, 2, 2, *channels))
    pattern = pattern.repeat(rows // 2, 1).repeat(columns // 2, 2)
    content = {}
    for split, each in splits.items():
        y = rng.permutation(np.repeat(np.arange(classes, dtype=np.uint8), each))
        noise = rng.integers(-20, 20, (classes * each, *shape[1:]))
        content |= {f"x_{split}": (pattern[y] + noise).astype(np.uint8), f"y_{split}": y}
    np.savez(path, **content)


def photographs(path, rng, classes, splits):
    """A folder as ImageNet is laid out: so many noisy images per class, of several sizes."""
    pattern = rng.integers(20, 236, (classes, 2, 2, 3))
    for split, each in splits.items():
        for label in range(classes):
            folder = path / split / f"n{label:08d}"
            folder.mkdir(parents=True)
            for k in range(each):
                height, width = 48 + 2 * rng.integers(0, 12, 2)
                image = pattern[label].repeat(height // 2, 0).repeat(width // 2, 1)
                image = (image + rng.integers(-20, 20, image.shape)).astype(np.uint8)
                Image.fromarray(image).save(folder / f"{folder.name}_{k}.JPEG", quality=90)


def made_up_table(name, regression, rows=600):
    """Numbers and categories, some missing, and a target that depends on both."""
    rng = np.random.default_rng(len(name))
    numbers = rng.normal(3, [1, 20, 300], (rows, 3))
    colours = rng.choice(["red", "green", "blue"], rows)
    target = numbers[:, 0] - numbers[:, 1] / 20 + 2 * (colours == "red")
    if not regression:
        target = np.where(target > np.median(target), "yes", "no")
    numbers[rng.random((rows, 3)) < 0.05] = np.nan
    frame = pd.DataFrame(numbers, columns=["small", "middle", "large"])
    frame["colour"] = np.where(rng.random(rows) < 0.05, None, colours)
    for column in (*TABLES[name].categorical, *TABLES[name].dropped):
        frame[column] = rng.integers(0, 3, rows)
    return frame.assign(target=target, split=np.resize([0, 1, 0, 2, 0], rows).astype(np.int8))


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """A directory with data made up in the formats of the real ones; `$OHGW_DATA` is set to it."""
    place = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    images(place / "cifar10_14k.npz", rng, (10, 32, 32, 3), {"train": 30, "val": 12, "test": 12})
    # ten of the hundred classes: few images tell them apart
    images(place / "cifar100_14k.npz", rng, (10, 32, 32, 3), {"train": 30, "val": 12, "test": 12})
    images(place / "fashion_mnist.npz", rng, (10, 28, 28), {"train": 36, "test": 12})
    photographs(place / "imagenet", np.random.default_rng(1), 10, {"train": 24, "val": 4})
    for name, source in TABLES.items():
        made_up_table(name, source.regression).to_parquet(place / source.file)
    words = ["".join(rng.choice(list("aeinorst"), rng.integers(1, 8))) for _ in range(200)]
    words += ["Ångström", "日本", ",", ".", "@-@"]
    files = {"wikitext2_raw_train_first1MB": 900, "wikitext_raw_test": 300}
    for file, paragraphs in files.items():
        lines = []
        for k in range(paragraphs):
            if k % 5 == 0:
                lines.append(f" = {rng.choice(words)} {k} = \n")
            lines.append(f" {' '.join(words[n % 205] for n in rng.zipf(1.4, 20))} \n")
        with pyarrow.output_stream(str(place / f"{file}.txt.zst"), compression="zstd") as stream:
            stream.write("".join(lines).encode())
    before = {name: os.environ.get(name) for name in ("OHGW_DATA", "OHGW_CACHE")}
    os.environ |= {"OHGW_DATA": str(place), "OHGW_CACHE": str(place / "cache")}
    yield place
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def load_small(miniature):
    """`load` by name, at a size for tests, or by a spec of one's own."""

    def small(name, dtype=torch.float64):
        if name.startswith("wikitext"):
            pytest.importorskip("tokenizers", reason="the extra 'transformers' is not installed")
        return load(TINY.get(name, name), dtype=dtype)

    return small
