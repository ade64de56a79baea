import os

import numpy as np
import pyarrow
import pytest
import torch
from hypothesis import settings

from ohgw.tasks import load

# Examples are timed by the suite as a whole: a busy machine is not a failure.
settings.register_profile("ohgw", deadline=None)
settings.load_profile("ohgw")


@pytest.fixture(autouse=True)
def one_thread():
    """Tests are small: threads would cost more than they save, and change rounding."""
    torch.set_num_threads(1)


# Tasks whose data do not come with the package, at a size for tests.
TINY = {
    "cifar10": "cifar10:depth=8:width=4:examples=160:batch_size=8",
    "wikitext": (
        "wikitext:layers=1:width=8:heads=2:context=16:vocabulary=280:examples=400:batch_size=4"
    ),
}


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """A directory with data made up in the formats of the real ones; `$OHGW_DATA` is set to it."""
    place = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    content = {}
    patterns = rng.integers(20, 236, (10, 2, 2, 3)).repeat(16, 1).repeat(16, 2)
    for split, each in (("train", 30), ("val", 12), ("test", 12)):
        y = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), each))
        noise = rng.integers(-20, 20, (10 * each, 32, 32, 3))
        content |= {f"x_{split}": (patterns[y] + noise).astype(np.uint8), f"y_{split}": y}
    np.savez(place / "cifar10_14k.npz", **content)
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
