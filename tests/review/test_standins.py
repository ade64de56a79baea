"""What stands in for hubs and data sets is seen, cannot be written, and is named."""

import sys

import pytest

from ohgw.core.errors import SettingError
from ohgw.review.checks import Context
from ohgw.review.project import Project
from ohgw.review.run import review
from ohgw.review.smoke import smoke
from ohgw.review.smoke.sandbox import Limits, best_isolation, run
from ohgw.review.smoke.standins import stand_ins
from ohgw.review.tree import from_mapping

needs_isolation = pytest.mark.skipif(
    best_isolation() == "limits only", reason="no namespaces and no bubblewrap on this machine"
)

CODE = """
import json, os, pathlib, sys
hub = pathlib.Path(os.environ["HF_HOME"], "hub")
model = hub / "models--a--b"
assert (model / "snapshots/config.json").read_text() == "{}"
assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_DATASETS_OFFLINE"] == "1"
refused = 0
for place in (model / "snapshots/config.json", model / "new", data := pathlib.Path(
    os.environ["SCIKIT_LEARN_DATA"], "digits.csv")):
    try:
        place.write_text("changed")
    except OSError:
        refused += 1
(hub / ".locks").mkdir()
(hub / ".locks/b.lock").write_text("")
assert refused == 3 and data.read_text() == "1,2" and "TORCH_HOME" not in os.environ
with open(sys.argv[sys.argv.index("--results-dir") + 1] + "/results.json", "w") as file:
    json.dump({"refused": refused, "accuracy": 0.25}, file)
"""


@pytest.fixture
def caches(tmp_path):
    model = tmp_path / "huggingface/hub/models--a--b/snapshots"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/digits.csv").write_text("1,2")
    (tmp_path / "data/gone").symlink_to("nowhere")
    for place in (tmp_path, *tmp_path.rglob("*")):
        if not place.is_symlink():
            place.chmod(0o777)
    return tmp_path


@needs_isolation
def test_a_stand_in_is_seen_but_not_written_and_is_named(caches):
    tree = from_mapping("derived", "derived", {"src/main.py": CODE})
    context = Context(Project(tree))
    limits = Limits(seconds=20.0)
    seen = smoke(context, python=sys.executable, limits=limits, offered=stand_ins(str(caches)))
    found = review(context, checks=(), observation=seen)
    assert found.findings == [] and found.exit_code == 0
    assert found.tool["stand-ins"] == f"from {caches}: huggingface, data"
    reason = found.ladder["smoke runs"].reason
    assert reason.endswith(f", with stand-ins from {caches}: huggingface, data")
    assert (caches / "data/digits.csv").read_text() == "1,2"
    assert [path.name for path in (caches / "huggingface/hub").iterdir()] == ["models--a--b"]


def test_without_isolation_nothing_is_shown(caches):
    offered = stand_ins(str(caches))
    outcome = run(
        ["/bin/true"],
        caches,
        caches,
        python=sys.executable,
        limits=Limits(),
        environment={},
        isolation="limits only",
        shown=offered.binds,
    )
    assert outcome.exit_code is None and outcome.failure


def test_a_folder_without_stand_ins_is_refused(tmp_path):
    with pytest.raises(SettingError, match="huggingface, torch, data"):
        stand_ins(str(tmp_path))
    (tmp_path / "torch").mkdir()
    assert stand_ins(str(tmp_path)).environment == {"TORCH_HOME": "/review/standins/torch"}
    assert stand_ins(None).named == ""
