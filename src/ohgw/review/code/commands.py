"""How the files of a tree are run: entry points, the options they take, the options passed on."""

import ast

from ohgw.review.code.memo import once
from ohgw.review.project import Module, Project, dotted


def guard(module: Module) -> ast.If | None:
    """`if __name__ == "__main__":` of a module."""
    for node in module.tree.body if module.tree else ():
        if isinstance(node, ast.If) and isinstance(node.test, ast.Compare):
            sides = [node.test.left, *node.test.comparators]
            if any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides):
                return node
    return None


@once
def options(project: Project) -> dict[str, dict[str, int]]:
    """By path: every long option that a module declares, with the line of its declaration."""
    found: dict[str, dict[str, int]] = {}
    for module in project.parsed():
        for node in module.nodes:
            if not isinstance(node, ast.Call):
                continue
            name = dotted(node.func).rpartition(".")[2] or getattr(node.func, "attr", "")
            if name not in ("add_argument", "option", "Option", "DEFINE_string", "argument"):
                continue
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    for part in argument.value.split("/"):
                        if part.startswith("--"):
                            found.setdefault(module.path, {})[part.split()[0]] = argument.lineno
    return found


def option_line(module: Module) -> int:
    """Where a module declares its first option; 1 where it has none."""
    for node in module.nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            return node.lineno
    return 1


@once
def passed_options(project: Project) -> dict[tuple[str, str], str]:
    """(module, option) of commands written as lists that end up starting a module: their place."""
    found: dict[tuple[str, str], str] = {}
    for module in project.parsed():
        for node in module.nodes:
            if not isinstance(node, ast.List | ast.Tuple):
                continue
            words = [
                (e.value, e.lineno)
                for e in node.elts
                if isinstance(e, ast.Constant) and isinstance(e.value, str)
            ]
            targets = [word for word, _ in words if word in project.by_name]
            if not targets:
                continue
            for word, line in [*words, *_appended(module, node)]:
                if word.startswith("--"):
                    found[targets[0], word.partition("=")[0]] = f"{module.path}:{line}"
    return found


def _appended(module: Module, command: ast.AST) -> list[tuple[str, int]]:
    """Words that the same function adds to the command that it made a list of."""
    parent = module.parents.get(command)
    if not isinstance(parent, ast.Assign) or not isinstance(parent.targets[0], ast.Name):
        return []
    name = parent.targets[0].id
    up = module.parents.get(parent)
    while up is not None and not isinstance(up, ast.FunctionDef | ast.Module):
        up = module.parents.get(up)
    return [
        (constant.value, constant.lineno)
        for call in (ast.walk(up) if up is not None else ())
        if isinstance(call, ast.Call) and dotted(call.func) in (f"{name}.append", f"{name}.extend")
        for argument in call.args
        for constant in ast.walk(argument)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    ]
