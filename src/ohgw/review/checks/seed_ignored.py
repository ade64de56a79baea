"""A configured seed that reaches no generator, or is overridden by a constant."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.nodes import configurations
from ohgw.review.findings import Finding
from ohgw.review.project import Module, Project, constant, dotted

# Of a whole process; a generator object with a constant seed may be a fixed split.
_GLOBAL = re.compile(
    r"(?:.*\.)?(?:random\.seed|manual_seed(?:_all)?|set_seed|seed_everything|set_random_seed|"
    r"seed_all|fix_seed|set_all_seeds|set_global_seed)"
)
_ANY = re.compile(
    rf"{_GLOBAL.pattern}|(?:.*\.)?(?:default_rng|RandomState|Generator|PRNGKey|SeedSequence|Random)"
)
_SEED = re.compile(r"(?:\w*_)?seeds?|random_state", re.IGNORECASE)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    calls = list(_seedings(project))
    yield from _deaf_setters(check, project)
    yield from _unread(check, project)
    yield from _at_hand(check, project)
    place = _configured(project)
    if place is None:
        return
    live = [call for _, call in calls if not _fixed(call)]
    if not live and not _passed_on(project):
        path, line = place
        fixed = [(m, c) for m, c in calls if _fixed(c) and _GLOBAL.fullmatch(dotted(c.func))]
        message = "The configured seed reaches no random number generator"
        if fixed:
            module, call = fixed[0]
            yield check.finding(
                "error",
                [project.at(path), project.at(module.path)],
                [line, call.lineno],
                f"{message}: {ast.unparse(call)} seeds with a constant instead.",
                evidence=module.source(call.lineno),
                fix="Seed every generator from the configuration.",
            )
        else:
            yield check.finding(
                "error",
                project.at(path),
                line,
                f"{message}: nothing in the code is seeded.",
                fix="Seed python, numpy and torch from it, before data and model are made.",
            )
        return
    for module, call in calls:
        if _fixed(call) and _GLOBAL.fullmatch(dotted(call.func)) and _inside(module, call):
            yield check.finding(
                "warning",
                project.at(module.path),
                call.lineno,
                f"{ast.unparse(call)} overrides the configured seed of the whole process.",
                evidence=module.source(call.lineno),
                fix="Use a generator of its own where a part must be the same in every run.",
            )


def _seedings(project: Project) -> Iterator[tuple[Module, ast.Call]]:
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Call) and _ANY.fullmatch(dotted(node.func) or _last(node)):
                yield module, node


def _last(node: ast.Call) -> str:
    """`manual_seed` of `torch.Generator().manual_seed`."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _fixed(call: ast.Call) -> bool:
    """True for constants; a call without arguments seeds from the system, which is no seed."""
    given = [*call.args, *(k.value for k in call.keywords)]
    return all(constant(argument) is not ... for argument in given)


def _configured(project: Project) -> tuple[str, int] | None:
    for root in configurations(project):
        if root.path.endswith(".py"):
            continue
        for node in root.walk():
            if isinstance(node.key, str) and _SEED.fullmatch(node.key):
                return node.path, node.line
    return None


def _passed_on(project: Project) -> bool:
    """A seed that is handed to somebody who seeds: random_state=seed, Trainer(seed=...)."""
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.keyword) and node.arg and _SEED.fullmatch(node.arg):
                if constant(node.value) is ...:
                    return True
            if isinstance(node, ast.Call) and not _ANY.fullmatch(dotted(node.func)):
                for argument in node.args:
                    name = dotted(argument).split(".")[-1]
                    if name and _SEED.fullmatch(name) and _external(project, node):
                        return True
    return False


def _external(project: Project, call: ast.Call) -> bool:
    """A function of somebody else's: what it does with a seed is its own affair."""
    name = dotted(call.func).split(".")[-1]
    defined = {d.node.name for m in project.parsed() for d in m.definitions.values()}
    return bool(name) and name not in defined and name not in ("int", "str", "print", "range")


def _inside(module: Module, node: ast.AST) -> bool:
    """Within a function: at the top of a module it is what holds until something else is set."""
    while node in module.parents:
        node = module.parents[node]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return True
    return False


def _deaf_setters(check: Check, project: Project) -> Iterator[Finding]:
    """def set_seed(seed): torch.manual_seed(0)"""
    for module in project.parsed():
        for definition in module.definitions.values():
            node = definition.node
            if isinstance(node, ast.ClassDef) or not re.search(r"seed", node.name.lower()):
                continue
            named = [a.arg for a in node.args.args if _SEED.fullmatch(a.arg)]
            calls = [
                c
                for c in ast.walk(node)
                if isinstance(c, ast.Call) and _ANY.fullmatch(dotted(c.func) or _last(c))
            ]
            read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            if named and calls and named[0] not in read:
                yield check.finding(
                    "error",
                    project.at(module.path),
                    calls[0].lineno,
                    f"{definition.name} takes {named[0]} and seeds with a constant.",
                    evidence=module.source(calls[0].lineno),
                    fix=f"Seed with {named[0]}.",
                )


_SHOWN = re.compile(r"print|log|info|debug|warning|write|set_description|set_postfix|update")


def _unread(check: Check, project: Project) -> Iterator[Finding]:
    """A parameter that nobody reads, or a loop over seeds in which every pass is the same."""
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                named = [a for a in node.args.args if _SEED.fullmatch(a.arg)]
                body: list[ast.AST] = [*node.body]
                what = f"{node.name} takes"
                if _is_interface(node) or "seed" in node.name.lower():
                    continue  # of setters, `_deaf_setters` says more
            elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
                named = [ast.arg(node.target.id)] if _SEED.fullmatch(node.target.id) else []
                body, what = [*node.body], "the loop goes through"
            elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
                target = node.generators[-1].target
                seeds = isinstance(target, ast.Name) and _SEED.fullmatch(target.id)
                named = [ast.arg(target.id)] if seeds and isinstance(target, ast.Name) else []
                parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
                body, what = [*parts, *node.generators[-1].ifs], "the loop goes through"
            else:
                continue
            for argument in named:
                if not any(_reads(part, argument.arg) for part in body):
                    yield check.finding(
                        "error",
                        project.at(module.path),
                        node.lineno,
                        f"{what} {argument.arg!r}, and nothing that is computed depends on it.",
                        evidence=module.source(node.lineno),
                        fix="Hand the seed to what draws random numbers.",
                    )


# Where the same numbers in every replicate are meant, or may be.
_FIXED = re.compile(
    r"(?i)split|test|val|data|eval|fixed|same|always|shared|common|perm|order|shuffle|plot|subset"
    r"|hold|fold|noise|loader|bootstrap|reference|synthetic|demo|paired|identical|every|task|target"
)
_ESTIMATOR = re.compile(r"[A-Z]\w*(?:Classifier|Regressor)")


def _at_hand(check: Check, project: Project) -> Iterator[Finding]:
    """A generator with a constant seed, in a function that was given one."""
    for module in project.parsed():
        for definition in module.definitions.values():
            node = definition.node
            if isinstance(node, ast.ClassDef) or "seed" in node.name.lower().split("_")[:1]:
                continue
            if not any(a.arg == "seed" for a in (*node.args.args, *node.args.kwonlyargs)):
                continue
            calls = [c for c in ast.walk(node) if isinstance(c, ast.Call)]
            seeded = any(_GLOBAL.fullmatch(dotted(c.func)) and not _fixed(c) for c in calls)
            for call in calls:
                said = module.source(call.lineno - 1) if call.lineno > 1 else ""
                said = f"{said if said.startswith('#') else ''} {module.source(call.lineno)}"
                if _FIXED.search(said) or not _is_deaf(call, seeded):
                    continue
                user = module.parents.get(call)
                around = (
                    f"{node.name} {ast.unparse(user.func) if isinstance(user, ast.Call) else ''}"
                )
                if _FIXED.search(around.replace("evaluate", "")):
                    continue
                yield check.finding(
                    "error",
                    project.at(module.path),
                    call.lineno,
                    f"{ast.unparse(call)[:80]} has a seed of its own, where {definition.name} is "
                    "given one: every replicate draws the same there.",
                    evidence=module.source(call.lineno),
                    fix="Seed it with what the function is given.",
                )


def _is_deaf(call: ast.Call, seeded: bool) -> bool:
    given = [*call.args, *(k.value for k in call.keywords)]
    name = dotted(call.func) or _last(call)
    if _ESTIMATOR.fullmatch(name.split(".")[-1]):
        states = [k.value for k in call.keywords if k.arg == "random_state"]
        return bool(states) and isinstance(constant(states[0]), int)
    if not _ANY.fullmatch(name) or not given or not _fixed(call):
        return False
    if _GLOBAL.fullmatch(name) and isinstance(call.func, ast.Name | ast.Attribute):
        of_process = bool(dotted(call.func)) and not isinstance(
            getattr(call.func, "value", None), ast.Call
        )
        return not (of_process and seeded)
    return name.split(".")[-1] in ("default_rng", "RandomState", "PRNGKey", "Random")


def _is_interface(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """One line or a bare return: a signature that others share, and nothing random."""
    body = [s for s in node.body if not (isinstance(s, ast.Expr) and constant(s.value) is not ...)]
    return len(body) < 2 and not any(isinstance(n, ast.Call) for s in body for n in ast.walk(s))


def _reads(node: ast.AST, name: str) -> bool:
    """Whether a name is read for more than to be shown or written beside the results."""
    if isinstance(node, ast.Call):
        called = dotted(node.func).split(".")[-1] or _last(node)
        if _SHOWN.fullmatch(called):
            return False
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return any(
            _reads(value, name)
            for key, value in pairs
            if not (constant(key) == name and isinstance(value, ast.Name))
        )
    if isinstance(node, ast.Name):
        return node.id == name and isinstance(node.ctx, ast.Load)
    return any(_reads(child, name) for child in ast.iter_child_nodes(node))


CHECK = Check("seed-ignored", "Seeds", "method implemented", _run)
