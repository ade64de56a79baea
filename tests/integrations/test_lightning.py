"""`OHGWCallback`: Lightning's own run, at x'."""

import random
import runpy
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler

from ohgw.core.errors import MissingExtraError, SettingError, SpaceError, UnknownNameError
from ohgw.core.space import Float, Space
from ohgw.integrations._training import isolated, read

pl = pytest.importorskip("lightning.pytorch", reason="needs the extra 'lightning'")
from lightning.pytorch.loggers import CSVLogger  # noqa: E402
from torchmetrics.classification import MulticlassAccuracy  # noqa: E402

from ohgw.integrations.lightning import OHGWCallback  # noqa: E402

pytestmark = [
    # Lightning's own: of loaders without workers, few batches, and a type that torch renamed
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
]
EXAMPLES = Path(__file__).parents[2] / "examples"
X = {"learning_rate": 0.003, "weight_decay": 1e-4, "momentum": 0.5}
SPACE = Space(
    {
        "learning_rate": Float(1e-4, 1.0, log=True),
        "weight_decay": Float(1e-6, 1e-2, log=True),
        "momentum": Float(0.0, 0.99),
    }
)
SCREEN = "screen:max_share=99"


class Digits(pl.LightningModule):
    """As people write it: dropout, batch normalisation, a metric and a log in the step."""

    def __init__(self, learning_rate, weight_decay, momentum):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(
            nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 10)
        )
        self.accuracy = MulticlassAccuracy(10)
        self.fed, self.rates = [], []

    def training_step(self, batch, batch_idx):
        outputs = self.model(batch[0])
        loss = F.cross_entropy(outputs, batch[1])
        self.log("train_accuracy", self.accuracy(outputs, batch[1]))
        self.log("train_loss", loss)
        if loss.item() > 1e6:  # a branch on a value
            raise FloatingPointError
        return {"loss": loss}

    def on_train_batch_start(self, batch, batch_idx):
        self.fed.append(batch[1].clone())
        self.rates.append(self.optimizers().param_groups[0]["lr"])

    def validation_step(self, batch, batch_idx):
        self.log("loss", F.cross_entropy(self.model(batch[0]), batch[1]))

    def configure_optimizers(self):
        hp = self.hparams
        optimizer = torch.optim.SGD(
            self.parameters(), hp.learning_rate, hp.momentum, weight_decay=hp.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 24)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def loaders(batch_size=32, **options):
    x, y = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    x = x.float() / 16
    options = options or {"shuffle": True, "generator": torch.Generator().manual_seed(5)}
    train = DataLoader(TensorDataset(x[:384], y[:384]), batch_size, **options)
    return train, DataLoader(TensorDataset(x[1000:1128], y[1000:1128]), 64)


def fit(callback=None, make=Digits, x=X, data=None, path=None, seed=3, resume=None, **options):
    pl.seed_everything(seed, verbose=False)
    module = make(**x)
    trainer = pl.Trainer(
        **{"max_epochs": 2} | options,
        callbacks=[callback] if callback else [],
        accelerator="cpu",
        logger=False if path is None else CSVLogger(path),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, *(data or loaders()), ckpt_path=resume)
    return module, trainer


def streams():
    kind, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), (kind, keys.tolist(), *rest)


def same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(torch.as_tensor(one[key]), torch.as_tensor(other[key])) for key in one)


@pytest.mark.parametrize("method", ["null", "vanilla"])
def test_with_the_method_null_lightning_runs_as_without_us(method):
    plain, its = fit()
    after = streams()
    callback = OHGWCallback(SPACE, method=method)
    ours, trainer = fit(callback)
    assert callback.warm_start.configuration == callback.warm_start.proposed == X
    assert (callback.warm_start.work > 0) == (method == "null")
    assert streams() == after
    assert all(torch.equal(a, b) for a, b in zip(plain.fed, ours.fed, strict=True))
    assert ours.rates == plain.rates
    same(plain.state_dict(), ours.state_dict())
    same(its.callback_metrics, trainer.callback_metrics)


def test_training_is_the_peers_at_x_prime(tmp_path):
    """Bit for bit the run of somebody who configured x' in the first place."""
    callback = OHGWCallback(SPACE, method=SCREEN, seed=1)
    ours, trainer = fit(callback, path=tmp_path)
    new = callback.warm_start.configuration
    assert callback.warm_start.proposed == X != new
    SPACE.validate(new)
    told, _ = fit(x=new)
    same(told.state_dict(), ours.state_dict())
    assert ours.rates == told.rates and ours.rates[0] == new["learning_rate"]
    assert dict(ours.hparams) == new
    group = trainer.optimizers[0].param_groups[0]
    assert group["momentum"] == new["momentum"] and group["weight_decay"] == new["weight_decay"]
    with open(trainer.logger.log_dir + "/hparams.yaml", encoding="utf-8") as file:
        logged = yaml.safe_load(file)
    for name in SPACE:
        assert logged[name] == logged[f"ohgw/{name}"] == new[name]
        assert logged[f"ohgw/proposed/{name}"] == X[name]
    assert logged["ohgw/work"] == callback.warm_start.work > 0


def test_the_answer_depends_on_the_seed_and_the_weights_alone():
    class Fixed(Digits):
        def __init__(self, **hyperparameters):
            super().__init__(**hyperparameters)
            with isolated(0):
                self.model.apply(lambda part: getattr(part, "reset_parameters", str)())

    answers = []
    for noise, seed in ((3, 1), (7, 1), (3, 2)):
        callback = OHGWCallback(SPACE, method=SCREEN, seed=seed)
        fit(callback, Fixed, seed=noise, max_steps=1)
        answers.append(callback.warm_start.diagnostics["losses"])
    assert answers[0] == answers[1] != answers[2]


def test_a_checkpoint_does_not_undo_it(tmp_path):
    """Trained in two halves by two Trainers: the run in one go, bit for bit."""

    def data():
        return loaders(shuffle=False)

    def undropped(**hyperparameters):  # Lightning's checkpoints do not hold the random streams
        module = Digits(**hyperparameters)
        module.model[3] = nn.Identity()
        return module

    whole, first, again = (OHGWCallback(SPACE, method=SCREEN, seed=seed) for seed in (1, 1, 99))
    expected, _ = fit(whole, undropped, data=data(), max_epochs=4)
    _, trainer = fit(first, undropped, data=data(), max_epochs=2)
    half = tmp_path / "half.ckpt"
    trainer.save_checkpoint(half)
    module, _ = fit(again, undropped, data=data(), max_epochs=4, resume=half)
    assert again.warm_start == first.warm_start == whole.warm_start
    assert again.warm_start.configuration != X
    assert module.rates == expected.rates[24:]
    assert dict(module.hparams) == first.warm_start.configuration
    assert torch.load(half, weights_only=False)["hyper_parameters"] == dict(module.hparams)
    same(module.model.state_dict(), expected.model.state_dict())


def test_a_run_that_began_without_us_is_left_alone(tmp_path):
    _, trainer = fit(max_epochs=1)
    trainer.save_checkpoint(tmp_path / "theirs.ckpt")
    callback = OHGWCallback(SPACE, method=SCREEN)
    module, _ = fit(callback, resume=tmp_path / "theirs.ckpt")
    assert callback.warm_start is None and dict(module.hparams) == X


def test_a_second_training_is_probed_anew():
    callback = OHGWCallback(SPACE, method=SCREEN)
    answers = []
    for seed in (3, 4):
        fit(callback, seed=seed, max_steps=1)
        answers.append(callback.warm_start)
    assert answers[0] != answers[1]


def test_accumulated_mini_batches_are_one_step():
    """16 twice or 32 once: the same probe."""
    answers = []
    for size, times in ((32, 1), (16, 2)):
        callback = OHGWCallback(SPACE, method="ohgw", seed=1)
        data = loaders(batch_size=size, shuffle=False)
        fit(callback, data=data, max_steps=1, accumulate_grad_batches=times)
        answers.append(callback.warm_start)
    assert answers[0].work == answers[1].work > 0
    assert_close(answers[0].configuration, answers[1].configuration)


def test_mini_batches_of_any_structure():
    class Nested(Digits):
        def training_step(self, batch):
            scale, (images, labels) = batch["scale"], batch["data"]
            return F.cross_entropy(self.model(images * scale), labels)

        def on_train_batch_start(self, batch, batch_idx):
            pass

    def collate(rows):
        images, labels = (torch.stack(part) for part in zip(*rows, strict=True))
        return {"scale": 0.5, "data": (images, labels)}

    callback = OHGWCallback(SPACE, method=SCREEN)
    train, _ = loaders(batch_size=32, shuffle=True, collate_fn=collate)
    fit(callback, Nested, data=(train, None))
    assert len(callback.warm_start.diagnostics["losses"]) == 3


def test_reading_a_loader_leaves_it_where_it_is():
    generator = torch.Generator().manual_seed(1)
    sampler = WeightedRandomSampler(torch.rand(384), 384, generator=generator)
    train, _ = loaders(batch_size=32, sampler=sampler)
    before, state = streams(), generator.get_state()
    with isolated(0):
        batches = read(train, 3, seed=0)
    assert len(batches) == 3 and streams() == before
    assert torch.equal(generator.get_state(), state)
    assert all(
        torch.equal(a, b)
        for ours, theirs in zip(batches, train, strict=False)
        for a, b in zip(ours, theirs, strict=True)
    )


class Endless(IterableDataset):
    def __iter__(self):
        yield from loaders()[0].dataset


def test_what_cannot_be_read_twice_needs_batches():
    stream = DataLoader(Endless(), 32)
    with pytest.raises(SettingError, match=r"IterableDataset would advance it; give batches="):
        fit(OHGWCallback(SPACE), data=(stream, None), max_steps=1)
    callback = OHGWCallback(SPACE, method="null", batches=list(loaders()[0])[:4])
    fit(callback, data=(stream, None), max_steps=1)
    assert callback.warm_start.work > 0


def test_validation_that_cannot_be_read_is_held_out_instead():
    train, _ = loaders()
    callback = OHGWCallback(SPACE, method="null")
    fit(callback, data=(train, DataLoader(Endless(), 32)), max_steps=1, limit_val_batches=2)
    assert callback.warm_start.work > 0


def test_a_loss_of_ones_own():
    class Impure(Digits):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, self.trainer.missing)

    with pytest.raises(SettingError, match=r"loss of Impure .* loss=lambda module, batch"):
        fit(OHGWCallback(SPACE), Impure)

    def loss(module, batch):
        return F.cross_entropy(module.model(batch[0]), batch[1])

    answers = []
    for given in (None, loss):
        callback = OHGWCallback(SPACE, method=SCREEN, loss=given)
        fit(callback, max_steps=1)
        answers.append(callback.warm_start)
    assert answers[0] == answers[1]


class Manual(Digits):
    def __init__(self, **hyperparameters):
        super().__init__(**hyperparameters)
        self.automatic_optimization = False


def test_one_optimiser_that_lightning_steps():
    with pytest.raises(SettingError, match="automatic_optimization=False; OHGWCallback needs one"):
        fit(OHGWCallback(SPACE), Manual)


def test_a_module_that_cannot_be_copied_is_refused_by_name():
    class Keeping(Digits):
        def __init__(self, **hyperparameters):
            super().__init__(**hyperparameters)
            self.kept = self.model[0].weight.sum()

    with pytest.raises(SettingError, match="Keeping cannot be copied .* tensors with a graph"):
        fit(OHGWCallback(SPACE), Keeping)


def test_a_sampler_that_cannot_be_copied_needs_batches():
    class Stream:
        def __init__(self):
            self.indices = (i for i in range(384))

        def __iter__(self):
            return self.indices

    with pytest.raises(SettingError, match="sampler cannot be copied .*; give batches="):
        read(loaders(batch_size=32, sampler=Stream())[0], 3, seed=0)


def test_several_devices_are_refused():
    callback, trainer = OHGWCallback(SPACE), SimpleNamespace(world_size=2, optimizers=[None])
    trainer.global_step = 0
    with pytest.raises(SettingError, match="one device, not on 2; find x' with"):
        callback.on_train_start(trainer, Digits(**X))


def test_without_lightning_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    monkeypatch.delitem(sys.modules, "ohgw.integrations.lightning")
    with pytest.raises(MissingExtraError, match=r"pip install 'ohgw\[lightning\]'"):
        import_module("ohgw.integrations.lightning")


def test_what_cannot_work_is_refused_by_name():
    with pytest.raises(SettingError, match="space=3 must be an ohgw.Space"):
        OHGWCallback(3)
    with pytest.raises(UnknownNameError, match="'scren'.*Did you mean 'screen'"):
        OHGWCallback(SPACE, method="scren")
    with pytest.raises(SpaceError, match="learning_rate"):
        fit(OHGWCallback(SPACE), x=X | {"learning_rate": 7.0})


def test_the_example(capsys, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # what it sets is forgotten afterwards
    runpy.run_path(str(EXAMPLES / "lightning_training.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "trained at" in printed and float(printed.split()[-1]) > 0.9
