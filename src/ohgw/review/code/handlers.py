"""What code does when something fails: the words of what it tries, and how its handlers end."""

import ast
from collections.abc import Iterable, Iterator

from ohgw.review.meaning.metrics import called, words

LOADING = frozenset(
    "load loads read open download fetch dataset datasets data loader loaders loadtxt csv parquet "
    "image images imagefolder corpus wikitext cifar10 cifar100 mnist imagenet".split()
)
WORK = frozenset("train fit evaluate eval validate test finetune experiment trainer launch".split())
_BROAD = frozenset("Exception BaseException".split())
_ENDS = frozenset("exit _exit abort fail skip sys_exit".split())


def walk(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Of several statements, without the functions defined among them."""
    pending = list(body)
    while pending:
        node = pending.pop()
        yield node
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                pending.append(child)


def calls(body: Iterable[ast.AST]) -> list[ast.Call]:
    return [node for node in walk(body) if isinstance(node, ast.Call)]


def verbs(body: Iterable[ast.AST]) -> set[str]:
    """The words of everything that some code calls."""
    return {word for node in calls(body) for word in words(called(node))}


def is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or getattr(kind, "id", "") in _BROAD for kind in kinds)


def is_import(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(getattr(kind, "id", "") in ("ImportError", "ModuleNotFoundError") for kind in kinds)


def stops(body: Iterable[ast.AST]) -> bool:
    """Whether the code raises or ends the process."""
    return any(
        isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and called(node) in _ENDS)
        for node in walk(body)
    )
