"""Code that is still there under its name, but no longer does what it did in the base."""

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from ohgw.review.checks.check import Check, Context
from ohgw.review.checks.stub import stub_of
from ohgw.review.code.commands import guard
from ohgw.review.code.likeness import FUNCTIONS, Body, Line, coverage
from ohgw.review.code.uses import Use, uses
from ohgw.review.findings import Finding
from ohgw.review.preservation import ENOUGH, Comparison, Fate, top_level
from ohgw.review.project import Definition, Project

LOST = 0.35  # of the calls and constants left, counting those found elsewhere: most of it is gone
LARGE = 25  # atoms; below this a body may simply have been written in another way
FOLLOWED = 0.7  # of what stands before a cut is as it was
NEAR = 0.8  # of the words of a line: it is the line, rewritten
MAX_LINES = 3000  # two bodies longer than this are not aligned

# Endings that may go: they show or tidy up.
_TIDY = ("attr:show", "attr:close", "attr:flush", "attr:collect", "attr:empty_cache", "attr:finish")


def _run(check: Check, context: Context) -> Iterator[Finding]:
    base, derived, comparison = context.base, context.derived, context.comparison
    if base is not None and comparison is not None:
        for fate in comparison.fates:
            if fate.new is None or fate.old.is_class:
                continue
            if stub_of(fate.new.definition) is not None:
                continue  # `stub` says so
            yield from _function(check, base, derived, fate, comparison)
        yield from _modules(check, base, derived, comparison)
    yield from _no_result(check, derived)


def _function(
    check: Check, base: Project, derived: Project, fate: Fate, comparison: Comparison
) -> Iterator[Finding]:
    new = fate.new
    assert new is not None
    old_body, new_body = fate.old.body, new.body
    files = [derived.at(new.module.path), base.at(fate.old.module.path)]
    end = new.definition.node.end_lineno or new.definition.line

    tail = cut_tail(old_body, new_body, comparison)
    if tail:
        yield check.finding(
            "error",
            files,
            [end, tail[0].line],
            f"{new.name} stops where {fate.old.name} of the base went on: "
            f"{_count(tail)} at its end are gone.",
            evidence=fate.old.module.source(tail[0].line),
            fix="Bring the end back.",
        )
        return
    if _is_constant(new.definition) and old_body.size >= 4 and len(old_body.lines) >= 3:
        if _found(old_body.lines, comparison) < ENOUGH:
            yield check.finding(
                "error",
                files,
                [end, fate.old.definition.line],
                f"{new.name} computes nothing and gives a constant, where the base has "
                f"{len(old_body.lines)} statements.",
                evidence=new.module.source(end),
                fix="Bring the computation back.",
            )
            return
    share = max(
        coverage(old_body.atoms, new_body.atoms + comparison.spare_atoms),
        _found(old_body.lines, comparison),
    )
    if old_body.size >= LARGE and share < LOST and new_body.size < old_body.size / 2:
        yield check.finding(
            "warning",
            files,
            [new.definition.line, fate.old.definition.line],
            f"{new.name} has {new_body.size} calls and constants where the base has "
            f"{old_body.size}, and {1 - share:.0%} of those are found nowhere.",
            evidence=new.module.source(new.definition.line),
            fix="See what of the base is missing, and bring it back.",
        )
    yield from _thinned(check, base, derived, fate, comparison)


def cut_tail(old: Body, new: Body, comparison: Comparison | None) -> list[Line]:
    """The end of `old` where `new` is the same up to there, and nothing after."""
    before, after = _pairs(old.lines), _pairs(new.lines)
    if not after or len(after) >= len(before) or len(before) > MAX_LINES:
        return []
    if after == before[: len(after)]:
        tail = list(old.lines[len(after) :])
    else:
        matcher = SequenceMatcher(None, before, after, autojunk=False)
        matches = [block for block in matcher.get_matching_blocks() if block.size]
        if not matches or matches[-1].b + matches[-1].size != len(after):
            return []
        end = matches[-1].a + matches[-1].size
        same = sum(block.size for block in matches)
        if same < FOLLOWED * end or same < FOLLOWED * len(after) or same < 3:
            return []
        tail = list(old.lines[end:])
    tail = [line for line in tail if not any(word in line.key for word in _TIDY)]
    if not any(line.weight > 1 or line.gives for line in tail):
        return []
    if comparison is not None and _found(tail, comparison) >= ENOUGH:
        return []
    return tail


def _pairs(lines: Sequence[Line]) -> list[tuple[int, str]]:
    return [(line.depth, line.key) for line in lines]


def _found(lines: Sequence[Line], comparison: Comparison) -> float:
    """How much of some lines is in new code elsewhere, the long ones counting more."""
    total = sum(line.weight for line in lines)
    there = sum(line.weight for line in lines if comparison.spare_keys[line.key] > 0)
    return there / total if total else 1.0


def _count(lines: Sequence[Line]) -> str:
    return "1 statement" if len(lines) == 1 else f"{len(lines)} statements"


def _is_constant(definition: Definition) -> bool:
    """Whether a function only gives a constant, or one of its arguments."""
    node = definition.node
    assert isinstance(node, FUNCTIONS)
    rest = [n for n in node.body if not isinstance(n, ast.Expr | ast.Pass)]
    if len(rest) != 1 or not isinstance(rest[0], ast.Return) or rest[0].value is None:
        return False
    quiet = (ast.Constant, ast.Name, ast.Tuple, ast.List, ast.Dict, ast.UnaryOp, ast.USub, ast.Load)
    return all(isinstance(part, quiet) for part in ast.walk(rest[0].value))


def _thinned(
    check: Check, base: Project, derived: Project, fate: Fate, comparison: Comparison
) -> Iterator[Finding]:
    """The same `if` in both, with less in it: `if smoke_test:` that no longer caps the batch."""
    new = fate.new
    assert new is not None
    before = _branches(fate.old.body.lines)
    after = _branches(new.body.lines)
    everything = new.body.keys + comparison.spare_keys
    for key, old_lines in before.items():
        left = after.get(key)
        if left is None or len(left) >= len(old_lines):
            continue
        kept = {line.key for line in old_lines}
        changed = [line for line in left if line.key not in kept]
        lost = [
            line
            for line in old_lines
            if line.weight > 2 and not everything[line.key] and not _near(line, changed)
        ]
        if not lost:
            continue
        place = after[key][0].line if after[key] else new.definition.line
        yield check.finding(
            "warning",
            [derived.at(new.module.path), base.at(fate.old.module.path)],
            [place, lost[0].line],
            f"A branch of {new.name} has lost {_count(lost)} that it has in the base: "
            f"`{fate.old.module.source(lost[0].line)}`.",
            evidence=new.module.source(place),
            fix="Bring the statement back, or see that nothing needs it.",
        )


def _near(line: Line, others: Sequence[Line]) -> bool:
    """Whether a line is in one of `others`, in a slightly different form."""
    words = Counter(line.key.split()) - Counter(["If"])
    return any(coverage(words, Counter(other.key.split())) >= NEAR for other in others)


def _branches(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Lines inside each `if`, by its test; tests that occur twice are left out."""
    found: dict[str, list[Line]] = {}
    twice: set[str] = set()
    for position, line in enumerate(lines):
        if not line.test:
            continue
        if line.test in found:
            twice.add(line.test)
        inside = found.setdefault(line.test, [])
        for other in lines[position + 1 :]:
            if other.depth <= line.depth:
                break
            inside.append(other)
    return {key: inside for key, inside in found.items() if key not in twice}


def _modules(
    check: Check, base: Project, derived: Project, comparison: Comparison
) -> Iterator[Finding]:
    """What a module does outside of functions, its entry point included, cut short."""
    ours, theirs = top_level(derived), top_level(base)
    for path, old in theirs.items():
        if path not in ours:
            continue
        module, elder = derived.modules[path], base.modules[path]
        if (guard(elder) is None) != (guard(module) is None):
            continue  # `removed-symbol` speaks of entry points
        tail = cut_tail(old, ours[path], comparison)
        if tail:
            yield check.finding(
                "error",
                [derived.at(path), base.at(path)],
                [max(len(module.file.lines), 1), tail[0].line],
                f"{path} ends where the base went on: {_count(tail)} at its end are gone.",
                evidence=elder.source(tail[0].line),
                fix="Bring the end of the file back.",
            )


def _no_result(check: Check, derived: Project) -> Iterator[Finding]:
    """Functions that give nothing, though what they give is unpacked or computed with."""
    for module in derived.parsed():
        for definition in module.definitions.values():
            if not _gives_nothing(definition):
                continue
            needed = [u for u in uses(derived).of(definition, derived) if u.need == "needed"]
            if needed and stub_of(definition) is None:
                yield _missing_result(check, derived, definition, needed[0])


def _missing_result(check: Check, derived: Project, definition: Definition, use: Use) -> Finding:
    end = definition.node.end_lineno or definition.line
    return check.finding(
        "error",
        [derived.at(definition.module.path), derived.at(use.module.path)],
        [end, use.call.lineno],
        f"{definition.name} never returns a value, but {use.module.path}:{use.call.lineno} "
        "works with one: this fails on None.",
        evidence=use.module.source(use.call.lineno),
        fix="Return the value; the end of the function may have been lost.",
    )


def _gives_nothing(definition: Definition) -> bool:
    """Whether a function can end, and gives None whenever it does."""
    node = definition.node
    if not isinstance(node, FUNCTIONS) or node.decorator_list:
        return False
    ends = True
    pending: list[ast.AST] = list(node.body)
    while pending:
        inner = pending.pop()
        if isinstance(inner, ast.Yield | ast.YieldFrom):
            return False
        if isinstance(inner, ast.Return) and inner.value is not None:
            return False
        if not isinstance(inner, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            pending += ast.iter_child_nodes(inner)
    if isinstance(node.body[-1], ast.Raise):
        ends = False
    return ends


CHECK = Check("shortened-body", "Truncation", "method implemented", _run)
