"""The specification's own pair: what can be decided statically, each at its line."""

from pathlib import Path

import pytest

from ohgw.review.checks import Context
from ohgw.review.project import Project
from ohgw.review.run import review
from ohgw.review.spec import read_prompt
from ohgw.review.tree import read_tree

SPEC = Path(__file__).parents[2].parent / "shared/spec"
pytestmark = pytest.mark.skipif(not SPEC.exists(), reason="the specification is not here")

BASE, TRAIN = "base/src/preprocess.py", "derived/src/train.py"
FULL = "derived/config/full_experiment.yaml"
EXPECTED = {
    ("syntax-error", BASE, 14),  # the base does not parse
    ("scheduler-absent", FULL, 3),  # PASHA in run ids alone
    ("replicates", FULL, 4),  # seed: 0 where 24 replicates were asked
    ("step-size-target", TRAIN, 146),  # the weights move
    ("timer-after-step", TRAIN, 220),  # the warm start is not timed
    ("pipe-deadlock", "derived/src/main.py", 20),
    ("seed-ignored", "derived/src/preprocess.py", 95),  # random.seed(42)
    ("dependency-unused", "derived/pyproject.toml", 18),  # scikit-learn
    ("dependency-unused", "derived/pyproject.toml", 21),  # sentencepiece
    ("placeholder", TRAIN, 128),  # "for simplicity", in the docstring that admits it
    ("variation-missing", "derived/config/smoke_test.yaml", 3),  # a suffix on every smoke id
    ("shortened-body", "base/src/train.py", 87),  # the smoke batch cap
}
ABSENT = (
    "out-of-distribution", "calibration error", "adversarial", "FLOPs", "peak memory", "profiler",
    "Wilcoxon", "Bonferroni", "cosine", "warm-up", "label smoothing", "dynamic batching",
    "search space", "step-size sweep", "PASHA",
)  # fmt: skip
NOT_DEFECTS = ("momentum", "n_ctx", "numpy")


@pytest.fixture(scope="module")
def found():
    spec, _, _ = read_prompt(str(SPEC / "specification.txt"))
    base = Project(read_tree("base", str(SPEC / "pair/base")))
    derived = Project(read_tree("derived", str(SPEC / "pair/derived")))
    return review(Context(derived, base, None, spec))


def test_it_is_not_ready(found):
    assert not found.is_experiment_code_ready and found.exit_code == 1
    assert found.ladder["method implemented"].status == "failed"


def test_every_decidable_defect_is_at_its_line(found):
    places = {(f.id, file, line) for f in found.findings for file, line in f.places}
    assert places >= EXPECTED


def test_what_is_described_and_not_there(found):
    said = [f.message for f in found.findings if f.id == "claim-unsupported"]
    for word in ABSENT:
        assert any(word in message for message in said), word


def test_nothing_is_said_of_what_is_no_defect(found):
    for finding in found.findings:
        assert not any(word in finding.message for word in NOT_DEFECTS), finding


def test_the_document_and_the_files_give_the_same_review(found):
    spec, base, derived = read_prompt(str(SPEC / "specification.txt"))
    other = review(Context(Project(derived), Project(base), None, spec))
    assert other.model_dump(exclude={"tool"}) == found.model_dump(exclude={"tool"})
