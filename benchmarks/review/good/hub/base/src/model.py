"""Classifiers trained from scratch."""

from omegaconf import DictConfig
from torch import nn
from transformers import DistilBertConfig, DistilBertForSequenceClassification


def build_model(cfg: DictConfig, vocabulary: int, classes: int) -> nn.Module:
    """A DistilBERT with random weights."""
    config = DistilBertConfig(vocab_size=vocabulary, n_layers=cfg.layers, num_labels=classes)
    return DistilBertForSequenceClassification(config)
