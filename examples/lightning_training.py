"""Lightning, warm-started in one line: the line with `OHGWCallback`."""

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

import ohgw
from ohgw.integrations.lightning import OHGWCallback


class Digits(pl.LightningModule):
    def __init__(self, learning_rate=3e-4, momentum=0.5, steps=600):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self.model(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        accuracy = (self.model(batch[0]).argmax(-1) == batch[1]).float().mean()
        self.log("accuracy", accuracy)

    def configure_optimizers(self):
        hp = self.hparams
        optimizer = torch.optim.SGD(self.parameters(), hp.learning_rate, momentum=hp.momentum)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, hp.steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def main():
    pl.seed_everything(0)
    images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    data = TensorDataset(images.float() / 16, labels)
    train, validation = random_split(data, [1437, 360])
    space = ohgw.Space(
        {"learning_rate": ohgw.Float(1e-4, 1, log=True), "momentum": ohgw.Float(0, 0.99)}
    )
    module = Digits()
    trainer = pl.Trainer(
        max_epochs=10,
        callbacks=[OHGWCallback(space)],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(train, 32, shuffle=True), DataLoader(validation, 180))
    accuracy = trainer.callback_metrics["accuracy"]
    print(f"trained at {dict(module.hparams)}: validation accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
