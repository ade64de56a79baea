"""Tables: what is learnt from which rows, what is said where there are none, OpenML, the MLP."""

import gzip
import hashlib
import json
from io import BytesIO
from itertools import pairwise
from urllib.error import HTTPError, URLError

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from ohgw.core.errors import DataError, SettingError, UnknownNameError
from ohgw.tasks import _data, load
from ohgw.tasks.tabular import _tables
from ohgw.tasks.tabular._tables import TABLES, read_table
from ohgw.training.feed import initial_parameters

SMALL = "width=8:batch_size=8"


def write(place, frame, name="magic"):
    """A named table with these rows."""
    place.mkdir(exist_ok=True)
    _tables._parquet.cache_clear()
    frame.to_parquet(place / TABLES[name].file)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty directory where data are looked for, and nowhere else."""
    monkeypatch.setenv("OHGW_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OHGW_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


# encoding


def test_what_is_learnt_is_learnt_from_training_rows(place):
    """Another held-out part of the table changes neither training rows nor standards."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(3, 2, 100), "b": rng.choice(["x", "y"], 100)})
    frame = frame.assign(
        target=rng.choice(["p", "q"], 100), split=np.repeat([0, 1, 2], [60, 20, 20])
    )
    write(place, frame)
    whole = read_table("magic", None)
    held = frame["split"] > 0
    frame.loc[held, "a"] += 100
    frame.loc[held, "b"] = "z"
    write(place, frame)
    other = read_table("magic", None)
    for one, two in zip(whole.splits["train"], other.splits["train"], strict=True):
        np.testing.assert_array_equal(one, two)
    difference = other.splits["val"][0][:, 0] - whole.splits["val"][0][:, 0]
    np.testing.assert_allclose(difference, 100 / frame["a"][~held].std(ddof=0))
    assert (other.splits["test"][0][:, 1:] == 0).all()  # a category never seen in training
    x = whole.splits["train"][0]
    np.testing.assert_allclose([x[:, 0].mean(), x[:, 0].std()], [0, 1], atol=1e-12)
    assert (x[:, 1:].sum(1) == 1).all()
    np.testing.assert_allclose(whole.deviation, x.std(0))


def test_missing_values(place):
    frame = pd.DataFrame(
        {
            "number": [1.0, np.nan, 3.0, 8.0, np.nan],
            "empty": np.nan,
            "constant": 4.0,
            "category": ["x", None, "y", "x", None],
            "target": ["p", "q", "p", "q", "p"],
            "split": [0, 0, 0, 1, 2],
        }
    )
    write(place, frame)
    table = read_table("magic", None)
    assert (table.numbers, table.categories, table.classes) == (3, (2,), ("p", "q"))
    assert table.splits["train"][0].tolist() == [
        [-1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],  # the mean, and no category
        [1, 0, 0, 0, 1],
    ]
    assert table.splits["val"][0].tolist() == [[6, 0, 0, 1, 0]]
    assert table.splits["train"][1].tolist() == [0, 1, 0]


def test_rare_categories_count_as_unseen(place, monkeypatch):
    monkeypatch.setattr(_tables, "MAX_CATEGORIES", 2)
    frame = pd.DataFrame({"c": ["x", "y", "y", "z", "z", "z"], "target": [0, 1] * 3, "split": 0})
    write(place, frame)
    table = read_table("magic", None)
    assert table.splits["train"][0].tolist() == [[0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]


def test_a_number_to_predict_is_standardised_and_scored_in_its_unit(miniature):
    task = load(f"tabular:data=california-housing:{SMALL}", dtype=torch.float64)
    frame = pd.read_parquet(miniature / TABLES["california-housing"].file)
    train, test = (frame["target"][frame["split"] == k].to_numpy() for k in (0, 2))
    y = task.data["train"][1]
    assert_close(y.mean(), torch.zeros_like(y[0]), rtol=0, atol=1e-12)
    assert_close(y.std(correction=0), torch.ones_like(y[0]))
    theta = initial_parameters(task, 0)
    found = task.logits(task.layout.split(theta), task.data["test"][0]).squeeze(-1)
    ours = found.numpy() * train.std() + train.mean()
    metrics = task.metrics(theta, task.data["test"])
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.mean((ours - test) ** 2)))
    assert metrics["loss"] == F.mse_loss(found, task.data["test"][1])
    assert task.loss(theta, task.data["test"]) == metrics["loss"]


def test_smoothing_moves_a_number_towards_its_mean(miniature):
    task = load(f"tabular:data=california-housing:{SMALL}", dtype=torch.float64)
    theta, batch = initial_parameters(task, 0), tuple(part[:8] for part in task.data["train"])
    hp = {"augmentation": torch.tensor(0.0), "label_smoothing": torch.tensor(0.25)}
    found = task.logits(task.layout.split(theta), batch[0]).squeeze(-1)
    noise = torch.zeros(task.noise_size).double()
    expected = F.mse_loss(found, 0.75 * batch[1])
    assert_close(task.train_loss(theta, batch, hp, noise), expected)


def test_examples_are_training_rows(miniature):
    whole, part = (load(f"tabular:{SMALL}{more}") for more in ("", ":examples=100"))
    assert [len(part.data[split][0]) for split in ("train", "val", "test")] == [100, 50, 120]
    assert [len(whole.data[split][0]) for split in ("train", "val", "test")] == [360, 120, 120]
    assert len(part.data["train"][0].unique(dim=0)) == 100
    x = part.data["train"][0][:, : part.table.numbers]
    assert_close(x.mean(0), torch.zeros_like(x[0]), rtol=0, atol=1e-6)  # of these rows alone


def test_columns_that_are_said_to_be_categories_or_no_features(miniature):
    credit, bank = (
        load(f"tabular:data={name}:{SMALL}") for name in ("credit-default", "bank-marketing")
    )
    assert (credit.table.numbers, credit.table.categories) == (3, (3, 3, 3, 3))
    assert (bank.table.numbers, bank.table.categories) == (3, (3,))


# the model


def test_network_equals_the_module(miniature):
    task = load("tabular:layers=3:width=8:batch_size=8", dtype=torch.float64)
    columns = task.data["train"][0].shape[1]
    sizes = [columns, 8, 8, 8, 2]
    linear = [nn.Linear(*pair) for pair in pairwise(sizes)]
    module = nn.Sequential(
        linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2], nn.ReLU(), linear[3]
    ).double()
    weights = task.layout.split(initial_parameters(task, 0))
    with torch.no_grad():
        for k, layer in enumerate(linear):
            layer.weight.copy_(weights[f"linear{k}"].T)
            layer.bias.copy_(weights[f"bias{k}"])
    x, y = task.data["test"]
    assert_close(task.logits(weights, x), module(x))
    loss = task.metrics(initial_parameters(task, 0), (x, y))["loss"]
    assert_close(loss, F.cross_entropy(module(x), y))


def test_noise_is_in_proportion_to_a_columns_deviation(miniature):
    task = load("tabular:width=2:batch_size=8", dtype=torch.float64)
    x = task.data["train"][0][:1].repeat(20_000, 1)
    noise = torch.randn(x.numel(), generator=torch.Generator().manual_seed(0)).double()
    moved = task.augment(x, {"augmentation": torch.tensor(0.6).double()}, noise)
    expected = 0.6 * 0.5 * torch.as_tensor(task.table.deviation)
    assert_close((moved - x).std(0), expected, rtol=0.02, atol=0)


# where tables come from


def test_a_table_that_is_not_there_names_the_places_and_openml(place):
    with pytest.raises(DataError) as caught:
        load("tabular:data=letter")
    message = str(caught.value)
    assert "letter.parquet is not in" in message and "data=6" in message
    assert all(str(where) in message for where in _data.places())


def test_a_file_that_is_no_table(place):
    place.mkdir()
    (place / "magic.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="magic.parquet cannot be read"):
        load("tabular:data=magic")
    write(place, pd.DataFrame({"a": [1.0], "target": [0]}))
    with pytest.raises(DataError, match="split"):
        load("tabular:data=magic")


@pytest.mark.parametrize(
    ("option", "kind", "message"),
    [
        ("data=magik", UnknownNameError, "Did you mean 'magic'"),
        ("data=0", SettingError, "openml.org"),
        ("data=1.5", SettingError, "openml.org"),
        ("data=true", SettingError, "openml.org"),
        ("examples=361", SettingError, "360"),
        ("examples=0", SettingError, "examples"),
        ("width=0", SettingError, "width"),
        ("layers=none", SettingError, "layers"),
        ("examples=20", SettingError, "mini-batch"),
    ],
)
def test_an_option_that_cannot_work_is_refused(miniature, option, kind, message):
    with pytest.raises(kind, match=message):
        load(f"tabular:{option}")


def arff():
    """A small table in OpenML's format, with a category, a missing value, and an id."""
    rng = np.random.default_rng(0)
    head = "@RELATION small\n@ATTRIBUTE id INTEGER\n@ATTRIBUTE size REAL\n"
    head += "@ATTRIBUTE colour {red,blue}\n@ATTRIBUTE class {no,yes}\n@DATA\n"
    rows = [
        f"{k},{rng.normal():.3f},{'?' if k == 7 else rng.choice(['red', 'blue'])},"
        f"{rng.choice(['no', 'yes'])}"
        for k in range(50)
    ]
    return (head + "\n".join(rows) + "\n").encode()


def answers(number, target="class"):
    """What openml.org answers about a data set, by the end of the address."""
    content = arff()
    kinds = {"id": "numeric", "size": "numeric", "colour": "nominal", "class": "nominal"}
    features = [
        {
            "index": str(k),
            "name": name,
            "data_type": kind,
            "is_target": str(name == target).lower(),
            "is_ignore": "false",
            "is_row_identifier": str(name == "id").lower(),
            "number_of_missing_values": "0",
        }
        for k, (name, kind) in enumerate(kinds.items())
    ]
    description = {
        "id": str(number),
        "name": "small",
        "version": "1",
        "status": "active",
        "format": "ARFF",
        "description": "made up",
        "url": f"https://www.openml.org/data/v1/download/{number}/small.arff",
        "md5_checksum": hashlib.md5(content).hexdigest(),
    }
    return {
        f"data/{number}": json.dumps({"data_set_description": description}).encode(),
        f"data/features/{number}": json.dumps({"data_features": {"feature": features}}).encode(),
        f"data/qualities/{number}": json.dumps({"data_qualities": {"quality": []}}).encode(),
        f"download/{number}/small.arff": content,
    }


@pytest.fixture
def openml(monkeypatch, place):
    """A stand-in for openml.org: the addresses it was asked for, and what it answers."""
    asked, known = [], {}

    class Response(BytesIO):
        def info(self):
            return {"Content-Encoding": "gzip"}

    def urlopen(request, *_, **__):
        asked.append(request.full_url)
        if known is None or not known:
            raise URLError("no network")
        for end, content in known.items():
            if request.full_url.endswith(end):
                return Response(gzip.compress(content))
        raise HTTPError(request.full_url, 412, "unknown", None, None)

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", urlopen)
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda _: None)
    _tables._openml.cache_clear()
    return asked, known


def test_openml_is_asked_once(openml):
    asked, known = openml
    known |= answers(99)
    task = load("tabular:data=99:width=2:batch_size=8", dtype=torch.float64)
    assert task.source == "small, 99 of openml.org"
    assert [len(task.data[split][0]) for split in ("train", "val", "test")] == [30, 10, 10]
    assert (task.table.numbers, task.table.categories) == (1, (2,))  # the id is no feature
    for split in task.data:  # three, one and one of five neighbours in the target
        ours, training = (task.data[k][1].double().mean().item() for k in (split, "train"))
        assert ours == pytest.approx(training, abs=0.11)
    known.clear()
    asked.clear()
    _tables._openml.cache_clear()
    again = load("tabular:data=99:width=2:batch_size=8", dtype=torch.float64)
    assert asked == [] and torch.equal(again.data["val"][0], task.data["val"][0])


def test_openml_with_a_number_to_predict(openml):
    openml[1].update(answers(98, target="size"))
    task = load("tabular:data=98:width=2:batch_size=8")
    assert task.outputs == 1 and task.table.categories == (2, 2)


def test_openml_out_of_reach(openml):
    with pytest.raises(DataError, match=r"97 of openml.org is not in .*cache.*no network.*copy"):
        load("tabular:data=97")
    openml[1].update(answers(99))
    with pytest.raises(DataError, match=r"96 not found"):
        load("tabular:data=96")
    openml[1].update(answers(95, target="none"))
    with pytest.raises(DataError, match="no single column"):
        load("tabular:data=95")


def test_real_tables(monkeypatch):
    monkeypatch.delenv("OHGW_DATA", raising=False)  # not those made up for the other tests
    published = {"letter": (16, 26), "magic": (10, 2), "adult": (105, 2), "covertype": (54, 7)}
    for name, (columns, classes) in published.items():
        if _data.find(TABLES[name].file) is None:
            pytest.skip(f"{TABLES[name].file} is not in {', '.join(map(str, _data.places()))}")
        table = read_table(name, None)
        assert table.splits["train"][0].shape[1] == columns and len(table.classes) == classes
