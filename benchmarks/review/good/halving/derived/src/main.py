"""Run every configured run, then summarise.

python -m src.main (--smoke-test | --full-experiment) --results-dir DIR
"""

import argparse
import logging
from pathlib import Path

from src.config import load_runs
from src.evaluate import evaluate
from src.train import run

CONFIG = Path(__file__).resolve().parents[1] / "config"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--smoke-test", dest="file", action="store_const", const="smoke_test.yaml")
    mode.add_argument(
        "--full-experiment", dest="file", action="store_const", const="full_experiment.yaml"
    )
    parser.add_argument("--results-dir", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = parse_arguments()
    for config in load_runs(CONFIG / arguments.file):
        run(config, arguments.results_dir / config.run_id)
    for row in evaluate(arguments.results_dir):
        print(f"{row['run_id']:24} {row['test_accuracy']:.3f} +- {row['standard_error']:.3f}")


if __name__ == "__main__":
    main()
