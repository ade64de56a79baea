"""ImageNet's layouts in miniature: every form of the data, the map, and what is said without it."""

import io
import json
import shutil
import sys
from collections import namedtuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from ohgw.core.errors import DataError, MissingExtraError, SettingError, StorageError
from ohgw.core.spec import read_spec
from ohgw.tasks import load
from ohgw.tasks.vision import _pixels
from ohgw.training.feed import Feed

NET = "imagenet:model=resnet14:width=1:size=32:batch_size=8"
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def folder(miniature):
    return miniature / "imagenet"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty one."""
    monkeypatch.setenv("OHGW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pixels"


def listed(folder, split):
    """Files and labels in the order of the folder."""
    files = sorted((folder / split).glob("*/*.JPEG"))
    kinds = sorted({file.parent.name for file in files})
    return files, [kinds.index(file.parent.name) for file in files]


def assert_same(one, two):
    for split in SPLITS:
        for mine, theirs in zip(one.data[split], two.data[split], strict=True):
            assert torch.equal(mine, theirs)


# forms


def test_the_folder(folder, cache):
    task = load(f"{NET}:data={folder}", dtype=torch.float64)
    assert task.source == str(folder) and task.net.classes == 10
    assert {split: len(task.data[split][0]) for split in SPLITS} == {
        "train": 216,
        "val": 24,
        "test": 40,
    }
    for split in ("train", "test"):  # classes take turns
        assert torch.equal(task.data[split][1][:20], torch.arange(10).repeat(2))
    x = torch.cat([task.data[split][0] for split in SPLITS])
    assert len(torch.unique(x, dim=0)) == len(x)  # none is in two splits
    files, labels = listed(folder, "val")
    for k in (0, 15):  # each image has its own label
        found = _pixels.decoded("", files[k].read_bytes(), 32)
        (where,) = (task.data["test"][0] == torch.as_tensor(found.copy())).all((1, 2, 3)).nonzero()
        assert task.data["test"][1][where] == labels[k]
    standard = task.inputs(task.data["train"][0])
    assert_close(standard.mean((0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-10)
    assert_close(standard.std((0, 2, 3), correction=0), torch.ones(3).double())


def test_images_stay_bytes_in_a_file(folder, cache):
    task = load(f"{NET}:data={folder}")
    images, labels = task.data["train"]
    assert images.dtype == torch.uint8 and labels.dtype == torch.int64
    file = next(path for path in cache.glob("*/images.u8") if path.stat().st_size == images.nbytes)
    with file.open("r+b") as content:  # what is written there is what the task sees
        before = images[0, 0, 0, 0].item()
        content.write(bytes([255 - before]))
    assert images[0, 0, 0, 0] == 255 - before
    x, y = Feed(task).batch(torch.tensor([[3, 1], [0, 2]]))
    assert x.shape == (2, 2, 3, 32, 32) and torch.equal(y, labels[torch.tensor([[3, 1], [0, 2]])])


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
    """The folder's images as Hugging Face keeps them in Parquet, two files for training."""
    place = tmp_path_factory.mktemp("parquet")
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split, name, parts in (("train", "train", 2), ("val", "validation", 1)):
        files, labels = listed(folder, split)
        for k, rows in enumerate(np.array_split(np.arange(len(files)), parts)):
            cells = [{"bytes": files[r].read_bytes(), "path": files[r].name} for r in rows]
            table = pa.table(
                {"image": pa.array(cells, image), "label": pa.array([labels[r] for r in rows])}
            )
            file = place / f"{name}-{k:05d}-of-{parts:05d}.parquet"
            pq.write_table(table, file, row_group_size=50)
    return place


def test_parquet_files_hold_the_same(folder, shards, cache):
    assert_same(load(f"{NET}:data={shards}"), load(f"{NET}:data={folder}"))


def test_data_sets_of_hugging_face_hold_the_same(folder, shards, cache, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="the extra 'huggingface' is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    datasets.disable_progress_bars()
    found = {}
    for split, name in (("train", "train"), ("val", "validation")):
        files, labels = listed(folder, split)
        columns = {"image": list(map(str, files)), "label": labels}
        kinds = datasets.ClassLabel(names=[f"kind {k}" for k in range(10)])
        features = datasets.Features(image=datasets.Image(), label=kinds)
        found[name] = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict(found).save_to_disk(tmp_path / "saved")
    here = load(f"{NET}:data={folder}")
    assert_same(load(f"{NET}:data={tmp_path / 'saved'}"), here)
    assert_same(load(f"{NET}:data=hf:{shards}"), here)  # by name; a path is one, too


def test_a_name_on_the_hub_keeps_its_colon():
    given = read_spec("task", "t:data=hf:OWNER/NAME:size=64", {"t": lambda *, data, size: None})
    assert given == ("t", {"data": "hf:OWNER/NAME", "size": 64})


# decoding


def png(image):
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def test_the_centre_is_cut_out_of_what_needs_no_resizing():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 100, 3), np.uint8)
    found = _pixels.decoded("", png(Image.fromarray(pixels)), 56)
    assert np.array_equal(found, pixels[4:60, 22:78].transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(40, 97), (300, 64), (1, 1)])
@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_any_size_and_mode_becomes_three_channels(shape, mode):
    image = Image.new("RGB", shape, (255, 255, 255)).convert(mode)
    assert (_pixels.decoded("", png(image), 32) == np.full((3, 32, 32), 255)).all()


# the map


def refuse(*_):
    raise AssertionError("decoded")


def test_images_are_decoded_once(folder, cache, monkeypatch, capsys):
    first = load(f"{NET}:data={folder}:label_noise=0.5")
    assert capsys.readouterr().err.count("Decoding") == 3
    monkeypatch.setattr(_pixels, "decoded", refuse)
    again = load(f"{NET}:data={folder}")
    assert capsys.readouterr().err == ""
    assert torch.equal(first.data["train"][0], again.data["train"][0])
    changed = (first.data["train"][1] != again.data["train"][1]).double().mean()
    assert 0.3 < changed < 0.6
    with pytest.raises(AssertionError, match="decoded"):
        load(f"{NET}:data={folder}:examples=100")


def cut_short(found):
    with (found / "images.u8").open("r+b") as file:
        file.truncate(1000)


def without_manifest(found):
    (found / "manifest.json").unlink()


def of_others(found):
    manifest = json.loads((found / "manifest.json").read_text())
    manifest["identity"]["content"] = "another"
    (found / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (cut_short, "is cut short: it is made again."),
        (without_manifest, "is half-written or damaged: it is made again."),
        (of_others, "holds other images than its name says: it is made again."),
    ],
)
def test_a_map_that_does_not_fit_its_manifest_is_made_again(folder, cache, capsys, harm, sentence):
    right = [part.clone() for part in load(f"{NET}:data={folder}").data["test"]]
    for found in cache.iterdir():
        harm(found)
    capsys.readouterr()
    again = load(f"{NET}:data={folder}")
    assert capsys.readouterr().err.count(sentence) == 3
    assert_close(list(again.data["test"]), right)
    assert len(list(cache.iterdir())) == 3


def test_a_map_comes_into_being_whole_or_not_at_all(folder, cache, monkeypatch):
    calls, decoded = [], _pixels.decoded

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 100:
            raise KeyboardInterrupt
        return decoded(*arguments)

    monkeypatch.setattr(_pixels, "decoded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(f"{NET}:data={folder}")
    assert list(cache.iterdir()) == []


def test_a_disk_without_room_is_refused_before_anything_is_decoded(folder, cache, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(_pixels.shutil, "disk_usage", lambda _: usage(0, 0, 10**5))
    monkeypatch.setattr(_pixels, "decoded", refuse)
    with pytest.raises(StorageError, match=r"216 images of 32 x 32 need 0.0 GB.*OHGW_CACHE"):
        load(f"{NET}:data={folder}")


def test_other_files_are_other_images(folder, cache, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert len(load(f"{NET}:data={copy}").data["test"][0]) == 40
    next((copy / "val").glob("*/*.JPEG")).unlink()
    assert len(load(f"{NET}:data={copy}").data["test"][0]) == 39


# what is refused


def test_without_data_it_says_where_to_put_them(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("OHGW_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"No folder 'imagenet' is in .*data=PATH.*data=hf:ILSVRC"):
        load("imagenet")
    with pytest.raises(DataError, match=r"nowhere.* should be a folder with train/CLASS"):
        load(f"imagenet:data={tmp_path / 'nowhere'}")
    with pytest.raises(DataError, match="names no data set"):
        load("imagenet:data=hf:")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: [p.rename(f / "val" / p.name) for p in f.glob("val/*/*")], "has no image"),
        (lambda f: (f / "val/n00000001").rename(f / "val/other"), "of a class that is not in"),
        (lambda f: shutil.rmtree(f / "val") or (f / "val").mkdir(), "no folder for each class"),
        (
            lambda f: (f / "train/n00000001/n00000001_3.JPEG").write_bytes(b"text"),
            "n00000001_3.JPEG cannot be decoded",
        ),
    ],
)
def test_a_folder_that_is_not_as_it_should_be(folder, cache, tmp_path, harm, message):
    copy = shutil.copytree(folder, tmp_path / "copy")
    harm(copy)
    with pytest.raises(DataError, match=message):
        load(f"{NET}:data={copy}")


def test_parquet_files_without_labels(cache, tmp_path):
    for name in ("train", "validation"):
        pq.write_table(pa.table({"picture": [1]}), tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match="a column `label` cannot be read"):
        load(f"{NET}:data={tmp_path}")


def test_parquet_files_without_images(cache, tmp_path):
    for name in ("train", "validation"):
        pq.write_table(pa.table({"label": [0, 1] * 50}), tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match="An image cannot be read: .*image"):
        load(f"{NET}:data={tmp_path}")


def test_hugging_face_needs_its_extra(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"ohgw\[huggingface\]"):
        load("imagenet:data=hf:ILSVRC/imagenet-1k")


def test_a_data_set_that_cannot_be_had(cache, tmp_path):
    pytest.importorskip("datasets", reason="the extra 'huggingface' is not installed")
    with pytest.raises(DataError, match=r"cannot be had from Hugging Face.*data=PATH"):
        load(f"imagenet:data=hf:{tmp_path}")  # an empty folder: no network is asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=0", "size=0"),
        ("examples=217", "has 216 training images beside 24 that validate"),
        ("batch_size=25", "216 images to train with and 24 that validate, and a mini-batch"),
        ("depth=2", "depth=2 of 'imagenet' is not an option of model=resnet50"),
        ("model=vit-ti:size=100", "patch=16 of 'imagenet' does not divide an image of 100"),
        ("width=0", "width=0"),
    ],
)
def test_an_option_that_cannot_work_is_refused(folder, cache, options, message):
    with pytest.raises(SettingError, match=message):
        load(f"imagenet:data={folder}:{options}")
    assert not cache.exists() or not list(cache.iterdir())  # before anything was decoded


def test_a_vision_transformer_is_a_model_of_it(folder, cache):
    task = load(f"imagenet:data={folder}:model=vit-ti:depth=1:size=32:batch_size=8")
    assert (task.net.patch, task.net.tokens, task.net.classes) == (16, 5, 10)
    theta = task.init(torch.Generator().manual_seed(0))
    assert task.metrics(theta, task.data["test"])["loss"] == pytest.approx(np.log(10), rel=0.1)
