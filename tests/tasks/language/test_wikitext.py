"""WikiText: GPT-2's shape against torch's own layers, tokens, words, splits, metrics."""

import hashlib
import math
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional as F
from torch.testing import assert_close

from ohgw.core.errors import DataError, MissingExtraError, SettingError
from ohgw.engines.states import final_metrics, score
from ohgw.tasks import _attention, _data, load
from ohgw.tasks.language import _text, _tokens, _transformer, wikitext
from ohgw.tasks.language._transformer import Transformer
from ohgw.training.dynamics import decode
from ohgw.training.feed import initial_parameters
from ohgw.training.optimizers import AdamW

GPT2_SMALL = Transformer(50_257, 768, 12, 12, 1024, "gelu")


def tokens_needed():
    pytest.importorskip("tokenizers", reason="the extra 'transformers' is not installed")


SMALL = "wikitext:layers=1:width=8:heads=2:context=16:vocabulary=280:examples=400"


@pytest.fixture(scope="module")
def task(load_small):
    return load_small("wikitext")


class Reference(nn.Module):
    """GPT-2 (Radford et al. 2019) out of torch's layers; dropout is a function of factors."""

    def __init__(self, net):
        super().__init__()
        self.embedding = nn.Embedding(net.vocabulary, net.width)
        self.position = nn.Embedding(net.context, net.width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                net.width,
                net.heads,
                4 * net.width,
                dropout=0.0,
                activation=nn.GELU(approximate="tanh"),
                batch_first=True,
                norm_first=True,
            )
            for _ in range(net.layers)
        )
        self.norm = nn.LayerNorm(net.width)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=torch.float64)
        h = self.embedding(x) + self.position.weight
        for layer in self.layers:
            h = layer(h, src_mask=mask)
        return self.norm(h) @ self.embedding.weight.T

    def load(self, w):
        names = {
            "norm1.weight": "norm_scale{even}",
            "norm1.bias": "norm_bias{even}",
            "self_attn.in_proj_weight": "qkv{k}",
            "self_attn.in_proj_bias": "qkv_bias{k}",
            "self_attn.out_proj.weight": "attention_out{k}",
            "self_attn.out_proj.bias": "attention_bias{k}",
            "norm2.weight": "norm_scale{odd}",
            "norm2.bias": "norm_bias{odd}",
            "linear1.weight": "mlp_in{k}",
            "linear1.bias": "mlp_bias{k}",
            "linear2.weight": "mlp_out{k}",
            "linear2.bias": "mlp_out_bias{k}",
        }
        with torch.no_grad():
            self.embedding.weight.copy_(w["embedding"])
            self.position.weight.copy_(w["position"])
            self.norm.weight.copy_(w["final_scale"])
            self.norm.bias.copy_(w["final_bias"])
            for k, layer in enumerate(self.layers):
                parameters = dict(layer.named_parameters())
                assert parameters.keys() == names.keys()
                for theirs, ours in names.items():
                    value = w[ours.format(k=k, even=2 * k, odd=2 * k + 1)]
                    parameters[theirs].copy_(value.T if value.ndim == 2 else value)
        return self


def test_the_parameter_count_is_the_published_one():
    assert GPT2_SMALL.layout.size == 124_439_808
    defaults = wikitext.WikiText()
    assert defaults.net == GPT2_SMALL
    assert defaults.noise_size == _transformer.MAX_NOISE


@pytest.mark.parametrize("layers", [1, 3])
def test_logits_equal_torch_layers(layers):
    net = Transformer(37, 12, layers, 3, 9, "gelu")
    generator = torch.Generator().manual_seed(layers)
    theta = net.init(generator).double()
    weights = net.layout.split(theta + 0.2 * torch.randn(len(theta), generator=generator))
    x = torch.randint(37, (4, 9), generator=generator)
    future = torch.full((9, 9), -torch.inf, dtype=torch.float64).triu(1)
    module = Reference(net).double().load(weights)
    assert sum(p.numel() for p in module.parameters()) == net.layout.size
    assert_close(net.logits(weights, x, future, {}, None), module(x))


def test_logits_equal_those_of_hugging_face():
    transformers = pytest.importorskip("transformers")
    net = Transformer(31, 12, 2, 3, 8, "gelu")
    config = transformers.GPT2Config(
        vocab_size=31, n_positions=8, n_embd=12, n_layer=2, n_head=3, attn_implementation="eager"
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).double().eval()
    theirs = {
        name: value + 0.2 * torch.randn_like(value) for name, value in model.state_dict().items()
    }
    theirs["lm_head.weight"] = theirs["transformer.wte.weight"]  # tied
    model.load_state_dict(theirs)
    names = {
        "embedding": "wte.weight",
        "position": "wpe.weight",
        "final_scale": "ln_f.weight",
        "final_bias": "ln_f.bias",
    }
    for k in range(2):
        ours = ("qkv{0}", "qkv_bias{0}", "attention_out{0}", "attention_bias{0}", "mlp_in{0}")
        ours += ("mlp_bias{0}", "mlp_out{0}", "mlp_out_bias{0}")
        parts = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
        both = [f"h.{k}.{part}.{kind}" for part in parts for kind in ("weight", "bias")]
        names |= {one.format(k): other for one, other in zip(ours, both, strict=True)}
        for j in (0, 1):
            names[f"norm_scale{2 * k + j}"] = f"h.{k}.ln_{j + 1}.weight"
            names[f"norm_bias{2 * k + j}"] = f"h.{k}.ln_{j + 1}.bias"
    assert names.keys() == net.layout.shapes.keys()
    weights = {one: theirs[f"transformer.{other}"] for one, other in names.items()}
    x = torch.randint(31, (3, 8))
    future = torch.full((8, 8), -torch.inf, dtype=torch.float64).triu(1)
    with torch.no_grad():
        assert_close(net.logits(weights, x, future, {}, None), model(x).logits)


def test_noise_that_is_too_long_repeats(task, monkeypatch):
    """Every number is used, in its place, and the training loss stays a function of the rates."""
    noise = torch.arange(7.0)
    pieces = list(_attention.pieces(noise, [3, 9, 2, 7]))
    assert torch.equal(torch.cat(pieces), torch.arange(21.0) % 7)
    assert [len(piece) for piece in pieces] == [3, 9, 2, 7]
    batch = tuple(part[: task.batch_size] for part in task.data["train"])
    long = torch.randn(task.noise_size, generator=torch.Generator().manual_seed(0)).double()
    hp = decode(
        task.space,
        torch.as_tensor(task.space.to_natural(task.space.from_unit([0.5] * task.space.d))),
    )
    theta = initial_parameters(task, 0)
    short = long[:101]
    repeated = short.repeat(math.ceil(len(long) / 101))[: len(long)]
    assert_close(
        task.train_loss(theta, batch, hp, short), task.train_loss(theta, batch, hp, repeated)
    )
    lanes = torch.stack([short, short.flip(0)])
    together = vmap(lambda each: task.train_loss(theta, batch, hp, each))(lanes)
    assert_close(together[1], task.train_loss(theta, batch, hp, lanes[1]))
    assert together[0] != together[1]


def test_learning_rate_follows_a_cosine():
    theta = torch.ones(1, dtype=torch.float64)
    hp = {"learning_rate": torch.tensor(0.1).double(), "weight_decay": torch.tensor(0.5).double()}
    optimizer = AdamW(cosine_steps=40.0)
    for t in (0, 10, 30, 40, 55):  # without a gradient only decay moves the weight
        after, _ = optimizer.update(theta, optimizer.init(theta), 0 * theta, torch.tensor(t), hp)
        rate = 0.1 * (1 + math.cos(math.pi * min(1, t / 40))) / 2
        assert_close(after, theta * (1 - 0.5 * rate))


def test_the_schedule_spans_a_whole_training(task):
    steps = task.max_resource * task.steps_per_epoch
    assert task.optimizer._cosine_steps == steps
    assert task.optimizer.warmup_steps == pytest.approx(0.01 * steps)


# tokens and words


TEXT = " = A headline = \n Two words , 日本 ! \n \n it 's  here \n"


@pytest.fixture(scope="module")
def learnt(miniature):
    tokens_needed()
    return _tokens.tokenizer(270, _text.read("wikitext-103", 10**6).train)


def test_tokens_give_the_text_back(learnt):
    tokens, words = _tokens.encode(learnt, TEXT)
    learnt.decoder = sys.modules["tokenizers"].decoders.ByteLevel()
    assert learnt.decode(tokens.tolist(), skip_special_tokens=False) == TEXT
    assert words.sum() == len(TEXT.split()) + TEXT.count("\n")
    assert len(tokens) == len(words)


def test_blocks_change_nothing(learnt, monkeypatch):
    whole = _tokens.encode(learnt, TEXT * 5)
    monkeypatch.setattr(_tokens, "BLOCK", 4)
    for one, two in zip(whole, _tokens.encode(learnt, TEXT * 5), strict=True):
        assert one.tolist() == two.tolist()


@pytest.mark.parametrize(("kind", "vocabulary"), [("bpe", 300), ("unigram", 110), ("word", 150)])
def test_words_are_counted_alike_whatever_the_tokens(miniature, kind, vocabulary):
    """So that two vocabularies' perplexities by word are about the same unit."""
    text = _data.read_zst(miniature / _text.EXCERPT).decode()
    learnt = _tokens.tokenizer(vocabulary, text, kind)
    hard = text[:4000].rpartition("\n")[0] + "\n na\u00efve \u2014 \u4e2d\u6587 caf\u00e9 \n\n"
    codes, words = _tokens.encode(learnt, hard)
    assert len(codes) == len(words) and codes.max() < learnt.get_vocab_size()
    assert words.sum() == len(hard.split()) + hard.count("\n")
    assert words.min() >= 0
    if kind == "word":
        assert (words == 1).all()  # each token is a word, or the line's end
    begins, lines = _tokens.words(learnt)
    assert begins.any() and lines.sum() >= 1 and not (begins & lines).any()


def test_a_token_budget_is_a_number_of_windows(load_small):
    assert load_small(f"{SMALL}:batch_tokens=64").batch_size == 4
    with pytest.raises(SettingError, match="say the same thing twice"):
        load_small(f"{SMALL}:batch_tokens=64:batch_size=4")
    with pytest.raises(SettingError, match="less than a window of context=16"):
        load_small(f"{SMALL}:batch_tokens=15")


def test_shifted_text_is_scored_at_every_report(task):
    theta = task.init(torch.Generator().manual_seed(0))
    (found,) = score(task, [theta])
    assert found["ood_perplexity"] == pytest.approx(
        final_metrics(task, theta)["ood_perplexity"], rel=1e-6
    )
    difference = found["ood_perplexity"] - found["perplexity"]
    assert found["ood_perplexity_difference"] == pytest.approx(difference)


@pytest.mark.parametrize("kind", ["bpe", "word"])
def test_an_attack_raises_the_loss_of_some_windows(load_small, monkeypatch, kind):
    monkeypatch.setattr(wikitext, "ATTACKED", 16)
    task = load_small(f"{SMALL}:adversarial=true:tokenizer={kind}")
    theta = 10 * task.init(torch.Generator().manual_seed(0))
    found = final_metrics(task, theta)
    assert found["adversarial_loss"] > found["adversarial_clean_loss"]
    assert 0 < found["adversarial_share"] < 1
    assert found == final_metrics(task, theta)
    assert "adversarial_loss" not in final_metrics(load_small(f"{SMALL}:tokenizer={kind}"), theta)


def test_a_word_ends_in_its_last_token(learnt):
    tokens, words = _tokens.encode(learnt, " xyzzy\n")
    pieces = [learnt.id_to_token(token) for token in tokens]
    assert pieces[-1] == "Ċ" and len(pieces) > 3  # the word is no entry of its own
    assert words.tolist() == [0] * (len(pieces) - 2) + [1, 1]


def test_a_learnt_vocabulary_is_kept(learnt, miniature, monkeypatch):
    text = _text.read("wikitext-103", 10**6).train
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (miniature / "cache" / f"bpe-{digest}-270.json").is_file()
    assert learnt.get_vocab_size() == 270
    again = _tokens.tokenizer(270, text)
    assert again.get_vocab() == learnt.get_vocab()


def test_a_text_that_is_too_short_for_the_vocabulary(miniature):
    tokens_needed()
    with pytest.raises(SettingError, match="vocabulary=400 cannot be learnt"):
        _tokens.tokenizer(400, "aa bb aa\n")


def test_without_the_package_the_extra_is_named(miniature, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ohgw\[transformers\]'"):
        load("wikitext:context=8:width=8:heads=1:layers=1:vocabulary=271:examples=20")


def test_gpt2s_own_tokens(monkeypatch):
    tokens_needed()
    monkeypatch.delenv("OHGW_DATA", raising=False)
    if _data.find(_tokens.GPT2_MERGES.file) is None:
        pytest.skip(f"{_tokens.GPT2_MERGES.file} is not in {', '.join(map(str, _data.places()))}")
    gpt2 = _tokens.tokenizer(_tokens.GPT2, "")
    assert gpt2.encode("Hello world").ids == [15496, 995]
    assert gpt2.get_vocab_size() == _tokens.GPT2
    if _data.find(_text.EXCERPT_TEST) is None:
        pytest.skip(f"{_text.EXCERPT_TEST} is not there")
    text = _data.read_zst(_data.find(_text.EXCERPT_TEST)).decode()
    tokens, words = _tokens.encode(gpt2, text)
    assert len(tokens) == 283_287  # as counted elsewhere for this file
    assert words.sum() == 241_211 + 2_891  # the published number of words, and its lines


# splits


def test_windows_read_the_text_in_order(task, miniature):
    text = _text.read("wikitext-103", 10**6)
    tokens, words = _tokens.encode(
        _tokens.tokenizer(280, task._source_text.train), task._source_text.train
    )
    assert text.train.startswith(task._source_text.train)  # only what is needed is read
    x = torch.cat([task.data[split][0] for split in ("train", "val")]).flatten()
    y = torch.cat([task.data[split][1] for split in ("train", "val")]).flatten()
    assert torch.equal(x, torch.as_tensor(tokens[: len(x)]))
    assert torch.equal(y, torch.as_tensor(tokens[1 : len(x) + 1]))
    first = task.data["train"][0].numel()
    assert torch.equal(
        task.data["val"][2].flatten(), torch.as_tensor(words[first + 1 : len(x) + 1])
    )
    assert len(task.data["train"][0]) == 400 and len(task.data["val"][0]) == 400 // 9


def test_shuffled_headlines(miniature):
    text = _text.read("wikitext-103", 10**6)
    lines, shifted = (part.splitlines() for part in (text.test, text.shifted))
    lines = lines[: len(shifted)]
    assert len(shifted) == math.ceil(0.05 * len(text.test.splitlines()))
    headline = [line.startswith(" =") for line in lines]
    assert sum(headline) > 2 and lines != shifted
    for one, two, is_headline in zip(lines, shifted, headline, strict=True):
        assert one == two or is_headline
    assert sorted(lines) == sorted(shifted)


def test_noise_reaches_training_alone(load_small):
    spec = "wikitext:layers=1:width=8:heads=2:context=16:vocabulary=280:examples=400:batch_size=4"
    clean, noisy = load_small(spec), load_small(spec + ":token_noise=0.15")
    wrong = load_small(spec + ":label_noise=0.3")
    (x, y), (noisy_x, noisy_y) = clean.data["train"], noisy.data["train"]
    assert 0.1 < (x != noisy_x).double().mean() < 0.16
    assert torch.equal(y, noisy_y) and torch.equal(x, wrong.data["train"][0])
    assert 0.2 < (y != wrong.data["train"][1]).double().mean() < 0.31
    for split in ("val", "test", "ood"):
        for other in (noisy, wrong):
            assert_close(clean.data[split], other.data[split], rtol=0, atol=0)


@pytest.mark.parametrize(
    "option", ["vocabulary=256", "vocabulary=50258", "layers=0", "heads=5", "token_noise=2"]
)
def test_an_option_that_cannot_work_is_refused(miniature, option):
    with pytest.raises(SettingError, match=option.partition("=")[0]):
        load(f"wikitext:{option}")


def test_too_many_examples(load_small):
    with pytest.raises(SettingError, match=r"examples=100000 .* more windows than the"):
        load_small("wikitext:layers=1:width=8:heads=2:context=16:vocabulary=280:examples=100000")


def test_all_of_it_needs_the_archive(miniature, monkeypatch):
    dead = _data.Remote("absent.zip", "http://127.0.0.1:9/none", "0" * 64, 1.0)
    monkeypatch.setitem(_text.ARCHIVES, "wikitext-103", dead)
    with pytest.raises(DataError, match=r"first1MB.txt.zst serves a small part: wikitext:exam"):
        load("wikitext:layers=1:width=8:heads=2:context=16:vocabulary=280")


def test_the_official_archive(miniature, tmp_path, monkeypatch):
    """A small one of the same format; a tenth of its training text validates."""
    tokens_needed()
    text = _text.read("wikitext-103", 10**6)
    path = tmp_path / "wikitext-103-raw-v1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("wikitext-103-raw/wiki.train.raw", text.train)
        archive.writestr("wikitext-103-raw/wiki.test.raw", text.test)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setenv("OHGW_DATA", str(tmp_path))
    small = _data.Remote(path.name, "http://none", digest, 0.1)
    monkeypatch.setitem(_text.ARCHIVES, "wikitext-103", small)
    _text.read.cache_clear()
    task = load("wikitext:layers=1:width=8:heads=2:context=16:vocabulary=280:batch_size=4")
    _text.read.cache_clear()
    assert task.source == path.name
    count = {split: len(parts[0]) for split, parts in task.data.items()}
    assert count["val"] == (count["train"] + count["val"]) // 10
    tokens, _ = _tokens.encode(_tokens.tokenizer(280, text.train), text.train)
    assert count["train"] + count["val"] == (len(tokens) - 1) // 16


# other text


@pytest.fixture(scope="module")
def lines(miniature):
    text = _text.read("wikitext-103", 10**6)
    return text.train.splitlines(keepends=True)


@pytest.mark.parametrize("names", [("train.txt", "test.txt"), ("wiki.train.raw", "wiki.test.raw")])
def test_a_folder_has_a_file_for_each_split(tmp_path, lines, names):
    train, test = "".join(lines[:700]), "".join(lines[700:])
    for name, part in zip(names, (train, test), strict=True):
        (tmp_path / name).write_text(part)
    (tmp_path / "valid.txt").write_text("not read\n")
    found = _text.read(str(tmp_path), None)
    assert (found.train, found.test, found.origin) == (train, test, str(tmp_path))
    cut = _text.read(str(tmp_path), 1000).train
    assert train.startswith(cut) and cut.endswith("\n") and 800 < len(cut.encode()) <= 1000


def test_the_last_tenth_of_a_file_tests(load_small, tmp_path, lines):
    path = tmp_path / "own.txt"
    path.write_text("".join(lines))
    task = load_small(f"{SMALL}:data={path}")
    text = _text.read(str(path), None)
    assert text.train + text.test == path.read_text()
    assert len(text.test.splitlines()) == len(lines) // 10
    assert task.source == str(path) and len(task.data["train"][0]) == 400


def test_a_data_set_of_the_hub(monkeypatch, lines):
    """One of the same schema, of Hugging Face's own class; the network is not asked."""
    datasets = pytest.importorskip("datasets")
    asked = []
    parts = {
        split: datasets.Dataset.from_dict({"text": [line.rstrip("\n") for line in part]})
        for split, part in (("train", lines[:100]), ("test", lines[100:150]))
    }

    def load_dataset(*names):
        asked.append(names)
        return datasets.DatasetDict(parts)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = _text.read("hf:own/text/raw", None)
    assert asked == [("own/text", "raw")]
    assert (found.train, found.test) == ("".join(lines[:100]), "".join(lines[100:150]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("wikitext-4", "neither a file nor a folder.*wikitext-103, wikitext-2"),
        ("hf:", "names no data set"),
        ("{}", "has 0 files of the split 'train'"),
        ("{}/bytes.bin", "not text in UTF-8"),
        ("{}/empty.md", "no whole line"),
    ],
)
def test_text_that_cannot_be_had(tmp_path, data, message):
    (tmp_path / "bytes.bin").write_bytes(b"\xff\n" * 20)
    (tmp_path / "empty.md").write_bytes(b"")
    with pytest.raises(DataError, match=message):
        _text.read(data.format(tmp_path), None)


# metrics


def test_perplexities_by_token_and_by_word(task):
    theta = initial_parameters(task, 0)
    x, y, words = task.data["val"]
    found = task.metrics(theta, task.data["val"])
    loss = F.cross_entropy(task.logits(task.layout.split(theta), x).flatten(0, 1), y.flatten())
    assert_close(found["loss"], loss)
    assert_close(found["perplexity"], loss.exp())
    assert 0 < words.sum() < y.numel()
    assert_close(found["word_perplexity"], (loss * y.numel() / words.sum()).exp())
    assert found["word_perplexity"] > found["perplexity"]


def test_chunks_change_nothing(task, monkeypatch):
    theta = initial_parameters(task, 0)
    whole = task.metrics(theta, task.data["val"])
    monkeypatch.setattr(wikitext, "CHUNK", 3 * task.net.context * task.net.vocabulary)
    assert_close(task.metrics(theta, task.data["val"]), whole)


def test_calibration_error(task):
    """Against a loop over bins in NumPy, for a model that is sure of itself."""
    theta = 20 * initial_parameters(task, 0)
    x, y, _ = task.data["val"]
    p = task.logits(task.layout.split(theta), x).softmax(-1).numpy().reshape(-1, 280)
    order = np.argsort(-p, axis=1)[:, : wikitext.TOP]
    top = np.take_along_axis(p, order, axis=1).ravel()
    right = (order == y.numpy().reshape(-1, 1)).ravel()
    expected = 0.0
    for low in np.arange(wikitext.BINS) / wikitext.BINS:
        inside = (top >= low) & (top < low + 1 / wikitext.BINS)
        if inside.any():
            gap = abs(top[inside].mean() - right[inside].mean())
            expected += gap * inside.sum() / len(top)
    found = task.metrics(theta, task.data["val"])["calibration_error"]
    assert found == pytest.approx(expected, rel=1e-6)
    assert found > 0.01


def test_calibration_error_is_that_of_torchmetrics(task):
    torchmetrics = pytest.importorskip("torchmetrics")
    theta = 20 * initial_parameters(task, 0)
    x, y, _ = task.data["val"]
    top, codes = task.logits(task.layout.split(theta), x).softmax(-1).topk(wikitext.TOP, -1)
    oracle = torchmetrics.classification.BinaryCalibrationError(n_bins=wikitext.BINS, norm="l1")
    expected = oracle(top.flatten(), (codes == y.unsqueeze(-1)).flatten().long())
    found = task.metrics(theta, task.data["val"])["calibration_error"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_further_splits_are_scored_with_the_test_split(task):
    theta = initial_parameters(task, 0)
    found = final_metrics(task, theta)
    for prefix, split in (("", "test"), ("ood_", "ood")):
        for name, value in task.metrics(theta, task.data[split]).items():
            assert found[prefix + name] == pytest.approx(value.item())
    assert len(found) == 10
