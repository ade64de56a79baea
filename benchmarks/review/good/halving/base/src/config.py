"""Typed configurations of runs, read from YAML."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class DataConfig:
    name: str
    points: int


@dataclass(frozen=True)
class ModelConfig:
    name: str


@dataclass(frozen=True)
class TrainConfig:
    batch_size: int
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class RunConfig:
    run_id: str
    seeds: tuple[int, ...]
    data: DataConfig
    model: ModelConfig
    train: TrainConfig

    @classmethod
    def from_mapping(cls, raw: dict[str, Any]) -> "RunConfig":
        return cls(
            run_id=raw["run_id"],
            seeds=tuple(raw["seeds"]),
            data=DataConfig(**raw["data"]),
            model=ModelConfig(**raw["model"]),
            train=TrainConfig(**raw["train"]),
        )


def load_runs(path: Path) -> list[RunConfig]:
    """Every entry of `runs`."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [RunConfig.from_mapping(raw) for raw in document["runs"]]
