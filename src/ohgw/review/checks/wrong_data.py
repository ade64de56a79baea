"""Data sets, configurations and splits that do not exist, or are not those that were asked for."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import Flow, flow
from ohgw.review.code.nodes import Node, files
from ohgw.review.code.resolve import names
from ohgw.review.findings import Finding
from ohgw.review.meaning.datasets_known import SYNTHETIC, known, misnamed, selected, spoken_of
from ohgw.review.meaning.runs import role_of, runs
from ohgw.review.project import Module, Project, constant, dotted

_NOISE = re.compile(r".*(?:noise|noisy|corrupt|flip|perturb).*", re.IGNORECASE)
_NOISY_ID = re.compile(r"(?:^|[-_. ])(?:noisy|noise|corrupt(?:ed|ion)?|perturbed)(?:$|[-_. ])")
_DATA_KEY = re.compile(r"data(?:set)?s?|corpus|task", re.IGNORECASE)
_DATA_FILE = re.compile(r"[\w.-]+\.(?:txt|csv|tsv|npz|npy|jsonl|parquet)")


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    answers = flow(project)
    resolver = names(project)
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Call) and resolver.full(module, node.func) in (
                "datasets.load_dataset",
                "datasets.load.load_dataset",
            ):
                yield from _hub(check, project, answers, module, node)
    yield from _clean(check, project)
    yield from _other(check, context, answers)
    yield from _files(check, context)


def _hub(
    check: Check, project: Project, answers: Flow, module: Module, node: ast.Call
) -> Iterator[Finding]:
    """What the Hugging Face hub would refuse."""
    given: dict[str, ast.expr] = dict(zip(("path", "name"), node.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    if any(isinstance(a, ast.Starred) for a in node.args) or "path" not in given:
        return
    if any(keyword.arg is None for keyword in node.keywords):
        return
    for identifier, setting in _texts(answers, given["path"]):
        path, line = _place(project, module, node, setting)
        like = misnamed(identifier)
        if like:
            yield _refused(
                check, path, line, f"there is no data set {identifier!r} (but {like!r})", node
            )
        entry = known(identifier)
        if entry is None:
            continue
        configs = _texts(answers, given["name"]) if "name" in given else []
        if entry.needs and ("name" not in given or constant(given["name"]) is None):
            options = ", ".join(sorted(entry.configs)) or "see its page"
            yield _refused(
                check,
                project.at(module.path),
                node.lineno,
                f"the data set {identifier!r} needs the name of a configuration ({options})",
                node,
            )
        for config, place in configs:
            if entry.configs and config not in entry.configs:
                path, line = _place(project, module, node, place)
                yield _refused(
                    check, path, line, f"{identifier!r} has no configuration {config!r}", node
                )
        if entry.splits:
            for split, line in _splits(module, node, given.get("split")):
                if split not in entry.splits:
                    yield _refused(
                        check,
                        project.at(module.path),
                        line,
                        f"{identifier!r} has no split {split!r} "
                        f"(but {', '.join(sorted(entry.splits))})",
                        node,
                    )


def _refused(check: Check, path: str, line: int, what: str, node: ast.Call) -> Finding:
    return check.finding(
        "error",
        path,
        line,
        f"{what[0].upper()}{what[1:]}: loading it fails.",
        evidence=ast.unparse(node)[:160],
        fix="Name what the data set's page names.",
    )


def _texts(answers: Flow, node: ast.expr) -> list[tuple[str, Node | None]]:
    """The strings that an expression may be, with the setting that gives each."""
    value = constant(node)
    if isinstance(value, str):
        return [(value, None)]
    found: dict[tuple[str, int], tuple[str, Node | None]] = {}
    for part in answers.exact(node):
        if isinstance(part.value, str):
            found[part.value, id(part.origin)] = (part.value, part.origin)
    return list(found.values())


def _place(
    project: Project, module: Module, node: ast.Call, setting: Node | None
) -> tuple[str, int]:
    if setting is not None:
        return project.at(setting.path), setting.line
    return project.at(module.path), node.lineno


def _splits(module: Module, node: ast.Call, given: ast.expr | None) -> Iterator[tuple[str, int]]:
    """Splits asked for by name: `split="train[:1%]"`, `loaded["validation"]`."""
    if given is not None:
        text = constant(given)
        if isinstance(text, str):
            for part in text.split("+"):
                yield part.partition("[")[0].strip(), given.lineno
        return
    parent = module.parents.get(node)
    if not isinstance(parent, ast.Assign) or not isinstance(parent.targets[0], ast.Name):
        return
    name = parent.targets[0].id
    scope: ast.AST | None = parent
    while scope is not None and not isinstance(scope, ast.FunctionDef | ast.Module):
        scope = module.parents.get(scope)
    inside = list(ast.walk(scope)) if scope is not None else []
    if any(isinstance(n, ast.Compare) and name in ast.dump(n) for n in inside):
        return  # asks which splits there are
    stores = [n for n in inside if isinstance(n, ast.Name) and n.id == name]
    if sum(isinstance(n.ctx, ast.Store) for n in stores) > 1:
        return
    for item in inside:
        if isinstance(item, ast.Subscript) and dotted(item.value) == name:
            key = constant(item.slice)
            if isinstance(key, str) and isinstance(item.ctx, ast.Load):
                yield key, item.lineno


def _clean(check: Check, project: Project) -> Iterator[Finding]:
    """A variation called noisy whose noise is zero."""
    for run in runs(project):
        if not _NOISY_ID.search(run.id.lower()) or run.node.is_scalar:
            continue
        amounts = [
            leaf
            for leaf in run.node.leaves()
            if isinstance(leaf.key, str) and _NOISE.fullmatch(leaf.key) and leaf is not run.node
        ]
        if amounts and all(leaf.value in (0, None, False, "none") for leaf in amounts):
            yield check.finding(
                "error",
                project.at(run.path),
                amounts[0].line,
                f"the variation {run.id!r} sets {amounts[0].key} to {amounts[0].value!r}: it runs "
                "on clean data.",
                evidence=f"{amounts[0].dotted}: {amounts[0].value!r}",
                fix="Set the amount that the description names.",
            )


def _other(check: Check, context: Context, answers: Flow) -> Iterator[Finding]:
    """The full experiment selects data that the description does not speak of, and no other."""
    project, text = context.derived, context.spec.description
    asked = spoken_of(text)
    if not asked:
        return
    chosen: list[tuple[Node, set[str]]] = []
    made_up: list[Node] = []
    for root in files(project):
        for leaf in root.leaves():
            keys = [key for key in leaf.route if isinstance(key, str)]
            if not isinstance(leaf.value, str) or role_of(leaf) == "smoke":
                continue
            if leaf.origin not in answers.read_nodes or not any(map(_DATA_KEY.fullmatch, keys)):
                continue
            if leaf.key not in ("name", "id", "path", "type", "dataset", "data", "names", "corpus"):
                continue
            if found := selected(leaf.value):
                chosen.append((leaf, found))
            elif SYNTHETIC.search(leaf.value) and role_of(leaf) == "full":
                made_up.append(leaf)
    if chosen and not any(found & asked for _, found in chosen):
        leaf, found = chosen[0]
        yield _unasked(check, project, leaf, f"{', '.join(sorted(found))}", asked)
    elif made_up and not chosen and not SYNTHETIC.search(text):
        yield _unasked(check, project, made_up[0], "made-up data", asked)


def _unasked(check: Check, project: Project, leaf: Node, what: str, asked: set[str]) -> Finding:
    return check.finding(
        "error",
        project.at(leaf.path),
        leaf.line,
        f"The full experiment runs on {what} ({leaf.value!r}), but its description speaks of "
        f"{', '.join(sorted(asked))}.",
        evidence=f"{leaf.dotted}: {leaf.value!r}",
        fix="Select the data set of the description.",
    )


def _files(check: Check, context: Context) -> Iterator[Finding]:
    """A file of data that is in neither tree, where the base reads one that is."""
    base, project = context.base, context.derived
    if base is None:
        return
    there = {PurePosixPath(path).name for path in [*project.tree.files, *base.tree.files]}
    used = {name for name in base.strings if _DATA_FILE.fullmatch(name) and name in there}
    if not used or used & set(project.strings):
        return
    for name, places in project.strings.items():
        if _DATA_FILE.fullmatch(name) and name not in there and name not in base.strings:
            path, line = places[0]
            module = project.modules[path]
            if re.search(r"""['"][wax]b?['"]|to_csv|save|dump|write""", module.source(line)):
                continue
            yield check.finding(
                "error",
                project.at(path),
                line,
                f"the data file {name!r} is not in the tree; the base reads "
                f"{', '.join(sorted(used))}.",
                evidence=module.source(line),
                fix="Name the file that is there, or add it.",
            )


CHECK = Check("wrong-data", "Method Fidelity", "method implemented", _run)
