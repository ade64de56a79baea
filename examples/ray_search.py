"""Ray Tune, warm-started: ASHA that pauses and promotes, and x' in the place of x.

The trainable is an ordinary one of Tune's: it reports a checkpoint with every epoch and begins from
the last. `RAY_ADDRESS` names the cluster to run on; without it, Ray runs here.
"""

import os
import tempfile
from pathlib import Path

import ray
import torch
from ray import tune
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import ohgw
from ohgw.integrations.ray_tune import OHGWScheduler

SPACE = ohgw.Space(
    {
        "learning_rate": ohgw.Float(1e-3, 1.0, log=True),
        "weight_decay": ohgw.Float(1e-6, 1e-1, log=True),
        "momentum": ohgw.Float(0.0, 0.99),
    }
)
BATCH = 32


def digits():
    """(inputs, targets) to train on, and to score by."""
    images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    images = images.float() / 16
    return (images[:1280], labels[:1280]), (images[1280:], labels[1280:])


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def train(config):
    (inputs, targets), (val_inputs, val_targets) = digits()
    model, epoch = network(), 0
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=config["learning_rate"],
        momentum=config["momentum"],
        weight_decay=config["weight_decay"],
    )
    if (checkpoint := tune.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            kept = torch.load(Path(folder) / "state.pt")
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        epoch = kept["epoch"]
    while True:  # the scheduler says when to pause
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        epoch += 1
        with torch.no_grad():
            loss = F.cross_entropy(model(val_inputs), val_targets).item()
        with tempfile.TemporaryDirectory() as folder:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"epoch": epoch}, Path(folder) / "state.pt")
            tune.report(
                {"loss": loss, "epoch": epoch},
                checkpoint=tune.Checkpoint.from_directory(folder),
            )


def main():
    training, validation = digits()
    task = ohgw.ModuleTask(
        network(), F.cross_entropy, training, validation, SPACE, batch_size=BATCH
    )
    epochs = 9
    starter = ohgw.WarmStarter(task, method="guided", expected_resource=2)
    scheduler = OHGWScheduler(
        "asha",
        SPACE,
        metric="loss",
        mode="min",
        max_resource=epochs,
        trials=9,
        workers=2,
        starter=starter,
        time_attr="epoch",
    )
    if not os.environ.get("RAY_ADDRESS"):
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as storage:
        results = tune.Tuner(
            train,
            tune_config=tune.TuneConfig(
                search_alg=scheduler.searcher,
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=storage, name="digits", verbose=0),
        ).fit()
        best = results.get_best_result("loss", "min")
    print(f"{len(results)} trials, best loss {best.metrics['loss']:.4f} with")
    for name, value in best.config.items():
        print(f"  {name} = {value:.4g}")
    moved = sum(w.configuration != w.proposed for w in scheduler.warm_starts.values())
    print(f"{moved} of them trained at x' instead of x; {scheduler.debug_string()}")
    ray.shutdown()


if __name__ == "__main__":
    main()
