"""Hydra configurations that do not compose, or do not allow what the code does to them."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import At, flow
from ohgw.review.code.nodes import Node
from ohgw.review.code.resolve import names
from ohgw.review.compose import Composition, compositions
from ohgw.review.findings import Finding
from ohgw.review.project import Module, Project, constant, dotted

_REFERENCE = re.compile(r"\$\{\s*([.\w-]+)\s*\}")
_OVERRIDE = re.compile(r"([A-Za-z_][\w./@-]*)=")

# What the public modules offer, so that a name outside is one that does not exist.
_API = {
    "hydra.utils": frozenset(
        """call instantiate get_class get_method get_static_method get_object get_original_cwd
        to_absolute_path log convert_string_to_object_or_dict""".split()
    ),
    "omegaconf.OmegaConf": frozenset(
        """create load save to_yaml to_container to_object merge unsafe_merge update select
        set_struct is_struct set_readonly is_readonly is_missing is_interpolation is_config is_list
        is_dict masked_copy register_new_resolver register_resolver legacy_register_resolver
        has_resolver clear_resolver clear_resolvers clear_cache get_cache set_cache copy_cache
        resolve get_type missing_keys structured from_cli from_dotlist typed_list typed_dict
        get_resolver""".split()
    ),
}


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    found = compositions(project)
    for composition in found:
        for problem in composition.problems:
            yield check.finding(
                "error",
                project.at(problem.path),
                problem.line,
                f"Hydra cannot compose: {problem.message}",
                evidence=_source(project, problem.path, problem.line),
                fix=problem.fix,
            )
        yield from _nameless(check, project, composition)
        if composition.known and composition.complete:
            yield from _interpolations(check, project, composition)
            yield from _writes(check, project, composition)
    yield from _overrides(check, project, found)
    yield from _api(check, project)


def _source(project: Project, path: str, line: int) -> str:
    file = project.tree.files.get(path)
    lines = file.lines if file else []
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def _nameless(check: Check, project: Project, composition: Composition) -> Iterator[Finding]:
    """`@hydra.main(config_path=...)` without a name gives an empty configuration."""
    decorator = composition.decorator
    given = {keyword.arg for keyword in decorator.keywords}
    if len(decorator.args) > 1 or "config_name" in given or None in given:
        return
    function = composition.entry.node
    if not isinstance(function, ast.FunctionDef) or not function.args.args:
        return
    parameter = function.args.args[0].arg
    reads = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute | ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == parameter
    ]
    told = any(
        word in (file.text or "")
        for file in project.tree.texts(".md", ".sh", ".py", ".yaml", ".yml", "")
        for word in ("--config-name", "-cn ", '"-cn"')
    )
    if reads and not told:
        module = composition.entry.module
        yield check.finding(
            "error",
            project.at(module.path),
            decorator.lineno,
            f"hydra.main has no config_name, so {function.name} receives an empty configuration, "
            f"from which it reads {ast.unparse(reads[0])}.",
            evidence=module.source(decorator.lineno),
            fix="Name the configuration: config_name=...",
        )


def _interpolations(check: Check, project: Project, composition: Composition) -> Iterator[Finding]:
    """`${a.b}` where there is no a.b."""
    written = flow(project).record.written
    seen: set[tuple[str, int]] = set()
    for root in composition.roots:
        for leaf in root.leaves():
            if not isinstance(leaf.value, str) or "${" not in leaf.value:
                continue
            for reference in _REFERENCE.findall(leaf.value):
                name = reference.lstrip(".").split(".")[0]
                if name in ("hydra", "") or reference.split(".")[-1] in written:
                    continue
                if _target(root, leaf, reference) is None and (leaf.path, leaf.line) not in seen:
                    seen.add((leaf.path, leaf.line))
                    yield check.finding(
                        "error",
                        project.at(leaf.path),
                        leaf.line,
                        f"{leaf.dotted} refers to ${{{reference}}}, which the composed "
                        "configuration does not have: reading it fails.",
                        evidence=str(leaf.value),
                        fix="Correct the reference, or add what it refers to.",
                    )


def _target(root: Node, leaf: Node, reference: str) -> Node | None:
    dots = len(reference) - len(reference.lstrip("."))
    start: Node | None = root
    if dots:
        start = leaf
        for _ in range(dots):
            start = start.parent if start else None
    keys = [part for part in reference.strip(".").split(".") if part]
    if start is None:
        return None
    return start.at(*[int(key) if key.isdigit() else key for key in keys])


def _writes(check: Check, project: Project, composition: Composition) -> Iterator[Finding]:
    """`cfg.new = value` in the entry point: its configuration is closed (struct)."""
    module = composition.entry.module
    text = module.file.text or ""
    if "set_struct" in text or "open_dict" in text:
        return
    function = composition.entry.node
    if not isinstance(function, ast.FunctionDef) or not function.args.args:
        return
    parameter = function.args.args[0].arg
    stores = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == parameter]
    if any(isinstance(node.ctx, ast.Store) for node in stores):
        return
    inside = set(ast.walk(function))
    for target, (key, base) in flow(project).record.writes.items():
        if target not in inside or not dotted(target).startswith(f"{parameter}."):
            continue
        parts = [item.node for item in base if isinstance(item, At) and not item.loose]
        lacking = [node for node in parts if node.children is not None and not node.child(key)]
        if parts and len(lacking) == len(parts) == len(base):
            line = getattr(target, "lineno", 1)
            yield check.finding(
                "error",
                [project.at(module.path), project.at(lacking[0].path)],
                [line, lacking[0].line],
                f"{dotted(target)} is set, but Hydra's configuration is closed and has no such "
                "key: the run stops there.",
                evidence=module.source(line),
                fix="Add the key to the configuration, or open it with omegaconf.open_dict.",
            )


def _overrides(check: Check, project: Project, found: list[Composition]) -> Iterator[Finding]:
    """`key=value` handed to an entry point of this project in a new process."""
    entries = {c.entry.module.name: c for c in found if c.known}
    for module in project.parsed():
        for definition in module.definitions.values():
            if definition.is_class:
                continue
            constants = [
                node.value
                for node in ast.walk(definition.node)
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
            if "-m" not in constants:
                continue
            called = [entries[text] for text in constants if text in entries]
            if len(called) == 1:
                yield from _refused(check, project, module, definition.node, called[0])


def _refused(
    check: Check, project: Project, module: Module, function: ast.AST, entry: Composition
) -> Iterator[Finding]:
    seen: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.JoinedStr):
            first = node.values[0] if node.values else None
            text = constant(first) if isinstance(first, ast.Constant) else None
        else:
            text = constant(node) if isinstance(node, ast.Constant) else None
        parent = module.parents.get(node)
        if not isinstance(text, str) or not isinstance(parent, ast.List | ast.Call):
            continue
        if isinstance(parent, ast.Call) and getattr(parent.func, "attr", "") not in (
            "append", "extend", "insert", "run", "Popen", "check_call",
        ):  # fmt: skip
            continue
        match = _OVERRIDE.match(text)
        if match is None or " " in text or match[1] in seen:
            continue
        key = match[1]
        seen.add(key)
        reason = _why_refused(entry, key)
        if reason:
            yield check.finding(
                "error",
                [project.at(module.path), project.at(entry.primary or entry.entry.module.path)],
                [getattr(node, "lineno", 1), 1],
                f"the override {key}=... for {entry.entry.module.name} is refused: {reason}.",
                evidence=module.source(getattr(node, "lineno", 1)),
                fix=f"Add {key} to the configuration or its defaults list, or write +{key}=...",
            )


def _why_refused(entry: Composition, key: str) -> str:
    name = key.partition("@")[0]
    if name.startswith("hydra") or not entry.roots:
        return ""
    if name in entry.groups:
        if name in entry.chosen:
            return ""
        return f"{name!r} is a group of files, but the defaults list of {entry.primary} lacks it"
    if not entry.complete or name in entry.chosen:
        return ""
    keys = name.split(".")
    if any(root.at(*keys) is not None for root in entry.roots):
        return ""
    return f"{entry.primary} has no such key"


def _api(check: Check, project: Project) -> Iterator[Finding]:
    """Names of hydra.utils and OmegaConf that do not exist."""
    resolver = names(project)
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Attribute):
                owner, _, name = resolver.full(module, node).rpartition(".")
            elif isinstance(node, ast.ImportFrom) and node.module == "hydra.utils":
                owner = node.module
                name = next((a.name for a in node.names if a.name not in _API[owner]), "")
            else:
                continue
            known = _API.get(owner)
            if known and name and name != "*" and not name.startswith("_") and name not in known:
                yield check.finding(
                    "error",
                    project.at(module.path),
                    node.lineno,
                    f"{owner} has no {name!r}: the run stops there.",
                    evidence=module.source(node.lineno),
                    fix=f"Use what {owner} offers.",
                )


CHECK = Check("hydra-compose", "Configuration", "configurations compose", _run)
