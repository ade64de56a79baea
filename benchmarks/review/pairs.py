"""The good pairs: base, derived and specification, read once, changed as mappings of texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ohgw.review import Context
from ohgw.review.project import Project
from ohgw.review.spec import Spec, read_spec
from ohgw.review.tree import Tree, from_mapping, read_tree

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# Pairs whose smoke test runs here; the others need a hub or are too slow for many mutants.
RUNNABLE = ("calibration", "halving", "language")


@dataclass(frozen=True)
class Change:
    """New texts by path (None: the file is gone) in one of the two trees."""

    what: str  # in one line
    files: Mapping[str, str | None]
    side: str = "derived"


class Pair:
    """One good pair. `folder` holds base/, derived/ and SPEC.yaml."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.base = _texts(read_tree("base", str(folder / "base")))
        self.derived = _texts(read_tree("derived", str(folder / "derived")))
        self.spec: Spec = read_spec(str(folder / "SPEC.yaml"))

    @cached_property
    def python(self) -> dict[str, str]:
        """The derived modules that hold something."""
        return {p: t for p, t in self.derived.items() if p.endswith(".py") and t.strip()}

    @cached_property
    def yaml(self) -> dict[str, str]:
        return {p: t for p, t in self.derived.items() if p.endswith((".yaml", ".yml"))}

    @cached_property
    def _base(self) -> Project:
        """Parsed once for all reviews of the pair."""
        return Project(from_mapping("base", self.name, self.base))

    def changed(self, change: Change) -> dict[str, str]:
        """The texts of the changed side."""
        before = self.base if change.side == "base" else self.derived
        after = {**before, **change.files}
        return {path: text for path, text in after.items() if text is not None}

    def context(self, change: Change | None = None) -> Context:
        """What a review of the pair, changed or not, looks at."""
        base, derived = self._base, self.derived
        if change is not None and change.side == "base":
            base = Project(from_mapping("base", self.name, self.changed(change)))
        elif change is not None:
            derived = self.changed(change)
        project = Project(from_mapping("derived", self.name, derived))
        return Context(project, base, None, self.spec)


def _texts(tree: Tree) -> dict[str, str]:
    return {path: file.text for path, file in tree.files.items() if file.text is not None}


def load_pairs() -> dict[str, Pair]:
    """By name; the repository's own example is one of them."""
    folders = {"experiment": ROOT / "examples" / "experiment"}
    folders |= {path.name: path for path in sorted((HERE / "good").iterdir()) if path.is_dir()}
    return {name: Pair(name, folder) for name, folder in folders.items()}
