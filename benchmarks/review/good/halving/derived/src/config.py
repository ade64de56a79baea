"""Typed configurations of runs, read from YAML."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class DataConfig:
    name: str
    points: int
    label_noise: float  # share of the training labels that is replaced by random ones


@dataclass(frozen=True)
class ModelConfig:
    name: str
    hidden: int = 0  # units; a model without a hidden layer has none


@dataclass(frozen=True)
class TrainConfig:
    batch_size: int
    target_loss: float


@dataclass(frozen=True)
class SpaceConfig:
    learning_rate: tuple[float, float]
    momentum: tuple[float, float]
    weight_decay: tuple[float, float]


@dataclass(frozen=True)
class SearchConfig:
    scheduler: str
    trials: int
    max_epochs: int
    eta: int = 3
    promotion: str = "last"


@dataclass(frozen=True)
class RunConfig:
    run_id: str
    seeds: tuple[int, ...]
    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    space: SpaceConfig
    search: SearchConfig

    @classmethod
    def from_mapping(cls, raw: dict[str, Any]) -> "RunConfig":
        return cls(
            run_id=raw["run_id"],
            seeds=tuple(raw["seeds"]),
            data=DataConfig(**raw["data"]),
            model=ModelConfig(**raw["model"]),
            train=TrainConfig(**raw["train"]),
            space=SpaceConfig(**raw["space"]),
            search=SearchConfig(**raw["search"]),
        )


def load_runs(path: Path) -> list[RunConfig]:
    """Every entry of `runs`."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [RunConfig.from_mapping(raw) for raw in document["runs"]]
