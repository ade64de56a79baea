"""Train one configured run with every seed."""

import json
import logging
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import get_linear_schedule_with_warmup, set_seed

from src.model import build_model
from src.preprocess import load_splits, make_tokenizer, tokenize

logger = logging.getLogger(__name__)


def train_epoch(model, loader, optimizer, scheduler, device) -> float:
    """One pass; the mean training loss."""
    model.train()
    total, count = 0.0, 0
    for batch in loader:
        labels = batch["label"].to(device)
        optimizer.zero_grad()
        logits = model(
            input_ids=batch["input_ids"].to(device),
            attention_mask=batch["attention_mask"].to(device),
        ).logits
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        total += loss.item() * len(labels)
        count += len(labels)
    return total / count


@torch.no_grad()
def evaluate(model, loader, device) -> dict[str, float]:
    """Accuracy and negative log-likelihood."""
    model.eval()
    correct, nll, count = 0, 0.0, 0
    for batch in loader:
        labels = batch["label"].to(device)
        logits = model(
            input_ids=batch["input_ids"].to(device),
            attention_mask=batch["attention_mask"].to(device),
        ).logits
        correct += (logits.argmax(dim=-1) == labels).sum().item()
        nll += F.cross_entropy(logits, labels, reduction="sum").item()
        count += len(labels)
    return {"accuracy": correct / count, "nll": nll / count}


def run_seed(cfg: DictConfig, seed: int, smoke: bool) -> dict:
    """The epoch with the highest validation accuracy is the one that is tested."""
    set_seed(seed)
    run = cfg.run
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = make_tokenizer(run.model.tokenizer)
    splits = load_splits(run.dataset, run.smoke.examples if smoke else None, seed)
    classes = splits["train"].features["label"].num_classes
    data = tokenize(splits, tokenizer, run.dataset.max_length)
    loaders = {
        name: DataLoader(part, batch_size=run.training.batch_size, shuffle=name == "train")
        for name, part in data.items()
    }
    model = build_model(run.model, len(tokenizer), classes).to(device)
    epochs = run.smoke.epochs if smoke else run.training.epochs
    steps = epochs * len(loaders["train"])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=run.training.learning_rate, weight_decay=run.training.weight_decay
    )
    scheduler = get_linear_schedule_with_warmup(
        optimizer, int(run.training.warmup_share * steps), steps
    )
    history, best = [], None
    for epoch in range(1, epochs + 1):
        loss = train_epoch(model, loaders["train"], optimizer, scheduler, device)
        val = evaluate(model, loaders["val"], device)
        history.append({"epoch": epoch, "train_loss": loss, "val_accuracy": val["accuracy"]})
        logger.info("%s seed %d epoch %d: %s", run.run_id, seed, epoch, val)
        if best is None or val["accuracy"] > best["val_accuracy"]:
            test = evaluate(model, loaders["test"], device)
            best = {
                "val_accuracy": val["accuracy"],
                "test_accuracy": test["accuracy"],
                "test_nll": test["nll"],
                "epoch": epoch,
            }
    return {"seed": seed, "history": history, **best}


def run_experiment(cfg: DictConfig) -> Path:
    """Write results.json of one run; gives back its path."""
    smoke = cfg.mode == "smoke"
    seeds = cfg.run.smoke.seeds if smoke else cfg.run.seeds
    rows = [run_seed(cfg, seed, smoke) for seed in seeds]
    folder = Path(cfg.results_dir) / cfg.run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    path.write_text(json.dumps({"run_id": cfg.run.run_id, "seeds": rows}, indent=2))
    return path
