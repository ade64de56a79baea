"""`ohgw review` as people and scripts call it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ohgw.cli import main
from ohgw.review.findings import LADDER
from ohgw.review.spec import read_prompt

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/experiment"
PAIR = ROOT.parent / "shared/spec"
GOOD = "def train(epochs):\n    return [epoch for epoch in range(epochs)]\n"
BROKEN = "def train(epochs)\n    return epochs\n"


@pytest.fixture
def ohgw(monkeypatch, capfd, tmp_path):
    """Runs a command line in this process; returns (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["ohgw", "review", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def tree(tmp_path):
    def make(name, **files):
        for path, text in files.items():
            place = tmp_path / name / path.replace("__", "/").replace("_py", ".py")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return tmp_path / name

    return make


def test_exit_codes_and_the_json_object(ohgw, tree):
    good, broken = tree("good", src__train_py=GOOD), tree("broken", src__train_py=BROKEN)
    status, out, err = ohgw("--base", "none", good, "--format", "json")
    found = json.loads(out)
    assert (status, err) == (0, "")
    assert found["is_experiment_code_ready"] is True and found["experiment_code_issue"] == ""
    assert list(found["ladder"]) == list(LADDER)
    status, out, _ = ohgw("--base", "none", broken, "--format", "json")
    found = json.loads(out)
    assert status == 1 and found["is_experiment_code_ready"] is False
    (finding,) = found["findings"]
    assert (finding["id"], finding["file"], finding["line"]) == (
        "syntax-error",
        "derived/src/train.py",
        1,
    )
    assert "derived/src/train.py:1" in found["experiment_code_issue"]
    assert found["ladder"]["parses"]["status"] == "failed"


def test_a_base_that_does_not_parse_is_an_error_and_the_comparison_goes_on(ohgw, tree):
    base, derived = tree("base", src__train_py=BROKEN), tree("derived", src__train_py=GOOD)
    status, out, _ = ohgw(base, derived, "--format", "json")
    found = json.loads(out)
    assert status == 1
    assert "base/src/train.py" in [finding["file"] for finding in found["findings"]]


@pytest.mark.parametrize("format_", ["json", "text"])
def test_what_cannot_be_read_is_told(ohgw, tmp_path, format_):
    (tmp_path / "empty").mkdir()
    status, out, _ = ohgw("--base", "none", tmp_path / "empty", "--format", format_)
    assert status == 2 and "no Python file" in " ".join(out.split())
    status, out, err = ohgw("--base", "none", tmp_path / "nowhere", "--format", format_)
    assert status == 2 and "nowhere" in (out if format_ == "json" else err)
    if format_ == "json":
        assert json.loads(out)["is_experiment_code_ready"] is False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("run_variation: [a]", "Did you mean 'run_variations'?"),
        ("replicates: many", "replicates 'many' must be a whole number"),
        ("run_variations: a", "must be a list of strings"),
        ("- a", "a specification is a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_specification_is_refused(ohgw, tree, tmp_path, text, says):
    (tmp_path / "SPEC.yaml").write_text(text)
    status, _, err = ohgw("--base", "none", tree("good", src__train_py=GOOD), "--spec", "SPEC.yaml")
    assert status == 2 and says in " ".join(err.replace("│", " ").split())


def test_trees_come_from_git_and_from_json(ohgw, tree, tmp_path):
    repository = tree("repo", src__train_py=BROKEN)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "broken"]):
        subprocess.run([*git, *words], check=True)
    (repository / "src/train.py").write_text(GOOD)
    assert ohgw("--base", "none", f"{repository}@HEAD")[0] == 1
    assert ohgw("--base", "none", repository)[0] == 0
    status, _, err = ohgw("--base", "none", f"{repository}@nowhere")
    assert status == 2 and "git cannot read" in err
    files = tmp_path / "files.json"
    files.write_text(json.dumps({"train_py": BROKEN}))
    status, out, _ = ohgw("--base", "none", files, "--format", "json")
    assert status == 1 and json.loads(out)["findings"][0]["file"] == "derived/src/train.py"


def test_comments_silence_with_a_reason_and_are_listed(ohgw, tree):
    marked = "def f(:  # ohgw: ignore[syntax-error] generated\n"
    status, out, _ = ohgw("--base", "none", tree("a", src__a_py=marked), "--format", "json")
    found = json.loads(out)
    assert status == 0 and found["silenced"][0]["reason"] == "generated"
    again = tree("a")
    assert ohgw("--base", "none", again, "--no-ignore")[0] == 1
    bare = "def f(:  # ohgw: ignore[syntax-error]\n"
    assert ohgw("--base", "none", tree("b", src__a_py=bare))[0] == 1


def test_every_format_names_the_finding(ohgw, tree):
    broken = tree("broken", src__train_py=BROKEN)
    for format_ in ("text", "markdown", "github", "sarif", "json"):
        status, out, err = ohgw("--base", "none", broken, "--format", format_)
        assert (status, err) == (1, "") and "syntax-error" in out and "train.py" in out
    status, _, err = ohgw("--base", "none", broken, "--format", "sarf")
    assert status == 2 and "Did you mean 'sarif'?" in err


def test_sarif_has_what_code_hosts_need(ohgw, tree):
    broken = tree("broken", src__train_py=BROKEN)
    log = json.loads(ohgw("--base", "none", broken, "--format", "sarif")[1])
    (run,) = log["runs"]
    (result,) = run["results"]
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert log["version"] == "2.1.0" and rule["id"] == result["ruleId"] == "syntax-error"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "src/train.py"}  # relative to the reviewed root
    assert place["region"]["startLine"] == 1 and result["partialFingerprints"]


def test_the_example_experiment_is_ready(ohgw):
    status, out, _ = ohgw(EXAMPLE / "base", EXAMPLE / "derived", "--spec", EXAMPLE / "SPEC.yaml")
    assert status == 0, out


def test_the_action_reviews_the_example(tmp_path):
    """The script of the action's review step, run as a code host's runner would."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    script = next(s["run"] for s in action["runs"]["steps"] if s["name"] == "Review")
    variables = {
        "BASE": str(EXAMPLE / "base"),
        "DERIVED": str(EXAMPLE / "derived"),
        "SPEC": str(EXAMPLE / "SPEC.yaml"),
        "SMOKE": "false",
        "INTERPRETER": sys.executable,
        "OHGW": str(Path(sys.executable).parent / "ohgw"),
        "SARIF": str(tmp_path / "o.sarif"),
    }
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::notice title=ohgw review::ready" in done.stdout
    assert json.loads((tmp_path / "o.sarif").read_text())["version"] == "2.1.0"


@pytest.mark.skipif(not PAIR.exists(), reason="the specification document is not here")
def test_the_specification_document_is_reviewed_directly(ohgw):
    prompt = PAIR / "specification.txt"
    status, out, _ = ohgw("--prompt", prompt, "--format", "json")
    direct = json.loads(out)
    assert status == 1 and not direct["is_experiment_code_ready"]
    places = {finding["file"] for finding in direct["findings"] if isinstance(finding["file"], str)}
    assert "base/src/preprocess.py" in places
    assert ohgw("--prompt", prompt, "--base", "none")[0] == 2


PROMPT = """# Instructions
Review the code.

# Current Research Method
One step.

# Experiment Runs

- Run ID: ours
  Config Content:
  ```yaml
  run_id: ours
lr: 0.1
  ```

# not a heading of the document

# Generated Experiment Code (To be validated)
{"train_py": "def train(epochs)\\n    pass"}
Output:
{"is_code_ready": true}
"""


def test_a_prompt_may_hold_no_base_and_the_configurations_of_its_runs(ohgw, tmp_path):
    (tmp_path / "prompt.txt").write_text(PROMPT)
    spec, base, derived = read_prompt("prompt.txt")
    assert base is None and spec.run_variations == ("ours",)
    assert sorted(derived.files) == ["config/run/ours.yaml", "src/train.py"]
    assert yaml.safe_load(derived.files["config/run/ours.yaml"].text) == {
        "run_id": "ours",
        "lr": 0.1,
    }
    status, out, _ = ohgw("--prompt", "prompt.txt", "--format", "json")
    assert status == 1 and json.loads(out)["findings"][0]["file"] == "derived/src/train.py"
    (tmp_path / "prompt.txt").write_text(PROMPT.replace("Generated Experiment Code", "Code"))
    status, _, err = ohgw("--prompt", "prompt.txt")
    assert status == 2 and "Derived Experiment Code" in err


def test_stand_ins_are_for_the_smoke_test(ohgw, tree):
    status, out, _ = ohgw("--base", "none", tree("x"), "--stand-in", ".", "--format", "json")
    assert status == 2 and "give --smoke too" in json.loads(out)["experiment_code_issue"]


def test_claims_are_a_line_each(ohgw, tree, monkeypatch):
    """Kind and value first; no word is cut but by the edge of the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    place = tree("x", src__train_py=GOOD)
    words = "Fourteen words before it that nobody should see cut, then PASHA, and as many after it"
    spec = place / "SPEC.yaml"
    spec.write_text(yaml.safe_dump({"description": f"{words}. Over 5 seeds."}))
    _, out, _ = ohgw("--base", "none", place, "--spec", spec)
    lines = out.partition("What the texts claim")[2].strip().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[1:3] for line in lines] == [
        ["scheduler", "PASHA"],
        ["replicates", "5"],
    ]
    assert "not in the code “… it that nobody should see cut" in lines[0]
