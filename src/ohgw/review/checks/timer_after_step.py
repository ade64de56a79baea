"""A timer that starts after what it is there to time."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.project import Project, dotted

_CLOCK = re.compile(r"(?:time\.)?(?:time|perf_counter|monotonic|process_time)(?:_ns)?|timer")
_METHOD = re.compile(r"warm_?(?:start|up)|ohgw|hyper_?grad|probe", re.IGNORECASE)
_COSTLY = re.compile(
    rf"{_METHOD.pattern}|train(?!er$|_loader|_set)|(?:^|_)fit|run_epoch|optimi[sz]e_|(?:^|_)search",
    re.IGNORECASE,
)
_COST = re.compile(r"overhead|cost|wall[- ]?clock|time[- ]to|T@|GPU[- ]?h", re.IGNORECASE)


@dataclass(frozen=True)
class _Timer:
    name: str
    start: int
    end: int  # where it is last read


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    own = {d.node.name for m in project.parsed() for d in m.definitions.values()}
    for module in project.parsed():
        for definition in module.definitions.values():
            if definition.is_class:
                continue
            timers = list(_timers(definition.node))
            work = _work(definition.node, own)
            for timer in timers:
                if any(line < timer.start for line in work) and not any(
                    timer.start <= line <= timer.end for line in work
                ):
                    yield check.finding(
                        "error",
                        project.at(module.path),
                        timer.start,
                        f"The timer {timer.name} times nothing: everything that {definition.name} "
                        "does comes before it or after it is read.",
                        evidence=module.source(timer.start),
                        fix="Start it before what it is to time.",
                    )
            for name, line, end in _restarted(definition.node):
                yield check.finding(
                    "error",
                    [project.at(module.path), project.at(module.path)],
                    [line, end],
                    f"The timer {name} starts anew within the loop and is read after it: it times "
                    "the end of the last pass alone.",
                    evidence=module.source(line),
                    fix="Start it before the loop.",
                )
            calls = [
                (call.lineno, _name(call))
                for call in ast.walk(definition.node)
                if isinstance(call, ast.Call)
                and _is_costly(_name(call), own)
                and not _switches(call)
            ]
            for timer in timers:
                late = _late(timer, timers, calls, context, project)
                if late:
                    line, name = late
                    yield check.finding(
                        "error",
                        project.at(module.path),
                        timer.start,
                        f"The timer {timer.name} starts after {name} (line {line}), whose cost "
                        "it leaves out.",
                        evidence=module.source(timer.start),
                        fix=f"Start it before {name}.",
                    )


def _late(
    timer: _Timer,
    timers: list[_Timer],
    calls: list[tuple[int, str]],
    context: Context,
    project: Project,
) -> tuple[int, str] | None:
    """The costly call that comes before the timer, is timed by no other, and should be timed."""

    def timed(line: int) -> bool:
        return any(other.start <= line <= other.end for other in timers)

    before = [(line, name) for line, name in calls if line < timer.start and not timed(line)]
    if not before:
        return None
    if not any(timer.start <= line <= timer.end for line, _ in calls):
        return before[-1]  # it times nothing that costs
    asked = _COST.search(context.spec.texts)
    method = [(line, name) for line, name in before if _METHOD.search(name)]
    return method[-1] if asked and method else None


def _timers(function: ast.AST) -> Iterator[_Timer]:
    """Names that a clock is read into and that are later subtracted from a clock's reading."""
    starts: dict[str, list[int]] = {}
    ends: dict[str, list[int]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and _is_clock(node.value):
            for target in node.targets:
                if dotted(target):
                    starts.setdefault(dotted(target), []).append(node.lineno)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and dotted(node.right):
            ends.setdefault(dotted(node.right), []).append(node.lineno)
    for name, lines in starts.items():
        for line in lines:
            following = min((other for other in lines if other > line), default=1 << 30)
            read = [end for end in ends.get(name, ()) if line <= end < following]
            if read:
                yield _Timer(name, line, max(read))


def _restarted(function: ast.AST) -> Iterator[tuple[str, int, int]]:
    """Timers that are only ever set inside a loop and read after its end."""
    clocks = [
        (dotted(target), node.lineno)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and _is_clock(node.value)
        for target in node.targets
        if dotted(target)
    ]
    loops = [node for node in ast.walk(function) if isinstance(node, ast.For | ast.While)]
    for name in dict.fromkeys(name for name, _ in clocks):
        lines = [line for other, line in clocks if other == name]
        around = [
            loop
            for loop in loops
            if all(loop.lineno < line <= (loop.end_lineno or 0) for line in lines)
        ]
        ends = [
            node.lineno
            for node in ast.walk(function)
            if isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Sub)
            and dotted(node.right) == name
            and _is_clock(node.left)
        ]
        for loop in around[:1]:
            after = [end for end in ends if end > (loop.end_lineno or 0)]
            if after:
                yield name, lines[0], after[0]


def _work(function: ast.AST, own: set[str]) -> list[int]:
    """Lines of loops, of calls within the tree, and of methods."""
    return [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.For | ast.While)
        or (
            isinstance(node, ast.Call)
            and not _is_clock(node)
            and (_name(node) in own or isinstance(node.func, ast.Attribute))
        )
    ]


def _is_clock(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and bool(_CLOCK.fullmatch(dotted(node.func)))


def _switches(call: ast.Call) -> bool:
    """`model.train()`, which trains nothing."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    method = isinstance(call.func, ast.Attribute) and call.func.attr == "train"
    return method and all(isinstance(value, ast.Constant) for value in given)


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _is_costly(name: str, own: set[str]) -> bool:
    """A function of the tree, or somebody's fit, whose name says that it trains or probes."""
    if re.match(r"_*(?:make|build|get|create|load|init|prepare|setup|is|has)_", name):
        return False
    return bool(_COSTLY.search(name)) and (name in own or name in ("fit", "partial_fit"))


CHECK = Check("timer-after-step", "Evaluation Validity", "metrics valid", _run)
