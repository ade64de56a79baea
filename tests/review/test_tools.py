"""The tools beside the checks: absent, too slow, and never in the way."""

import pytest

from ohgw.review import tools
from ohgw.review.checks import Context, undefined_name
from ohgw.review.project import Project
from ohgw.review.run import review
from ohgw.review.tree import from_mapping

SOURCE = "def load(path):\n    return yaml.safe_load(path)\n"


def project(source=SOURCE):
    return Project(from_mapping("derived", "derived", {"src/train.py": source}))


@pytest.fixture
def fresh():
    caches = (tools.program, tools.versions)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_without_the_tools_the_review_has_rules_of_its_own(monkeypatch, fresh):
    monkeypatch.setattr(tools.shutil, "which", lambda *args, **kwargs: None)
    result = review(Context(project()), checks=[undefined_name.CHECK])
    assert [(f.id, f.line) for f in result.findings] == [("undefined-name", 2)]
    assert "absent" in result.tool["ruff"] and "absent" in result.tool["ty"]


def test_a_tool_that_takes_too_long_is_stopped(monkeypatch, fresh, tmp_path):
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(tools, "SECONDS", 0.2)
    monkeypatch.setattr(tools, "program", lambda name: str(slow))
    assert tools.diagnostics(project()) == []


def test_what_a_tool_prints_is_not_trusted(monkeypatch, fresh):
    for text in (
        "",
        "{",
        "[1, null]",
        '[{"code": "F821"}]',
        '[{"filename": "/etc", "location": 3}]',
    ):
        monkeypatch.setattr(tools, "_output", lambda *args, text=text: text)
        assert tools.diagnostics(project()) == []
