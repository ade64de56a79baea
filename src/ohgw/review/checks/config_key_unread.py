"""Settings that no code reads. A warning: what is read by roundabout ways looks unread, too."""

from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import flow
from ohgw.review.code.nodes import Node, files
from ohgw.review.findings import Finding
from ohgw.review.meaning.mentions import mentioned
from ohgw.review.meaning.variation import is_name
from ohgw.review.project import Project

MAX_FINDINGS = 10
_OTHERS = frozenset({"hydra", "defaults", "wandb", "version", "name", "author", "note", "goal"})


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    answers = flow(project)
    found: dict[str, list[Node]] = {}
    for root in files(project):
        leaves = [leaf for leaf in root.leaves() if leaf is not root]
        if not any(node in answers.read_nodes for node in root.walk() if node is not root):
            continue  # not a configuration of this code, or read in a way that is not understood
        for leaf in leaves:
            if leaf.origin in answers.read_nodes or not _counts(project, root, leaf):
                continue
            found.setdefault(str(leaf.key), []).append(leaf)
    for key, places in list(found.items())[:MAX_FINDINGS]:
        yield check.finding(
            "warning",
            [project.at(leaf.path) for leaf in places[:5]],
            [leaf.line for leaf in places[:5]],
            f"no code reads the setting {key!r}: whatever its value, the run is the same.",
            evidence=", ".join(dict.fromkeys(f"{p.dotted}: {p.value!r}" for p in places[:5])),
            fix="Read it, or take it out.",
        )


def _counts(project: Project, root: Node, leaf: Node) -> bool:
    if not isinstance(leaf.key, str) or is_name(leaf, root) or mentioned(project, leaf.key):
        return False
    if _OTHERS & {key for key in leaf.route if isinstance(key, str)} or leaf.key.startswith("_"):
        return False
    file = project.tree.files.get(leaf.path)
    node: Node | None = leaf
    while node is not None and node is not root:
        text = file.lines[node.line - 1] if file and node.line <= len(file.lines) else ""
        if "&" in text:  # an anchor: read wherever it is merged
            return False
        node = node.parent
    return True


CHECK = Check("config-key-unread", "Configuration", "configurations compose", _run)
