"""Run all variations, each in a process of its own with its output in a log, then compare them.

python -m src.main (--smoke-test | --full-experiment) --results-dir DIR
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def tee(command: list[str], log: Path) -> None:
    """Run a command; its output goes to the console and into a log."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process.stdout, log.open("w") as file:
        for line in process.stdout:
            sys.stdout.write(line)
            file.write(line)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}; see {log}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the experiment.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--smoke-test", action="store_true")
    mode.add_argument("--full-experiment", action="store_true")
    parser.add_argument("--results-dir", type=Path, required=True)
    args = parser.parse_args()

    name = "smoke_test.yaml" if args.smoke_test else "full_experiment.yaml"
    with open(ROOT / "config" / name) as file:
        experiments = yaml.safe_load(file)["experiments"]
    results_dir = args.results_dir.resolve()
    for experiment in experiments:
        run_dir = results_dir / experiment["run_id"]
        run_dir.mkdir(parents=True, exist_ok=True)
        config = run_dir / "config.yaml"
        config.write_text(yaml.safe_dump(experiment))
        command = [sys.executable, "-m", "src.train", "--config", str(config)]
        tee([*command, "--results-dir", str(run_dir)], run_dir / "log.txt")
    command = [sys.executable, "-m", "src.evaluate", "--results-dir", str(results_dir)]
    tee(command, results_dir / "evaluate.txt")


if __name__ == "__main__":
    main()
