"""What was left for later: markers, placeholder values, code that a comment stands for."""

import ast
import re
from collections.abc import Container, Iterator
from pathlib import PurePosixPath

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.memo import once
from ohgw.review.code.remarks import Remark, comments, plain_comments, texts
from ohgw.review.findings import Finding, Severity
from ohgw.review.project import Module, Project

# Written in pieces: a search for the words themselves must not end here.
_TD, _FM, _PH = "TO" + "DO", "FIX" + "ME", "PLACE" + "HOLDER"

_TOKEN = rf"\b(?:[A-Z0-9]+_)*{_PH}S?(?:_[A-Z0-9]+)*\b"
TOKEN = re.compile(_TOKEN)
_NAMED = re.compile(rf"\b(?:[A-Z0-9]+_)+{_PH}\w*|{_PH}_[A-Z0-9_]+|^\W*{_PH}\W*$")
_FILLED = re.compile(
    r"(?i)\b(?:replac(?:e|es|ed|ing)|filled|removed|gone|instead of|no|without|never|not|was)\b"
)
_FUTURE = re.compile(r"(?i)\b(?:will|must|shall|should|needs? to|can|to|has to)\s+(?:later )?be\b")
_FILLING = (
    r"(?:replaced|filled|implemented|provided|injected|concreti[sz]ed|populated|substituted"
    r"|swapped|completed)"
)

_MARKER = re.compile(rf"(?:^|\n)\W{{0,4}}(?:{_TD}|{_FM}|TBD|XXX)\b|\b(?:{_TD}|{_FM})\s*(?:[:(]|$)")
_LOOSE_MARKER = re.compile(rf"\b(?:{_TD}|{_FM}|TBD)\b|^{_TD.lower()}\s*:")
_BLOCKERS = re.compile(
    r"(?ix)"
    r"[\[<]\s*unchanged\s*[\]>]"
    r"|\b(?:omitted|skipped|elided|truncated|shortened|abbreviated|left\ out|removed|not\ shown)"
    r"\s+(?:here\s+)?for\s+(?:the\ sake\ of\s+)?(?:brevity|clarity|space|conciseness|readability)\b"
    r"|\bplaceholders?\b[^.]{0,80}\b(?:will|must|shall|should|needs?\ to)\s+(?:later\s+)?be\s+"
    rf"{_FILLING}"
    r"|\bplaceholders?\s+(?:that\s+(?:is|are)\s+)?to\s+be\s+(?:replaced|implemented)\b"
    r"|\bplaceholder\s+(?:implementation|logic|code)\b"
    r"|\bplaceholder\s+for\s+(?:the\s+|an?\s+)?(?:real|actual|intended)\b"
)
# In comments only: in the prose of a docstring, or its examples, the same words are harmless.
_ELISION = re.compile(
    r"(?ix)^\W*(?:the\s+)?(?:rest|remainder)\s+of\s+(?:the\s+|this\s+|your\s+)?(?:\w+\s+)?"
    r"(?:code|implementation|function|file|class|script|methods?|logic|loop)\b"
    r"\W*(?:$|(?:remains|stays|is|goes)\s+(?:unchanged|the\s+same|identical|here|omitted|as)\b"
    r"|(?:unchanged|same|omitted|as\s+before|here)\b)"
    r"|^\W*(?:\.\.\.|…)\s*\(?(?:existing|previous|original|same|other|remaining|rest)\b"
    r"(?:\s+\w+){0,4}\s*\)?\W*(?:\.\.\.|…)?\W*$"
    r"|\b(?:your|actual|real)\s+(?:\w+\s+)?(?:code|implementation|logic)\s+(?:goes\ )?here\b"
    r"|\b(?:add|insert|put|write|implement)\s+your\s+(?:\w+\s+){1,3}here\b"
    r"|\bimplement(?:ation)?\s+(?:me|goes\ here)\b"
    r"|^\W*(?:existing|original|previous|base)\s+(?:code|implementation)\s+(?:here|unchanged|continues)\b"
)
_HINTS = re.compile(
    r"(?ix)"
    r"\bsimplified\s+(?:\w+\s+)?(?:version|variant|implementation|surrogate|proxy)\b"
    r"|\((?:simplified|stub|dummy|mock)\)"
    r"|\bfor\s+(?:simplicity|brevity)\b"
    r"|\bin\s+an?\s+(?:real|actual|production|full|proper)\s+(?:\w+\s+)?"
    r"(?:implementation|system|experiment|run|setting|setup|code)\b"
    r"|\b(?:cheap\s+)?proxy\s+for\s+(?:the\s+)?(?:true|real|actual|hyper-?grad\w*)\b"
    r"|\bcheap\s+proxy\b"
    r"|\b(?:dummy|mock|fake|stub|toy)\s+(?:implementation|scheduler|optimi[sz]er|loss|metric|result)s?\b"
    r"|\bstub\s+(?:of|for|implementation|that|version)\b"
    r"|\bnot\s+(?:yet\s+)?implemented\s+(?:yet|here|for\s+now)\b|\bnot\s+yet\s+implemented\b"
    r"|\b(?:needs|still)\s+to\s+be\s+implemented\b"
    r"|\bdynamic\ \w+\s+not\s+implemented\b"
)
_OVERRIDE = re.compile(
    r"(?i)overrid|overwrit|hydra|command[ -]line|\bcli\b|run[- ]specific|subclass"
)
_VALUE = re.compile(
    rf"(?i)^\W{{0,2}}(?:{_PH}|{_TD}|tbd|{_FM}|change_?me|replace_?me|fill_?me|fill_?in)\W{{0,2}}$"
)
_TO_BE = re.compile(
    r"\bTO BE (?:POPULATED|FILLED|REPLACED|DEFINED|DETERMINED|ADDED|IMPLEMENTED|SPECIFIED)\b"
)
_FAMILY = re.compile(
    rf"^(?:DATASET|MODEL|CONFIG|SPECIFIC_\w+|EXPERIMENT\w*|METHOD|METRIC|LOSS|TASK|OPTIMIZER)_{_PH}\w*$"
    rf"|^{_PH}$"
)
# A text without any of these is not looked at more closely: plain search is much the fastest.
_HINT_WORDS = (
    f"{_PH} {_TD} {_FM} XXX TBD unchanged brevity clarity simplicity conciseness readability "
    "simplified proxy stub dummy mock fake implement elided abbreviated".lower().split()
)
_HINT_PAIRS = (
    "for space", "rest of", "remainder of", " here", "...", "…", "existing", "original ", "(mock)",
    "previous", "base code", "toy ", " real ", " actual ", " production ", " full ", " proper ",
)  # fmt: skip
_SHELVES = frozenset({"tests", "test", "docs", "doc", "examples", "notebooks"})
_PLAIN = (".toml", ".sh", ".cfg", ".ini", ".json")
_SEARCHES = frozenset(
    "startswith endswith find index count replace split compile search match sub findall "
    "fullmatch".split()
)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    known = _said(context.base) if context.base else frozenset()
    for module in context.derived.modules.values():
        if _may_say(module.file.text or ""):
            yield from _python(check, context.derived, module, known)
    yield from _configs(check, context.derived, known)
    for file in context.derived.tree.texts(*_PLAIN):
        yield from _plain(check, context.derived, file.path, file.lines, known)


def _said(base: Project) -> frozenset[str]:
    """Lines of the base: hints that were there before are no news."""
    return frozenset(
        line.strip() for file in base.tree.texts(".py", ".yaml", ".yml") for line in file.lines
    )


def _python(
    check: Check, project: Project, module: Module, known: frozenset[str]
) -> Iterator[Finding]:
    reported: set[int] = set()
    after = "\n".join(line[line.find("#") :] for line in module.file.lines if "#" in line)
    remarks = comments(module.file.text or "") if _may_say(after) else []
    remarks += [remark for remark in texts(module) if _may_say(remark.text)]
    for remark in remarks:
        for severity, position, what in _judge(remark, module, _templates(project)):
            line = remark.line_at(position)
            if line in reported or (severity == "warning" and module.source(line) in known):
                continue
            reported.add(line)
            yield _finding(check, project, module.path, line, severity, what, module.source(line))
    for name, line in _identifiers(module) if _PH in (module.file.text or "") else ():
        if line not in reported:
            reported.add(line)
            what = f"the name {name!r} stands for something still to be filled in"
            yield _finding(check, project, module.path, line, "error", what, module.source(line))


def _may_say(text: str) -> bool:
    low = text.lower()
    return any(word in low for word in _HINT_WORDS) or any(pair in low for pair in _HINT_PAIRS)


def _judge(
    remark: Remark, module: Module | None = None, templates: Container[str] = ()
) -> Iterator[tuple[Severity, int, str]]:
    """(severity, position in the text, what it says) of everything wrong with one text."""
    text = remark.text
    if remark.kind == "string":
        found = _NAMED.search(text) or re.match(rf"\W*(?:{_TD}|{_FM}|{_PH})\s*:", text)
        searched = module and remark.node and _is_searched(module, remark.node)
        if found and not searched and found[0] not in templates:
            yield "error", 0, f"the text {_short(text)!r} is a placeholder"
        return
    for found in TOKEN.finditer(text) if _PH in text else ():
        if found[0] in templates:
            continue
        around = _sentence(text, found.start())
        if _FUTURE.search(around) or not _FILLED.search(around):
            yield "error", found.start(), f"{found[0]} was left in a {remark.kind}"
    if found := _MARKER.search(text):
        start = found.start() + len(found[0]) - len(found[0].lstrip())
        yield "error", start, f"a {remark.kind} leaves work for later: {_short(text[start:])!r}"
    elif found := _LOOSE_MARKER.search(text):
        yield "warning", found.start(), f"a {remark.kind} mentions work for later: {_short(text)!r}"
    for found in _BLOCKERS.finditer(text):
        if not _OVERRIDE.search(_sentence(text, found.start())):
            yield "error", found.start(), f"a {remark.kind} stands for code: {_short(found[0])!r}"
    if remark.kind == "comment" and (found := _ELISION.search(text)):
        yield "error", found.start(), f"a comment stands for code: {_short(text)!r}"
    for found in _HINTS.finditer(text):
        what = f"a {remark.kind} says that this is less than the real thing: {_short(found[0])!r}"
        yield "warning", found.start(), what


def _sentence(text: str, position: int) -> str:
    """The sentence around a position."""
    start = max(text.rfind(". ", 0, position), text.rfind("\n\n", 0, position), 0)
    ends = [end for end in (text.find(". ", position), text.find("\n\n", position)) if end >= 0]
    return text[start : min(ends, default=len(text))]


@once
def _templates(project: Project) -> frozenset[str]:
    """Texts that the code itself replaces by something when it runs."""
    return frozenset(
        text.strip()
        for text in project.strings
        if _PH in text
        and any(
            isinstance(call := module.parents.get(node), ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in ("replace", "sub")
            for module in project.parsed()
            for node in module.nodes
            if isinstance(node, ast.Constant) and node.value == text
        )
    )


def _is_searched(module: Module, node: ast.Constant) -> bool:
    """Whether a text is only looked for: code that guards against placeholders, templates."""
    parent = module.parents.get(node)
    if isinstance(parent, ast.Compare):
        return any(isinstance(op, ast.In | ast.NotIn) for op in parent.ops) and parent.left is node
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute):
        return parent.func.attr in _SEARCHES
    return False


def _identifiers(module: Module) -> Iterator[tuple[str, int]]:
    """The first place of every name of the family."""
    seen = set()
    for node in module.nodes:
        name = (
            getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None)
        )
        if isinstance(name, str) and _FAMILY.match(name) and name not in seen:
            seen.add(name)
            yield name, getattr(node, "lineno", 1)


def _configs(check: Check, project: Project, known: frozenset[str]) -> Iterator[Finding]:
    for config in project.configs.values():
        lines = project.tree.files[config.path].lines
        reported: set[int] = set()
        for entry in config.entries.values():
            key = str(entry.key)
            text = entry.value if isinstance(entry.value, str) else ""
            bad = TOKEN.search(key) or TOKEN.search(text) or _VALUE.match(text)
            bad = bad or _TO_BE.search(text) or _BLOCKERS.search(text)
            if bad and entry.line not in reported:
                reported.add(entry.line)
                what = f"{'.'.join(map(str, entry.path))} is {_short(text or key)!r}"
                source = lines[entry.line - 1].strip()
                yield _finding(check, project, config.path, entry.line, "error", what, source)
        yield from _remarks(check, project, config.path, lines, known, reported)


def _plain(
    check: Check, project: Project, path: str, lines: list[str], known: frozenset[str]
) -> Iterator[Finding]:
    reported: set[int] = set()
    for number, text in enumerate(lines, 1):
        if _PH in text and (found := _NAMED.search(text)) and not text.lstrip().startswith("#"):
            reported.add(number)
            what = f"{found[0]} was not replaced"
            yield _finding(check, project, path, number, "error", what, text.strip())
    if not path.endswith(".json"):
        yield from _remarks(check, project, path, lines, known, reported)


def _remarks(
    check: Check,
    project: Project,
    path: str,
    lines: list[str],
    known: frozenset[str],
    reported: set[int],
) -> Iterator[Finding]:
    for remark in plain_comments(lines):
        if remark.line in reported:
            continue
        for severity, _, what in _judge(remark):
            source = lines[remark.line - 1].strip()
            if severity == "error" or source not in known:
                yield _finding(check, project, path, remark.line, severity, what, source)
                break


def _finding(
    check: Check,
    project: Project,
    path: str,
    line: int,
    severity: Severity,
    what: str,
    source: str,
) -> Finding:
    parts = PurePosixPath(path).parts
    if _SHELVES.intersection(parts[:-1]) or parts[-1].startswith(("test_", "conftest")):
        severity = "warning"
    after = (
        "the experiment is not finished here."
        if severity == "error"
        else "see whether the experiment can do with less."
    )
    return check.finding(
        severity,
        project.at(path),
        line,
        f"{what[0].upper()}{what[1:]}; {after}",
        evidence=source,
        fix="Put the working code or the real value here, and take the words out.",
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 70 else text[:69] + "…"


CHECK = Check("placeholder", "Incomplete Replacement", "method implemented", _run)
