"""Mutations that must be flagged, of code: each works on any pair that it applies to."""

import ast
from collections.abc import Iterator

from edits import Function, Source, after_docstring, parses, scalars, substantial
from operators import Registry
from pairs import Change, Pair

MUTATIONS = Registry()


def _functions(pair: Pair) -> Iterator[tuple[str, Source, str, Function]]:
    """(path, source, name, function) of functions that do something and are named elsewhere."""
    everything = "\n".join(pair.python.values())
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        for name, function in source.functions():
            short = name.rpartition(".")[2]
            if substantial(function) and everything.count(short) > 1:
                yield path, source, name, function


@MUTATIONS.add("truncated-tail", "static")
def truncated_tail(pair: Pair) -> Iterator[Change]:
    """The file ends early: in the middle of a line, or with its last definition gone."""
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        body = source.tree.body
        if len(body) > 3:
            last = body[-1]
            first = min([last.lineno, *(d.lineno for d in getattr(last, "decorator_list", []))])
            if isinstance(last, ast.If | Function):
                yield Change(f"{path} ends before line {first}", {path: source.lines(1, first - 1)})
        lines = text.splitlines(keepends=True)
        cut = "".join(lines[: 3 * len(lines) // 4])
        half = lines[3 * len(lines) // 4].rstrip()
        cut += half[: len(half) // 2 + 4]
        if not parses(cut):
            yield Change(f"{path} ends within line {3 * len(lines) // 4 + 1}", {path: cut})


@MUTATIONS.add("body-to-pass", "static")
def body_to_pass(pair: Pair) -> Iterator[Change]:
    for path, source, name, function in _functions(pair):
        yield Change(f"{path}: {name} does nothing", {path: source.with_body(function, "pass")})


@MUTATIONS.add("body-to-raise", "static")
def body_to_raise(pair: Pair) -> Iterator[Change]:
    body = "raise NotImplementedError"
    for path, source, name, function in _functions(pair):
        yield Change(f"{path}: {name} is not implemented", {path: source.with_body(function, body)})


@MUTATIONS.add("placeholder-back", "static")
def placeholder_in_code(pair: Pair) -> Iterator[Change]:
    """A marker where the code was; the rest of the function stays."""
    for path, source, name, function in _functions(pair):
        statement = after_docstring(function)[-1]
        indent = " " * statement.col_offset
        rest = source.lines(statement.lineno, statement.end_lineno)
        new = f"{indent}# TODO: implement the rest of {name.rpartition('.')[2]}\n{rest}"
        text = source.with_lines(statement.lineno, statement.end_lineno, new)
        yield Change(f"{path}: a marker in {name}", {path: text})


@MUTATIONS.add("omitted-for-brevity", "static")
def omitted_for_brevity(pair: Pair) -> Iterator[Change]:
    """The second half of a body is a comment; or the whole file's, as `[UNCHANGED]`."""
    remarks = (
        "# ... rest of the function omitted for brevity",
        "# (code unchanged, omitted for brevity)",
        "# [UNCHANGED]",
        "# ... existing code ...",
    )
    count = 0
    for path, source, name, function in _functions(pair):
        body = after_docstring(function)
        if len(body) < 3:
            continue
        first, last = body[len(body) // 2], body[-1]
        remark = " " * first.col_offset + remarks[count % len(remarks)] + "\n"
        count += 1
        yield Change(
            f"{path}: half of {name} is {remark.strip()!r}",
            {path: source.with_lines(first.lineno, last.end_lineno, remark)},
        )


@MUTATIONS.add("branch-removed", "static")
def branch_removed(pair: Pair) -> Iterator[Change]:
    """A branch, or an entry of a table, for a value that a configuration asks for."""
    asked = _configured(pair)
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.If) and _tested(node.test) in asked:
                yield Change(
                    f"{path}:{node.lineno} no longer knows {_tested(node.test)!r}",
                    {path: _without_branch(source, node)},
                )
            elif isinstance(node, ast.Dict) and len(node.keys) > 1:
                yield from _without_entries(path, source, node, asked)
            elif isinstance(node, Function | ast.ClassDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and decorator.args:
                        name = getattr(decorator.args[0], "value", None)
                        if isinstance(name, str) and name in asked:
                            line = decorator.lineno
                            yield Change(
                                f"{path}:{line} does not register {name!r}",
                                {path: source.with_lines(line, line, "")},
                            )


def _configured(pair: Pair) -> set[str]:
    """Texts that configurations give as values."""
    return {
        s.value for text in pair.yaml.values() for s in scalars(text) if isinstance(s.value, str)
    }


def _tested(test: ast.expr) -> str | None:
    """`a` of a test `x == "a"`."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        value = getattr(test.comparators[0], "value", None)
        return value if isinstance(value, str) else None
    return None


def _without_branch(source: Source, node: ast.If) -> str:
    first, last = node.lineno, node.body[-1].end_lineno
    text = source.with_lines(first, last, "")
    if node.orelse and source.lines(first, first).lstrip().startswith("if"):
        line = last + 1 - (last - first + 1)
        lines = text.splitlines(keepends=True)
        lines[line - 1] = lines[line - 1].replace("elif", "if", 1)
        text = "".join(lines)
    return text


def _without_entries(path: str, source: Source, node: ast.Dict, asked: set[str]):
    for k, key in enumerate(node.keys):
        if not (isinstance(key, ast.Constant) and key.value in asked):
            continue
        if isinstance(node.values[k], ast.Constant):
            continue  # a record, not a table of things to choose from
        rest = [
            f"{source.segment(a)}: {source.segment(b)}"
            for a, b in zip(node.keys, node.values, strict=True)
            if a is not None and a is not key
        ]
        yield Change(
            f"{path}:{key.lineno} no longer knows {key.value!r}",
            {path: source.replaced(node, "{" + ", ".join(rest) + "}")},
        )


@MUTATIONS.add("import-undefined", "static")
def import_undefined(pair: Pair) -> Iterator[Change]:
    """A name that its module does not have, a module that is not there, an import forgotten."""
    own = {path.removesuffix(".py").replace("/", ".") for path in pair.python}
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        for node in source.tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            bound = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
            used = {n.id for n in ast.walk(source.tree) if isinstance(n, ast.Name)}
            if len(bound) == 1 and bound[0] in used:
                yield Change(
                    f"{path}: {bound[0]} is used but not imported",
                    {path: source.with_lines(node.lineno, node.end_lineno, "")},
                )
            if isinstance(node, ast.ImportFrom) and node.module in own:
                name = node.names[0].name
                wrong = source.segment(node).replace(name, f"{name}_v2 as {name}", 1)
                yield Change(
                    f"{path}: {node.module} has no {name}_v2", {path: source.replaced(node, wrong)}
                )
                gone = source.segment(node).replace(node.module, f"{node.module}_utils", 1)
                yield Change(
                    f"{path}: no module {node.module}_utils", {path: source.replaced(node, gone)}
                )


@MUTATIONS.add("import-shadowed", "static")
def import_shadowed(pair: Pair) -> Iterator[Change]:
    """A function of the same name as an imported one, which calls itself without end."""
    own = {path.removesuffix(".py").replace("/", ".") for path in pair.python}
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        for node in source.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module in own:
                for alias in node.names:
                    name = alias.asname or alias.name
                    if f" {name}(" not in text or name[0].isupper():
                        continue
                    first = next(n for n in source.tree.body if isinstance(n, Function))
                    line = min([first.lineno, *(d.lineno for d in first.decorator_list)])
                    new = f"def {name}(*args, **kwargs):\n    return {name}(*args, **kwargs)\n\n\n"
                    yield Change(
                        f"{path}: {name} is imported and then defined",
                        {path: source.with_lines(line, line - 1, new)},
                    )


@MUTATIONS.add("base-syntax-error", "static")
def base_syntax_error(pair: Pair) -> Iterator[Change]:
    """A colon or a parenthesis is missing in a file of the base."""
    for path, text in sorted(pair.base.items()):
        if not path.endswith(".py") or not text.strip():
            continue
        for old, new in (("):\n", ")\n"), (") -> None:\n", " -> None:\n"), ("])\n", "]\n")):
            broken = text.replace(old, new, 1)
            if not parses(broken):
                yield Change(
                    f"base/{path}: {old.strip()!r} is {new.strip()!r}", {path: broken}, "base"
                )
                break


@MUTATIONS.add("symbol-removed", "static")
def symbol_removed(pair: Pair) -> Iterator[Change]:
    """A function of the base is gone, and so are its calls' results: callers inline a constant."""
    for path, source, name, function in _functions(pair):
        base = pair.base.get(path)
        if base is None or "." in name or f"def {name}(" not in base:
            continue
        first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
        yield Change(
            f"{path}: {name} is gone", {path: source.with_lines(first, function.end_lineno, "")}
        )
