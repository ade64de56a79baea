"""Classifiers trained from scratch, and the mixing of embedded sentences."""

import torch
from omegaconf import DictConfig
from torch import nn
from transformers import DistilBertConfig, DistilBertForSequenceClassification


def build_model(cfg: DictConfig, vocabulary: int, classes: int) -> nn.Module:
    """A DistilBERT with random weights."""
    config = DistilBertConfig(vocab_size=vocabulary, n_layers=cfg.layers, num_labels=classes)
    return DistilBertForSequenceClassification(config)


def mixed_logits(
    model: nn.Module,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    partner: torch.Tensor,
    weight: float,
) -> torch.Tensor:
    """Logits where the word embeddings of every sentence are mixed with its partner's.

    A position counts where either sentence has a token.
    """
    words = model.get_input_embeddings()(input_ids)
    mixed = weight * words + (1.0 - weight) * words[partner]
    mask = torch.maximum(attention_mask, attention_mask[partner])
    return model(inputs_embeds=mixed, attention_mask=mask).logits
