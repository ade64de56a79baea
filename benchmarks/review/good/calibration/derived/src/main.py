"""python -m src.main --mode smoke|full --results-dir DIR [key=value ...]"""

import argparse
import json
import logging
from pathlib import Path

from src.compose import compose, read
from src.evaluate import report
from src.train import run


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Run all runs of a mode.")
    parser.add_argument("--mode", choices=("smoke", "full"), required=True)
    parser.add_argument("--results-dir", type=Path, required=True)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)

    results = []
    for name in read("mode", args.mode)["runs"]:
        result = run(compose(name, args.mode, args.overrides))
        folder = args.results_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scores.json").write_text(json.dumps(result, indent=2))
        results.append(result)
    summary = report(results)
    (args.results_dir / "summary.json").write_text(json.dumps(summary, indent=2))
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
