"""Edits that must not be flagged: each works on any pair that it applies to and changes nothing
that the code does."""

import ast
import re
from collections.abc import Iterator

from edits import Function, Source, after_docstring, scalars, substantial
from operators import Registry
from pairs import Change, Pair

BENIGN = Registry()


def _top_functions(source: Source) -> list[Function]:
    return [node for node in source.tree.body if isinstance(node, Function)]


@BENIGN.add("rename", "benign")
def rename(pair: Pair) -> Iterator[Change]:
    """A function has another name, everywhere."""
    everything = "\n".join(pair.derived.values())
    for path, text in sorted(pair.python.items()):
        for function in _top_functions(Source(text)):
            name = function.name
            quoted = re.search(rf"[\"'`.\w/-]*[\"'`/-]{name}\b", everything)
            if name == "main" or quoted or f"{name}." in everything or f"{name}=" in everything:
                continue
            if f"import {name}\n" in everything and f"{name}.py" in " ".join(pair.derived):
                continue
            new = f"{name}_of_experiment" if "_" in name else f"do_{name}"
            files = {p: re.sub(rf"\b{name}\b", new, t) for p, t in pair.python.items()}
            changed = {p: t for p, t in files.items() if t != pair.python[p]}
            yield Change(f"{path}: {name} is now {new}", changed)


@BENIGN.add("rename-variables", "benign")
def rename_variables(pair: Pair) -> Iterator[Change]:
    """All local variables of a function have other names."""
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        for function in _top_functions(source):
            names = _locals(function)
            if not names or not substantial(function):
                continue
            places = sorted(
                (source.span(n)[0], n.id)
                for n in ast.walk(function)
                if isinstance(n, ast.Name) and n.id in names
            )
            new = source.text
            for start, name in reversed(places):
                new = f"{new[:start]}{name}_{new[start + len(name) :]}"
            yield Change(f"{path}: other names within {function.name}", {path: new})


def _locals(function: Function) -> set[str]:
    """Names that are bound by plain assignment, and by nothing else."""
    inner = [n for n in ast.walk(function) if isinstance(n, Function | ast.Lambda)][1:]
    if inner or any(isinstance(n, ast.Global | ast.Nonlocal) for n in ast.walk(function)):
        return set()
    arguments = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    stored = {
        n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    # A name inside an f-string has no place of its own in older Pythons.
    formatted = {
        n.id
        for joined in ast.walk(function)
        if isinstance(joined, ast.JoinedStr)
        for n in ast.walk(joined)
        if isinstance(n, ast.Name)
    }
    return stored - arguments - formatted


@BENIGN.add("reformat", "benign")
def reformat(pair: Pair) -> Iterator[Change]:
    """One file as the standard library writes trees: no comments, other lines, other quotes."""
    for path, text in sorted(pair.python.items()):
        yield Change(f"{path} is unparsed", {path: ast.unparse(ast.parse(text)) + "\n"})


@BENIGN.add("split", "benign")
def split(pair: Pair) -> Iterator[Change]:
    """The first half of a function is a function of its own."""
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        for function in _top_functions(source):
            new = _split(source, function)
            if new is not None:
                yield Change(f"{path}: {function.name} is split", {path: new})


def _split(source: Source, function: Function) -> str | None:
    body = after_docstring(function)
    half = body[: len(body) // 2]
    rest = body[len(body) // 2 :]
    leaving = (ast.Return, ast.Yield, ast.YieldFrom, ast.Lambda, ast.Global, Function, ast.Import)
    if len(half) < 2 or any(isinstance(n, leaving) for s in half for n in ast.walk(s)):
        return None
    if function.decorator_list or function.args.vararg or function.args.kwarg:
        return None
    names = [n for s in half for n in ast.walk(s) if isinstance(n, ast.Name)]
    bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    certain = {
        n.id
        for s in half
        if isinstance(s, ast.Assign | ast.AnnAssign)
        for target in (s.targets if isinstance(s, ast.Assign) else [s.target])
        for n in ast.walk(target)  # not the variables of comprehensions
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    used = {n.id for s in rest for n in ast.walk(s) if isinstance(n, ast.Name)}
    given = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    given += [a.arg for a in function.args.kwonlyargs]
    loaded = {n.id for n in names}
    take = [name for name in given if name in loaded]
    out = sorted(bound & used)
    if not out or set(out) - certain or bound & set(given):
        return None
    part = f"_{function.name.strip('_')}_prepared"
    lines = source.lines(half[0].lineno, half[-1].end_lineno)
    results = ", ".join(out)
    helper = f"def {part}({', '.join(take)}):\n{lines}    return {results}\n\n\n"
    call = f"    {results} = {part}({', '.join(take)})\n"
    text = source.with_lines(half[0].lineno, half[-1].end_lineno, call)
    return Source(text).with_lines(function.lineno, function.lineno - 1, helper)


@BENIGN.add("docstrings", "benign")
def docstrings(pair: Pair) -> Iterator[Change]:
    """Every function that has none gets one; every other loses its own."""
    for path, text in sorted(pair.python.items()):
        new = text
        for _, function in reversed(list(Source(text).functions())):
            source, name = Source(new), function.name.strip("_").replace("_", " ")
            body = function.body
            line = body[0].lineno
            if source.lines(line, line).lstrip().startswith("def "):
                continue  # the whole function on one line
            indent = " " * body[0].col_offset
            if after_docstring(function) is body:
                new = source.with_lines(line, line - 1, f'{indent}"""What {name} gives."""\n')
            elif len(body) > 1:
                new = source.with_lines(line, body[0].end_lineno, "")
        if new != text:
            yield Change(f"{path}: other docstrings", {path: new})


@BENIGN.add("comments", "benign")
def comments(pair: Pair) -> Iterator[Change]:
    """Prose that uses the words of the checks without meaning them."""
    remarks = (
        "# The placeholder of the base was replaced by the data set of the paper.",
        "# Nothing is left out here: see the rest of the module for the details.",
        "# This will pass over missing values, if there are any...",
        "# The code below is unchanged from the base, on purpose.",
    )
    for k, (path, text) in enumerate(sorted(pair.python.items())):
        source = Source(text)
        functions = _top_functions(source)
        if functions:
            first = after_docstring(functions[-1])[0]
            remark = " " * first.col_offset + remarks[k % len(remarks)] + "\n"
            yield Change(
                f"{path}: {remark.strip()}",
                {path: source.with_lines(first.lineno, first.lineno - 1, remark)},
            )


@BENIGN.add("reorder", "benign")
def reorder(pair: Pair) -> Iterator[Change]:
    """Neighbouring functions stand in the opposite order."""
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        body = source.tree.body
        plain = [isinstance(n, Function) and not n.decorator_list for n in body]
        for k in range(len(body) - 1):
            if plain[k] and plain[k + 1]:
                one = source.lines(body[k].lineno, body[k].end_lineno)
                other = source.lines(body[k + 1].lineno, body[k + 1].end_lineno)
                if not other.endswith("\n"):
                    other += "\n"
                new = source.with_lines(body[k].lineno, body[k + 1].end_lineno, f"{other}\n\n{one}")
                yield Change(f"{path}: {body[k + 1].name} before {body[k].name}", {path: new})
                break


@BENIGN.add("moved", "benign")
def moved(pair: Pair) -> Iterator[Change]:
    """A function lives in a module of its own and is imported where it was."""
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        imports = [n for n in source.tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        bound = {a.asname or a.name.partition(".")[0] for n in imports for a in n.names}
        top = {n.name for n in source.tree.body if isinstance(n, Function | ast.ClassDef)}
        top |= {
            n.id
            for s in source.tree.body
            if isinstance(s, ast.Assign | ast.AnnAssign)
            for n in ast.walk(s)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        for function in _top_functions(source):
            used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
            if function.decorator_list or (used & top) - {function.name} or function.name == "main":
                continue
            if f"{function.name}.py" in "/".join(pair.derived) or not imports:
                continue
            needed = [
                n for n in imports if used & {a.asname or a.name.partition(".")[0] for a in n.names}
            ]
            own = "\n".join(source.segment(n) for n in needed)
            folder = path.rpartition("/")[0]
            name = f"{function.name.strip('_')}_part"
            module = f"{folder.replace('/', '.')}.{name}" if folder else name
            code = source.lines(function.lineno, function.end_lineno)
            new = source.with_lines(function.lineno, function.end_lineno, "")
            line = imports[-1].end_lineno
            new = Source(new).with_lines(
                line + 1, line, f"from {module} import {function.name}  # noqa: F401\n"
            )
            place = f"{folder}/{name}.py" if folder else f"{name}.py"
            moved_code = f'"""Taken out of {path}."""\n\n{own}\n\n\n{code}'
            if used & bound or not needed:
                yield Change(
                    f"{path}: {function.name} moved to {place}", {path: new, place: moved_code}
                )


@BENIGN.add("type-hints", "benign")
def type_hints(pair: Pair) -> Iterator[Change]:
    """Functions without annotations get some; those with annotations lose them."""
    for path, text in sorted(pair.python.items()):
        tree = ast.parse(text)
        plain = True
        for node in ast.walk(tree):
            if isinstance(node, Function) and (
                node.returns or any(a.annotation for a in node.args.args)
            ):
                plain = False
                node.returns = None
                for argument in (*node.args.args, *node.args.kwonlyargs):
                    argument.annotation = None
        if not plain:
            yield Change(f"{path}: no annotations of functions", {path: ast.unparse(tree) + "\n"})
            continue
        source = Source(text)
        new = text
        for function in reversed([f for _, f in source.functions()]):
            start, _ = source.span(function)
            end = source.offset(function.body[0].lineno, 0)
            head = new[start:end]
            typed = re.sub(r"\)(\s*):(\s*)$", r") -> Any:\2", head, count=1)
            typed = re.sub(r"\b(seed|context|bins|steps)\b(?=[,)])", r"\1: int", typed)
            new = new[:start] + typed + new[end:]
        if new != text:
            line = next(n.lineno for n in ast.parse(new).body if not isinstance(n, ast.Expr))
            new = Source(new).with_lines(line, line - 1, "from typing import Any\n\n")
            yield Change(f"{path}: annotations of functions", {path: new})


@BENIGN.add("float-notation", "benign")
def float_notation(pair: Pair) -> Iterator[Change]:
    """Numbers written otherwise, and read alike: `1.0e-3`, and `1e-3` where Hydra reads it."""
    hydra = any("omegaconf" in text for text in pair.python.values())
    for path, text in sorted(pair.yaml.items()):
        new = text
        for scalar in reversed(list(scalars(text))):
            if isinstance(scalar.value, float) and 0 < scalar.value < 1:
                written = f"{scalar.value:.6e}"
                mantissa, exponent = written.split("e")
                mantissa = mantissa.rstrip("0")
                if hydra:
                    short = f"{mantissa.rstrip('.')}e{int(exponent)}"
                else:
                    short = f"{mantissa}{'0' if mantissa.endswith('.') else ''}e{int(exponent):+d}"
                if float(short) == scalar.value:
                    new = new[: scalar.start] + short + new[scalar.end :]
        if new != text:
            yield Change(f"{path}: numbers with exponents", {path: new})


@BENIGN.add("transitive-pinned", "benign")
def transitive_pinned(pair: Pair) -> Iterator[Change]:
    """What another dependency brings along is pinned by name."""
    text = pair.derived.get("pyproject.toml")
    if text is not None:
        for extra in ("joblib==1.4.2", "threadpoolctl>=3.1", "packaging>=24"):
            new = re.sub(r"(dependencies = \[\s*)", rf'\g<1>"{extra}", ', text, count=1)
            yield Change(f"pyproject.toml also asks for {extra}", {"pyproject.toml": new})
    elif "requirements.txt" in pair.derived:
        new = pair.derived["requirements.txt"] + "packaging==24.2\n"
        yield Change("requirements.txt also asks for packaging", {"requirements.txt": new})


ABSTRACT = '''

class Recorder:
    """What keeps rows of numbers; subclasses say where."""

    def write(self, row):
        """Keep one row."""
        raise NotImplementedError

    def close(self):
        pass


class ListRecorder(Recorder):
    """In memory."""

    def __init__(self):
        self.rows = []

    def write(self, row):
        self.rows.append(row)
'''
FORMAL = '''

class Measure(abc.ABC):
    """A number that describes predictions."""

    @abc.abstractmethod
    def of(self, predicted, wanted):
        """The number."""
        raise NotImplementedError

    @property
    @abc.abstractmethod
    def name(self) -> str: ...


class Share(Measure):
    """How many are right."""

    name = "share"

    def of(self, predicted, wanted):
        return sum(p == w for p, w in zip(predicted, wanted, strict=True)) / len(wanted)
'''
PROTOCOL = '''

class Predictor(Protocol):
    """Whatever predicts."""

    def predict(self, x): ...

    def reset(self) -> None:
        """Forget what was learnt."""
        ...
'''
CLEANUP = '''

def remove_quietly(path):
    """A file that may be gone already."""
    try:
        os.remove(path)
    except OSError:
        pass
'''


def _appended(pair: Pair, code: str, imported: str) -> Iterator[Change]:
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        if len(source.tree.body) < 3 or "__main__" in text:
            continue
        line = next(n.lineno for n in after_docstring(source.tree))
        new = source.with_lines(line, line - 1, imported).rstrip("\n") + "\n" + code
        yield Change(f"{path} ends in a new definition", {path: new})


@BENIGN.add("abstract", "benign")
def abstract(pair: Pair) -> Iterator[Change]:
    yield from _appended(pair, ABSTRACT, "")
    yield from _appended(pair, FORMAL, "import abc\n")


@BENIGN.add("protocol", "benign")
def protocol(pair: Pair) -> Iterator[Change]:
    yield from _appended(pair, PROTOCOL, "from typing import Protocol\n")


@BENIGN.add("cleanup-pass", "benign")
def cleanup_pass(pair: Pair) -> Iterator[Change]:
    yield from _appended(pair, CLEANUP, "import os\n")
