"""Two pipes of one process read in turn, or a wait before a pipe is read."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import called, enclosing, keyword, name_of
from ohgw.review.project import Module, dotted

_SAFE = frozenset(
    "Thread select selectors DefaultSelector poll_pipes gather create_task submit".split()
)
_WAITS = frozenset("wait poll".split())


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        for line, message in _of(module):
            yield check.finding(
                "error",
                project.at(module.path),
                line,
                message,
                evidence=module.source(line),
                fix="Send stderr to stdout (stderr=subprocess.STDOUT), read each pipe in a thread "
                "of its own, or use communicate().",
            )


def _of(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        if name not in ("Popen", "call", "check_call"):
            continue
        out, err = _is_pipe(keyword(node, "stdout")), _is_pipe(keyword(node, "stderr"))
        if not out and not err:
            continue
        if name != "Popen":
            yield (
                node.lineno,
                f"subprocess.{name} never reads its pipe: a child that fills it hangs.",
            )
            continue
        parent = module.parents.get(node)
        if isinstance(parent, ast.Assign):
            variable = name_of(parent.targets[0])
        elif isinstance(parent, ast.withitem) and parent.optional_vars is not None:
            variable = name_of(parent.optional_vars)
        else:
            continue
        yield from _judge(enclosing(module, node), variable, node.lineno, out, err)


def _is_pipe(node: ast.expr | None) -> bool:
    return node is not None and dotted(node).rpartition(".")[2] == "PIPE"


def _judge(
    scope: ast.AST, variable: str, line: int, out: bool, err: bool
) -> Iterator[tuple[int, str]]:
    reads: dict[str, int] = {}
    waits: list[int] = []
    for node in ast.walk(scope):
        if isinstance(node, ast.Call) and called(node) in _SAFE | {"communicate"}:
            return
        if isinstance(node, ast.Attribute) and name_of(node.value) == variable:
            if node.attr in ("stdout", "stderr") and isinstance(node.ctx, ast.Load):
                if not _is_test(scope, node):
                    reads.setdefault(node.attr, node.lineno)
                    reads[node.attr] = min(reads[node.attr], node.lineno)
            elif node.attr in _WAITS:
                waits.append(node.lineno)
    if out and err and len(reads) == 2:
        first, second = sorted(reads, key=lambda name: reads[name])
        yield (
            reads[second],
            f"{first} and {second} are read in turn: once the child fills one pipe while the other "
            "is waited for, both hang.",
        )
    elif out and err and len(reads) == 1 and waits:
        (one,) = reads
        other = "stderr" if one == "stdout" else "stdout"
        yield line, f"Nothing reads {other}: a child that writes more than a pipe holds hangs."
    elif waits and (not reads or min(waits) < min(reads.values())):
        yield (
            min(waits),
            "The process is waited for before its pipe is read: a full pipe hangs both.",
        )


def _is_test(scope: ast.AST, node: ast.Attribute) -> bool:
    """`assert process.stdout is not None` reads nothing."""
    return any(
        isinstance(n, ast.Compare) and n.left is node and isinstance(n.ops[0], ast.Is | ast.IsNot)
        for n in ast.walk(scope)
    )


CHECK = Check("pipe-deadlock", "Not Executable", "smoke runs", _run)
