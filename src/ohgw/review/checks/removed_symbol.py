"""Functions, classes, entry points and branches of the base that the derived tree no longer has."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.checks.placeholder import TOKEN
from ohgw.review.checks.stub import stub_of
from ohgw.review.code.bindings import bindings
from ohgw.review.code.commands import guard, option_line, options, passed_options
from ohgw.review.code.dispatch import Branch, branches, texts
from ohgw.review.code.likeness import body_of
from ohgw.review.code.memo import once
from ohgw.review.code.resolve import names
from ohgw.review.code.uses import uses
from ohgw.review.findings import Finding, Severity
from ohgw.review.meaning.pvalues import may_test, tests
from ohgw.review.preservation import Comparison, Fate, Piece, found, words
from ohgw.review.project import Module, Project, dotted

# Stand-ins of the base are there to be replaced.
_STAND_IN = re.compile(
    r"(?i)dummy|fake|synthetic|toy(?=_|[A-Z]|$)|mock|stub|"
    r"(?:example|sample|random)_?(?:data|tensor|image|text|token|label|input|model)|"
    + "place"
    + "holder"
)
# Verbs that say little of what a function is about.
_VAGUE = frozenset(
    "get set build make create compute run do load save plot the of and to from with a an is has "
    "init main all one new for in on by calc calculate generate prepare process handle my".split()
)
SMALL = 10  # atoms; less than this is soon written differently
FEW, LITTLE = 0.5, 0.25  # of a body found in new code: it may have been written again


def _run(check: Check, context: Context) -> Iterator[Finding]:
    base, comparison = context.base, context.comparison
    if base is None or comparison is None:
        return
    derived = context.derived
    broken = {m.path for m in derived.modules.values() if m.problem}
    lost: set[tuple[str, str]] = set()
    for fate in comparison.fates:
        path = fate.old.module.path
        if path in broken or _file_is_gone(fate.old.module, derived, comparison):
            continue  # said of the file as a whole
        if fate.kind == "gone" and (path, fate.old.owner) not in lost:
            lost.add(fate.old.key)
            if not _is_stand_in_only(fate.old):
                yield _gone(check, base, derived, fate, comparison)
        elif fate.kind == "renamed" and fate.new is not None:
            yield from _renamed(check, base, fate)
    for module in base.parsed():
        if module.path not in broken:
            yield from _entry(check, base, derived, module)
            yield from _options(check, base, derived, module)
    yield from _branches(check, base, derived, comparison)
    yield from _tests(check, base, derived)


def _file_is_gone(module: Module, derived: Project, comparison: Comparison) -> bool:
    """The file is missing with everything in it, which `removed-file` reports at once."""
    if module.path in derived.modules:
        return False
    fates = [fate for fate in comparison.fates if fate.old.module is module]
    return all(fate.kind == "gone" for fate in fates)


def _is_stand_in_only(piece: Piece) -> bool:
    """A piece that only says that it has to be written."""
    definition = piece.definition
    if stub_of(definition) is not None:
        return True
    if definition.is_class:
        methods = [n for n in definition.node.body if not isinstance(n, ast.Expr | ast.Pass)]
        return not methods
    gives = any(line.gives for line in piece.body.lines)
    return not gives and any(TOKEN.search(token) for token in piece.body.atoms)


def _gone(
    check: Check, base: Project, derived: Project, fate: Fate, comparison: Comparison
) -> Finding:
    old = fate.old
    kind = "class" if old.is_class else "method" if old.owner else "function"
    _, atoms = found(old.body, comparison)
    used = _is_used(base, old)
    severity: Severity = "error"
    why = "nothing in the derived code does what it did"
    if _is_dangling(derived, old):
        why = "the derived code still calls it"
    elif _STAND_IN.search(old.name):
        severity, why = "warning", "the derived code has no stand-in of this kind any more"
    elif not used:
        severity, why = "warning", "the base never uses it itself"
    elif atoms >= (FEW if old.body.size >= SMALL else LITTLE):
        severity, why = "warning", f"{atoms:.0%} of what it calls is found in new code"
    elif _is_named_anew(old, comparison):
        severity, why = "warning", "new code has names like it and may do the same otherwise"
    return check.finding(
        severity,
        base.at(old.module.path),
        old.definition.line,
        f"The {kind} {old.name} of the base is gone from the derived code: {why}.",
        evidence=old.module.source(old.definition.line),
        fix="Bring it back, or write what replaces it.",
    )


def _is_used(base: Project, piece: Piece) -> bool:
    """Whether the base uses a piece, itself or by leaving it to a library."""
    known = uses(base)
    inside = sum(
        1
        for node in ast.walk(piece.definition.node)
        if getattr(node, "id", None) == piece.last or getattr(node, "attr", None) == piece.last
    )
    count = known.dotted[piece.last] + (0 if piece.owner else known.named[piece.last])
    if count > inside or piece.definition.node.decorator_list:
        return True
    return piece.last in base.strings or piece.last in ("forward", "main")


def _is_dangling(derived: Project, piece: Piece) -> bool:
    """Whether the derived code uses the name of a lost function that nothing binds any more."""
    if piece.owner:
        return False
    if _is_called_of_module(derived, piece):
        return True
    if not uses(derived).named[piece.last]:
        return False
    return not any(
        piece.last in (getattr(node, "asname", None), getattr(node, "name", None))
        or (isinstance(node, ast.Name | ast.arg) and _binds(node, piece.last))
        for module in derived.parsed()
        for node in module.nodes
        if not isinstance(node, ast.ImportFrom)
        and not (isinstance(node, ast.alias) and _is_own(module, node, derived))
    )


def _is_called_of_module(derived: Project, piece: Piece) -> bool:
    """`import model` and `model.perplexity(...)`, which model.py no longer has."""
    for use in uses(derived).calls.get(piece.last, ()):
        owner = getattr(use.call.func, "value", None)
        imported = names(derived).imports.get(use.module, {}).get(dotted(owner) if owner else "")
        if imported and imported.name is None and imported.module is not None:
            if imported.module.path == piece.module.path:
                return piece.last not in bindings(derived, imported.module).top
    return False


def _binds(node: ast.Name | ast.arg, name: str) -> bool:
    if isinstance(node, ast.arg):
        return node.arg == name
    return node.id == name and not isinstance(node.ctx, ast.Load)


def _is_own(module: Module, node: ast.alias, derived: Project) -> bool:
    """Whether an import is from the tree itself, where the name is no more."""
    parent = module.parents.get(node)
    if not isinstance(parent, ast.ImportFrom):
        return False
    return bool(parent.level) or (parent.module or "") in derived.by_name


def _is_named_anew(piece: Piece, comparison: Comparison) -> bool:
    """Whether every telling word of a name is in one name that is new in the derived code."""
    telling = words(piece.last) - _VAGUE
    if not telling:
        return False
    new = {atom.partition(":")[2] for atom in comparison.spare_atoms if ":" in atom}
    new |= {piece.last for piece in comparison.fresh}
    return any(telling <= words(name) for name in new)


def _renamed(check: Check, base: Project, fate: Fate) -> Iterator[Finding]:
    """A public function that became private: whoever imported it no longer can."""
    new = fate.new
    if new is None or fate.old.last.startswith("_") or not new.last.startswith("_"):
        return
    if not fate.old.owner:
        how = "the same code" if fate.share == 1 else f"{fate.share:.0%} of its code"
        yield check.finding(
            "note",
            base.at(fate.old.module.path),
            fate.old.definition.line,
            f"{fate.old.name} of the base is {new.name} in {new.module.path} now: {how} under a "
            "private name.",
            evidence=fate.old.module.source(fate.old.definition.line),
            fix="Keep the public name if anything outside of this tree imports it.",
        )


def _entry(check: Check, base: Project, derived: Project, module: Module) -> Iterator[Finding]:
    """A file that could be run and now cannot."""
    old = guard(module)
    new = derived.modules.get(module.path)
    if old is None or new is None or guard(new) is not None:
        return
    launched = [text for text in derived.strings if _starts(text, module)]
    others = [m for m in derived.parsed() if guard(m) is not None]
    if any(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        for node in (new.tree.body if new.tree else ())
    ):
        return  # it runs without being asked
    severity: Severity = "error" if launched or not others else "warning"
    why = f"{launched[0]!r} is launched and does nothing" if launched else "running it does nothing"
    yield check.finding(
        severity,
        [derived.at(module.path), base.at(module.path)],
        [max(len(new.file.lines), 1), old.lineno],
        f"{module.path} has lost its entry point (`if __name__ == ...`): {why}.",
        evidence=module.source(old.lineno),
        fix="Bring the entry point back.",
    )


def _starts(text: str, module: Module) -> bool:
    """Whether a text starts a module, as a command or as a part of one."""
    named = text == module.name if "." in module.name else f"-m {module.name}" in text
    return named or text == module.path or f"-m {module.name}" in text or f"{module.path} " in text


def _options(check: Check, base: Project, derived: Project, module: Module) -> Iterator[Finding]:
    """Options of the command line that are gone: an error where they are still passed."""
    new = derived.modules.get(module.path)
    if new is None or new.tree is None or guard(module) is None:
        return
    kept = options(derived)
    hydra = any("hydra" in text for text in texts(derived))
    for name, line in sorted(options(base).get(module.path, {}).items()):
        if name in kept.get(module.path, {}) or any(name in found for found in kept.values()):
            continue
        passed = passed_options(derived).get((module.name, name))
        if passed is None and (hydra or new.path not in kept):
            continue  # another way of taking options altogether
        where = f", but {passed} still passes it" if passed else ""
        yield check.finding(
            "error" if passed else "warning",
            base.at(module.path),
            line,
            f"{module.path} no longer takes the option {name} of the base{where}.",
            evidence=module.source(line),
            fix=f"Take {name} again, as at {derived.at(module.path)}:{option_line(new)}.",
        )


def _branches(
    check: Check, base: Project, derived: Project, comparison: Comparison
) -> Iterator[Finding]:
    """Values that the base had code for, and for which the derived code has none."""
    there = _lower_texts(base)
    new = [branch for branch in branches(derived) if branch.value.lower() not in there]
    fates: dict[ast.AST, Fate] = {fate.old.definition.node: fate for fate in comparison.fates}
    lost_names = {fate.old.last for fate in comparison.fates if fate.kind == "gone"}
    for branch in branches(base):
        fate = fates.get(branch.function) if branch.function is not None else None
        if branch.module.path not in derived.modules or TOKEN.search(branch.value):
            continue
        if (fate is not None and fate.kind == "gone") or branch.names & lost_names:
            continue  # what it is in, or leads to, is reported itself
        if _is_handled(branch, fate, base, derived, comparison):
            continue
        heirs = [b for b in new if branch.names and branch.names <= b.names]
        severity: Severity = "error"
        ending = "nothing in the derived code does it"
        if heirs:
            severity, ending = "note", f"the derived code handles it as {heirs[0].value!r}"
        elif _STAND_IN.search(branch.value):
            severity = "warning"
        elif branch.kind == "key" and any(uses(derived).named[name] for name in branch.names):
            severity, ending = "warning", "the derived code uses what it led to in another way"
        where = getattr(branch.function, "name", "") or branch.module.path
        yield check.finding(
            severity,
            base.at(branch.module.path),
            branch.line,
            f"{where} of the base has code for {branch.value!r}; {ending}.",
            evidence=branch.module.source(branch.line),
            fix="Bring the branch back, or its equivalent in the registry that replaces it.",
        )


def _is_handled(
    branch: Branch, fate: Fate | None, base: Project, derived: Project, comparison: Comparison
) -> bool:
    """Whether as much code chooses by a value as in the base, or what it chose is still there."""
    value = branch.value.lower()
    times = _times(derived)[value]
    if times >= _times(base)[value] or value in _lower_texts(derived) - _lower_texts(base):
        return True  # at another place, or by the name of a new function or class
    heir = fate.new if fate is not None else None
    if heir is not None and {"getattr", "globals"} & names_in(heir.definition.node):
        return True
    if not times or heir is None:
        return times > 0
    inside = {
        node.value.lower()
        for node in ast.walk(heir.definition.node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    if value in inside or not branch.body or fate is None:
        return True
    body = body_of(list(branch.body), fate.old.outside)
    total = sum(line.weight for line in body.lines)
    left = heir.body.keys + comparison.spare_keys
    return sum(line.weight for line in body.lines if left[line.key]) >= FEW * total


def _tests(check: Check, base: Project, derived: Project) -> Iterator[Finding]:
    """The base tests its differences and nothing in the derived tree does."""
    if not tests(base) or may_test(derived):
        return
    name, (path, line) = next(iter(tests(base).items()))
    yield check.finding(
        "error",
        base.at(path),
        line,
        f"The base tests for significance with {name}; nothing in the derived code tests anything.",
        evidence=base.modules[path].source(line),
        fix="Bring the test back, or another that fits the data.",
    )


@once
def _times(project: Project) -> Counter[str]:
    """How often the code of a project has each text, in lower case."""
    times: Counter[str] = Counter()
    for text, places in project.strings.items():
        times[text.lower()] += len(places)
    return times


@once
def _lower_texts(project: Project) -> frozenset[str]:
    return frozenset(text.lower() for text in texts(project))


def names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


CHECK = Check("removed-symbol", "Omission", "method implemented", _run)
