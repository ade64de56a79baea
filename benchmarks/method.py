"""What a finished study says of the default method, tuple by tuple, as one table and JSON.

    ohgw study method --results-dir DIR --jobs 2
    python benchmarks/method.py DIR --json docs/results/method.json [--markdown FILE]

The study trains all seeds and arms of a cell as one fused population on fresh seeds. A tuple is a
task under a scheduler; it is judged against plain vanilla and against vanilla under the same
recipe, at the primary target, with the specification's criteria. Peak memory stands beside them:
what a recipe keeps is not the method's, and beside four lanes of a tiny model it shows.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ohgw.analysis.across.verdict import every

MEMORY, COST, DEVIATION = "extra memory", "extra cost", "deviation of T@τ"
COLUMNS = [
    "task", "scheduler", "against", "pairs", "T@tau", "95 % interval", "Holm p", "extra cost",
    "deviation", "all criteria",
]  # fmt: skip
MINUS = "\N{MINUS SIGN}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="directory of a study whose report was written")
    parser.add_argument("--arm", default="guided/averaged")
    parser.add_argument("--json", type=Path, help="write the tuples here")
    parser.add_argument("--markdown", type=Path, help="write the table here, as Markdown")
    arguments = parser.parse_args()
    path = arguments.study / "report" / "summary.json"
    if not path.exists():
        parser.error(f"{path} is not there; ohgw report {arguments.study} writes it")
    tuples = read(json.loads(path.read_text()), arguments.arm)
    if not tuples:
        parser.error(f"{path} has no arm {arguments.arm}")
    Console().print(table(tuples))
    if arguments.json:
        arguments.json.write_text(json.dumps(document(tuples), indent=2) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(tuples))


def read(summary: dict[str, Any], arm: str) -> list[dict[str, Any]]:
    """One entry for each tuple and reference of an arm, run or not."""
    found = []
    for one in summary["tuples"]:
        if one["arm"] != arm:
            continue
        criteria = {c["name"]: {"value": c["value"], "met": c["met"]} for c in one["criteria"]}
        memory = criteria.pop(MEMORY, None)
        at = one["at"] or {"change": {"value": None, "low": None, "high": None}, "p_holm": None}
        met = [criterion["met"] for criterion in criteria.values()]
        found.append(
            {
                "task": one["task"],
                "scheduler": one["scheduler"],
                "workers": one["workers"],
                "arm": arm,
                "reference": one["reference"],
                "pairs": one["pairs"],
                "change": at["change"],
                "p_holm": at["p_holm"],
                "criteria": criteria,
                "criteria_met": every(met) if met else None,
                "extra_memory": memory["value"] if memory else None,
            }
        )
    return found


def document(tuples: list[dict[str, Any]]) -> dict[str, Any]:
    references = dict.fromkeys(one["reference"] for one in tuples)
    return {
        "share_met": {
            reference: sum(
                one["criteria_met"] is True for one in tuples if one["reference"] == reference
            )
            / sum(one["reference"] == reference for one in tuples)
            for reference in references
        },
        "tuples": tuples,
    }


def rows(tuples: list[dict[str, Any]]) -> list[list[str]]:
    """A row of cells for each tuple, in the order of `COLUMNS`."""
    out = []
    for one in tuples:
        change, criteria = one["change"], one["criteria"]
        place = [one["task"], one["scheduler"], one["reference"], str(one["pairs"])]
        if change["value"] is None:
            out.append([*place, "", "", "", "", "", "not run"])
            continue
        missed = [name for name, c in criteria.items() if c["met"] is False]
        cost, deviation = (criteria[name]["value"] for name in (COST, DEVIATION))
        out.append(
            [
                *place,
                f"{_percent(change['value'])} %",
                f"{_percent(change['low'])} to {_percent(change['high'])}",
                _p(one["p_holm"]),
                "" if cost is None else f"{100 * cost:.1f} %",
                "" if deviation is None else f"{deviation:.2f}",
                "yes" if one["criteria_met"] else "no: " + (", ".join(missed) or "cannot tell"),
            ]
        )
    return out


def table(tuples: list[dict[str, Any]]) -> Table:
    out = Table(*COLUMNS)
    for row in rows(tuples):
        out.add_row(*row)
    return out


def markdown(tuples: list[dict[str, Any]]) -> str:
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows(tuples)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "∞" if value is None else f"{100 * value:+.0f}".replace("-", MINUS)


if __name__ == "__main__":
    main()
