"""Run all variations of a configuration, each in a process of its own, then compare them.

python -m src.main (--smoke-test | --full-experiment) --results-dir DIR
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def launch(run: dict, results_dir: Path) -> None:
    """Train one variation; its configuration lies beside its results."""
    run_dir = results_dir / run["run_id"]
    run_dir.mkdir(parents=True, exist_ok=True)
    config = run_dir / "config.yaml"
    config.write_text(yaml.safe_dump(run))
    command = ["-m", "src.train", "--config", str(config), "--results-dir", str(run_dir)]
    subprocess.run([sys.executable, *command], check=True, cwd=ROOT)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the experiment.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--smoke-test", action="store_true")
    mode.add_argument("--full-experiment", action="store_true")
    parser.add_argument("--results-dir", type=Path, required=True)
    arguments = parser.parse_args()
    name = "smoke_test.yaml" if arguments.smoke_test else "full_experiment.yaml"
    experiments = yaml.safe_load((ROOT / "config" / name).read_text())["experiments"]
    for run in experiments:
        print(f"running {run['run_id']}", flush=True)
        launch(run, arguments.results_dir.resolve())
    command = ["-m", "src.evaluate", "--results-dir", str(arguments.results_dir.resolve())]
    subprocess.run([sys.executable, *command], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
