"""What a file says to its readers: comments, docstrings and other texts, with their lines."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ohgw.review.code.likeness import DEFINITIONS
from ohgw.review.project import Module

Kind = Literal["comment", "docstring", "string"]


@dataclass(frozen=True)
class Remark:
    """One text. Comments on consecutive lines of their own are one text of several lines."""

    kind: Kind
    text: str
    line: int
    node: ast.Constant | None = None  # of a string

    def line_at(self, position: int) -> int:
        return self.line + self.text.count("\n", 0, position)


def comments(source: str) -> list[Remark]:
    """Of Python. Where the tokens cannot be told apart, what stands before is returned."""
    found: list[Remark] = []
    last_line, last_alone = -1, False
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type != tokenize.COMMENT:
                continue
            alone = not token.line[: token.start[1]].strip()
            text = token.string.lstrip("#").strip("#=-* \t")
            line = token.start[0]
            if alone and last_alone and line == last_line + 1 and text and found[-1].text:
                before = found.pop()
                found.append(Remark("comment", f"{before.text}\n{text}", before.line))
            else:
                found.append(Remark("comment", text, line))
            last_line, last_alone = line, alone
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        pass
    return found


def texts(module: Module) -> Iterator[Remark]:
    """Docstrings, and strings that stand alone like them; then all other strings."""
    alone = set()
    for node in module.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            alone.add(node.value)
    for node in module.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            kind: Kind = "docstring" if node in alone else "string"
            yield Remark(kind, node.value, node.lineno, node)


_COMMENT = re.compile(r"(?:^|\s)#(.*)$")


def plain_comments(lines: list[str]) -> list[Remark]:
    """Of YAML, TOML and shell files: from a # that follows a blank to the end of its line."""
    found = []
    for number, text in enumerate(lines, 1):
        if "#" in text and (match := _COMMENT.search(text)):
            before = text[: match.start()]
            if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
                found.append(Remark("comment", match[1].strip("#=-* \t"), number))
    return found


def docstring_owner(module: Module, node: ast.Constant) -> ast.AST | None:
    """The definition that a docstring documents."""
    parent = module.parents.get(node)
    owner = module.parents.get(parent) if parent is not None else None
    return owner if isinstance(owner, (*DEFINITIONS, ast.Module)) else None
