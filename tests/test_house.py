"""The house rules that no other tool checks."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ohgw.version import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ohgw"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
PINS = {
    canonicalize_name(name): version
    for name, _, version in (c.partition("==") for c in CONSTRAINTS)
}
REQUIREMENTS = [
    Requirement(text)
    for text in (
        *PROJECT["build-system"]["requires"],
        *PROJECT["project"]["dependencies"],
        *(r for extra in PROJECT["project"]["optional-dependencies"].values() for r in extra),
    )
]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]


@pytest.mark.parametrize("line", CONSTRAINTS)
def test_constraint_is_one_exact_public_version(line):
    """No URL, path, marker or local version such as +cpu, which only some indexes carry."""
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9]+(\.[0-9]+)*((a|b|rc|\.post)[0-9]+)?", line)


def test_torch_is_pinned():
    assert PINS["torch"] == "2.13.0"


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_dependency_is_pinned_to_a_version_it_allows(requirement):
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_every_installed_dependency_of_the_package_is_pinned():
    """Transitive ones too, as far as this environment's markers ask for them."""
    unpinned, todo, seen = set(), ["ohgw"], set()
    while todo:
        name = todo.pop()
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            child = canonicalize_name(requirement.name)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            if child not in seen:
                seen.add(child)
                todo.append(child)
                if child not in PINS:
                    unpinned.add(child)
    # The CUDA build of torch names its own exact versions.
    assert {name for name in unpinned if not re.match("nvidia-|cuda-|triton", name)} == set()


def test_declared_dependencies_are_those_that_the_source_imports():
    """The core ones exactly; beyond them, only what an extra brings or a driver does."""
    modules = set()
    for path in PACKAGE.rglob("*.py"):
        if PACKAGE / "template" in path.parents:
            continue  # an experiment with dependencies of its own
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module.partition(".")[0])
    foreign = modules - set(sys.stdlib_module_names) - {"ohgw", "pynvml"}
    names = {
        "PIL": "pillow",
        "ale_py": "ale-py",
        "hydra": "hydra-core",
        "omegaconf": "hydra-core",
        "sklearn": "scikit-learn",
        "syne_tune": "syne-tune",
        "xgboost": "xgboost-cpu",
        "yaml": "pyyaml",
    }
    imported = {names.get(module, module) for module in foreign}
    core = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    groups = PROJECT["project"]["optional-dependencies"]
    extras = {Requirement(text).name for group in groups.values() for text in group}
    assert core <= imported
    assert imported - core <= extras


def test_installed_package_is_this_project():
    metadata = importlib.metadata.metadata("ohgw")
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="ohgw")
    assert script.value == "ohgw.cli:main"


def test_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_changelog_knows_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {__version__} (" in text


def test_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize(
    "path",
    [p for p in PACKAGE.rglob("*") if p.suffix in {".py", ".html", ".jinja", ".css", ".js"}],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_source_has_no_placeholder_and_no_machine_path(path):
    found = re.findall(r"TODO|FIXME|PLACEHOLDER|/work/|/tmp/", path.read_text(encoding="utf-8"))
    assert found == []


def test_every_package_has_its_place_in_the_layers():
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c["type"] == "layers")
    placed = {name.strip() for layer in layers for name in layer.split("|")}
    # testing has a contract of its own; conf holds files of settings, no code
    outside = {"ohgw.__main__", "ohgw.conf", "ohgw.testing", "ohgw.version"}
    found = {
        f"ohgw.{p.stem}"
        for p in PACKAGE.iterdir()
        if p.suffix == ".py" or (p / "__init__.py").is_file()
    }
    assert placed | outside == found - {"ohgw.__init__"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_make_targets_in_the_pages_exist(page):
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    named = re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(encoding="utf-8"), re.M)
    assert set(named) <= set(rules)


def find_python(room: Path, answer: str | None) -> subprocess.CompletedProcess[str]:
    """Run the script where the only Python on the path answers its question with `answer`."""
    if answer is not None:
        fake = room / "python3"
        fake.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
        fake.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", ROOT / "scripts" / "find-python"],
        env={k: v for k, v in os.environ.items() if k != "PYTHON"} | {"PATH": str(room)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_find_python_takes_a_new_one(tmp_path):
    done = find_python(tmp_path, "3.12.1 new pip")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/python3\n")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("3.9.2 old pip", "needs Python 3.11 or newer; found 3.9.2 ({}/python3)"),
        ("3.11.4 new nopip", "Python 3.11.4 ({}/python3) has no venv or ensurepip module"),
        (None, "needs Python 3.11 or newer; found no Python at all"),
    ],
)
def test_find_python_explains_itself(tmp_path, answer, message):
    done = find_python(tmp_path, answer)
    assert (done.returncode, done.stdout) == (1, "")
    assert message.format(tmp_path) in done.stderr
    assert done.stderr.count("\n") == 1
