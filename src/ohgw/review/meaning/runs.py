"""The variations that a project's configurations define: each with its id, role, subtree and seeds.

A variation is a mapping that names itself (`run_id: a`), a key of a mapping, an item of a list of
names, or a file of its own (a Hydra group). YAML, JSON, TOML and literals of Python count alike.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ohgw.review.code.memo import once
from ohgw.review.code.nodes import Node, configurations
from ohgw.review.project import Project

ID_KEYS = (
    "run_id", "id", "variation", "variation_id", "run_name", "exp_id", "experiment_id", "name",
    "variant", "run", "tag", "label", "condition", "arm", "method", "key",
)  # fmt: skip
COLLECTIONS = re.compile(
    r"(?:.*_)?(?:experiments?|runs?|variations?|variants?|conditions|arms|run_configs|jobs)(?:_list)?"
)
SMOKE_WORDS = frozenset(
    "smoke smoketest debug quick ci sanity tiny dryrun mini toy fast fake dev lite dummy".split()
)
FULL_WORDS = frozenset("full main paper production prod final complete".split())
SUFFIXES = SMOKE_WORDS | {"test", "small", "synthetic", "light", "full", "run", "short"}


@dataclass(frozen=True)
class Run:
    """One variation in one configuration."""

    id: str
    node: Node  # its subtree; a scalar where only its name stands there
    role: str  # smoke, full or other
    collection: Node | None  # the list or mapping that holds it with its siblings

    @property
    def path(self) -> str:
        return self.node.path

    @property
    def line(self) -> int:
        named = next((c for k in ID_KEYS if (c := self.node.child(k)) is not None), None)
        return named.line if named is not None and named.value == self.id else self.node.line


def words(text: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]


def role_of(node: Node) -> str:
    """From the file's name and the keys on the way."""
    path = [word for part in PurePosixPath(node.path).parts for word in words(part)]
    route = [word for key in node.route if isinstance(key, str) for word in words(key)]
    if SMOKE_WORDS & {*path, *route[:2]}:
        return "smoke"
    return "full" if FULL_WORDS & {*path, *route[:2]} else "other"


def spelled(text: str) -> str:
    """Without case and punctuation."""
    return "".join(words(text)) or text.lower()


def same_id(wanted: str, found: str) -> str:
    """exact, suffix (a smoke word was put on), spelling (case, punctuation), or '' for another."""
    if wanted == found:
        return "exact"
    if spelled(wanted) == spelled(found):
        return "spelling"
    first, second = words(wanted), words(found)
    rest = [word for word in second if word not in first]
    if rest and set(rest) <= SUFFIXES and [w for w in second if w not in rest] == first:
        return "suffix"
    return ""


@once
def runs(project: Project) -> list[Run]:
    """Every variation that can be recognised without knowing its id."""
    found: dict[tuple[str, int, str], Run] = {}
    for root in configurations(project):
        for run in (*_listed(root), *_own_file(project, root)):
            found.setdefault((run.path, id(run.node), run.id), run)
    return list(found.values())


def find(project: Project, wanted: tuple[str, ...]) -> list[Run]:
    """With those that are only recognised because their ids are known."""
    known = {id(run.node) for run in runs(project)}
    found = list(runs(project))
    exact = set(wanted)
    for root in configurations(project):
        stem = PurePosixPath(root.path).stem
        if stem in exact and id(root) not in known:
            found.append(Run(stem, root, role_of(root), None))
        for node in root.walk():
            parent = node.parent
            if id(node) in known or parent is None:
                continue
            if isinstance(node.key, str) and node.key in exact and not node.is_scalar:
                found.append(Run(node.key, node, role_of(node), parent))
            elif node.is_scalar and isinstance(node.value, str) and node.value in exact:
                if parent.key_kind is int:
                    found.append(Run(node.value, node, role_of(node), parent))
                elif node.key in ID_KEYS and id(parent) not in known:
                    found.append(Run(node.value, parent, role_of(parent), parent.parent))
    return found


def _listed(root: Node) -> Iterator[Run]:
    for node in root.walk():
        if node.is_scalar or not node.children or not isinstance(node.key, str):
            continue
        if not COLLECTIONS.fullmatch(node.key.lower()):
            continue
        role = role_of(node)
        for key, item in node.children.items():
            if node.key_kind is int:
                name = item.value if item.is_scalar else own_id(item)
            else:
                name = key if item.key_kind is str or not item.children else None
                if item.is_scalar and item.value is not None:
                    name = None
            if isinstance(name, str) and name:
                yield Run(name, item, role, node)


def own_id(node: Node) -> str | None:
    for key in ID_KEYS:
        child = node.child(key)
        if child is not None and child.is_scalar and isinstance(child.value, str | int):
            return str(child.value)
    return None


def _own_file(project: Project, root: Node) -> Iterator[Run]:
    """A file of a group: config/run/NAME.yaml, conf/experiment/NAME.yaml."""
    folder = PurePosixPath(root.path).parent
    if root.path.endswith(".py") or root.parent is not None or root.key_kind is not str:
        return
    if COLLECTIONS.fullmatch(folder.name.lower()) and len(folder.parts) > 1:
        stem = PurePosixPath(root.path).stem
        named = root.child("run_id")
        yield Run(stem, root, role_of(root), None)
        if named is not None and isinstance(named.value, str) and named.value != stem:
            yield Run(named.value, root, role_of(root), None)


def seeds(node: Node) -> tuple[int | None, Node | None]:
    """How many seeds a subtree asks for, and where; None where it says nothing."""
    count: int | None = None
    where: Node | None = None
    for below in node.walk():
        if not isinstance(below.key, str):
            continue
        key = below.key.lower()
        number: int | None = None
        if key in ("seeds", "seed_list", "random_seeds", "seed_range"):
            if below.children is not None:
                number = len(below.children)
            elif isinstance(below.value, int) and not isinstance(below.value, bool):
                number = below.value
            elif isinstance(below.value, str) and (span := re.fullmatch(
                r"(?:range\()?(\d+)\s*(?:\.\.|-|,\s*)\s*(\d+)\)?", below.value
            )):  # fmt: skip
                number = abs(int(span[2]) - int(span[1]))
        elif re.fullmatch(
            r"(?:num|n|number_of|no)_?(?:seeds|replicates?|repeats|repetitions|trials_per_run)"
            r"|replicates?|repeats|repetitions|n_rep",
            key,
        ):
            if isinstance(below.value, int) and not isinstance(below.value, bool):
                number = below.value
        elif key in ("seed", "random_seed") and below.is_scalar and isinstance(below.value, int):
            number = 1
        elif key in ("seed", "random_seed") and below.children is not None:
            number = len(below.children)
        if number is not None and (count is None or number > count):
            count, where = number, below
    return count, where
