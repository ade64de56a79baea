"""Every check against the examples on its page, which is its documentation and its test."""

import re
from pathlib import Path

import pytest
import yaml

from ohgw.review.checks import CHECKS, Context
from ohgw.review.findings import LADDER
from ohgw.review.project import Project
from ohgw.review.run import review
from ohgw.review.smoke import CHECKS as SMOKE_CHECKS
from ohgw.review.spec import Spec, make_spec
from ohgw.review.tree import from_mapping

PAGES = Path(__file__).parents[2] / "docs/review"
BY_ID = {check.id: check for check in CHECKS}


def sections(text, level):
    """(title, body) of the headings of one level."""
    parts = re.split(rf"(?m)^{'#' * level} (.+)$", text)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def files(body):
    """Blocks of code by the path in backticks on a line of its own before each."""
    return {
        path: code for path, code in re.findall(r"(?ms)^`([^`\n]+)`:?\s*\n+```\w*\n(.*?)^```", body)
    }


def examples():
    """(id, kind, title, files) of every example of every page; kind is Flagged or Not flagged."""
    for check in CHECKS:
        page = (PAGES / f"{check.id}.md").read_text()
        for kind, body in sections(page, 2):
            if kind in ("Flagged", "Not flagged"):
                for title, example in sections(body, 3):
                    yield pytest.param(check.id, kind, files(example), id=f"{check.id}-{title}")


def project(label, given):
    found = {
        path.removeprefix(f"{label}/"): code
        for path, code in given.items()
        if path.startswith(f"{label}/")
    }
    return Project(from_mapping(label, label, found)) if found else None


@pytest.mark.parametrize(("name", "kind", "given"), list(examples()))
def test_examples_of_the_page(name, kind, given):
    """Flagged lines end in a comment `# <-`; where an example has none, any finding will do."""
    text = given.get("SPEC.yaml")
    spec = make_spec(yaml.safe_load(text), "SPEC.yaml") if text else Spec()
    derived = project("derived", given)
    assert derived is not None, "an example needs files under derived/"
    context = Context(derived, project("base", given), project("before", given), spec)
    result = review(context, checks=[BY_ID[name]])
    assert not [missing for missing in result.missing if "failed" in missing]
    if kind == "Not flagged":
        assert result.findings == []
        return
    assert result.findings and all(finding.id == name for finding in result.findings)
    marked = {
        (path, number)
        for path, code in given.items()
        for number, line in enumerate(code.splitlines(), 1)
        if line.rstrip().endswith("# <-")
    }
    places = {place for finding in result.findings for place in finding.places}
    if marked:
        assert places == marked


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_check_has_a_page_with_examples(check):
    page = (PAGES / f"{check.id}.md").read_text()
    assert page.startswith(f"# {check.id}\n")
    kinds = dict(sections(page, 2))
    assert {"What", "Why", "Flagged", "Not flagged", "Fix"} <= set(kinds)
    assert check.rung in LADDER
    assert f"({check.id}.md)" in (PAGES / "README.md").read_text()


def test_no_page_is_left_over():
    assert {page.stem for page in PAGES.glob("*.md")} - {"README", "smoke"} == set(BY_ID)


def test_every_finding_of_a_smoke_run_is_on_its_page():
    page = (PAGES / "smoke.md").read_text()
    assert all(f"`{check.id}`" in page and check.rung in LADDER for check in SMOKE_CHECKS)


def test_ids_are_distinct():
    assert len(BY_ID) == len(CHECKS)
