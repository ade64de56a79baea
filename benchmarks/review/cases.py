"""The review on labelled public cases: code that was really pushed, and what happened to it.

    python benchmarks/review/cases.py CASES.json MIRRORS

CASES.json holds labelled cases (repository, commit of the pushed code, commit and path of the
prompt that a language model judged, its verdict, what was found when the code was run). MIRRORS
holds bare clones as OWNER+NAME/repo. Nothing of them is kept. Base and texts are read out of the
prompt; the derived tree is the pushed commit, or the prompt's where nothing was pushed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ohgw.review.checks import Context
from ohgw.review.project import Project
from ohgw.review.run import review
from ohgw.review.spec import read_prompt
from ohgw.review.tree import read_tree

# Which checks speak of which labelled defect.
SPEAKS = {
    "dead-deps-table": {"dependency-schema"},
    "dead-deps-poetry": {"dependency-schema"},
    "packaging": {"dependency-schema"},
    "hydra-config": {"hydra-compose", "config-key-missing"},
    "yaml-float-string": {"float-as-string"},
    "yaml-unparsable": {"syntax-error"},
    "import-shadowed": {"shadowed-import", "wrong-call"},
    "import-missing": {"missing-import", "undefined-name"},
    "no-scheduler": {"scheduler-absent"},
    "single-seed": {"replicates"},
    "placeholder-left": {"placeholder", "stub"},
    "model-missing": {"variation-unreachable", "placeholder", "stub"},
    "dataset-missing": {"variation-unreachable", "placeholder", "stub"},
    "method-not-implemented": {"step-size-target", "scheduler-absent"},
    "method-stubbed": {"stub", "step-size-target"},
    "method-partial": {"placeholder", "step-size-target"},
    "simplified-comment": {"placeholder"},
    "literal-pass": {"printed-pass", "literal-result"},
    "threshold-unreachable": {"unreachable-threshold"},
    "train-under-no-grad": {"backward-under-no-grad"},
    "metrics-missing": {"claim-unsupported"},
    "warm-start-cost-untimed": {"timer-after-step"},
    "smoke-not-covering": {"variation-missing"},
    "wrong-dataset-id": {"wrong-data"},
}


@dataclass(frozen=True)
class Result:
    """One case."""

    case: str
    executable: bool | None  # unchanged, when it was run
    model_ready: bool
    ready: bool
    errors: dict[str, int]
    labelled: list[str]
    agreed: list[str]  # labelled classes that an error speaks of
    seconds: float


def run_case(case: dict, mirrors: Path) -> Result:
    repository = mirrors / case["repo"].replace("/", "+") / "repo"
    show = ["git", "-C", str(repository), "show", f"{case['prompt_commit']}:{case['prompt_path']}"]
    with tempfile.NamedTemporaryFile("wb", suffix=".txt") as prompt:
        prompt.write(subprocess.run(show, check=True, capture_output=True).stdout)
        prompt.flush()
        spec, base, derived = read_prompt(prompt.name)
    if case["push"]:
        derived = read_tree("derived", f"{repository}@{case['push']}")
    began = time.perf_counter()
    found = review(Context(Project(derived), Project(base) if base else None, None, spec))
    errors: dict[str, int] = {}
    for finding in found.findings:
        if finding.severity == "error":
            errors[finding.id] = errors.get(finding.id, 0) + 1
    agreed = [name for name in case["classes"] if SPEAKS.get(name, set()) & errors.keys()]
    return Result(
        case=case["pair"].partition("+")[2],
        executable=case["executable_unchanged"],
        model_ready=case["llm_ready"],
        ready=found.is_experiment_code_ready,
        errors=errors,
        labelled=case["classes"],
        agreed=agreed,
        seconds=time.perf_counter() - began,
    )


def show(results: Sequence[Result], console: Console) -> None:
    table = Table(title="Labelled public cases")
    for heading in (
        "case",
        "ran unchanged",
        "model",
        "review",
        "errors of the review",
        "labels met",
    ):
        table.add_column(heading)
    for result in results:
        ran = {True: "yes", False: "no", None: "?"}[result.executable]
        table.add_row(
            result.case[:44],
            ran,
            "ready" if result.model_ready else "not ready",
            "ready" if result.ready else "not ready",
            ", ".join(f"{name} {count}" for name, count in result.errors.items()),
            f"{len(result.agreed)}/{len(result.labelled)}",
        )
    console.print(table)
    broken = [result for result in results if result.executable is False]
    flagged = [result for result in broken if not result.ready]
    agreed = [result for result in flagged if result.agreed]
    console.print(
        f"Of {len(broken)} that needed fixes to run: flagged {len(flagged)}, for a labelled reason "
        f"{len(agreed)}; the model called {sum(r.model_ready for r in broken)} of them ready."
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The review on labelled public cases.")
    parser.add_argument("cases", type=Path)
    parser.add_argument("mirrors", type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(argv)
    results = [run_case(case, options.mirrors) for case in json.loads(options.cases.read_text())]
    if options.json:
        json.dump([asdict(result) for result in results], sys.stdout, indent=2)
    else:
        show(results, Console(width=160))


if __name__ == "__main__":
    main()
