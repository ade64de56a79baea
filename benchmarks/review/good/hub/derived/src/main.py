"""python -m src.main run=RUN [mode=smoke] results_dir=DIR; several runs with --multirun."""

import hydra
from omegaconf import DictConfig

from src.train import run_experiment


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg: DictConfig) -> None:
    if cfg.mode not in ("smoke", "full"):
        raise ValueError(f"mode is {cfg.mode!r}, not smoke or full")
    print(run_experiment(cfg))


if __name__ == "__main__":
    main()
