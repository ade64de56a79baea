"""p-values: which names are such, and whether a statistical test has anything to do with them."""

import ast
from collections.abc import Iterator
from itertools import pairwise

from ohgw.review.code.memo import once
from ohgw.review.meaning.metrics import enclosing, name_of, number, words
from ohgw.review.project import Module, Project, constant

_LIMITS = frozenset("threshold cut cutoff level alpha max min target crit critical".split())
_TALK = frozenset(
    "significant significance wilcoxon bonferroni holm ttest pvalue pvalues pval statistic".split()
)
# Functions of scipy, statsmodels, pingouin and others that test something.
TESTS = frozenset(
    "wilcoxon ttest_rel ttest_ind ttest_1samp mannwhitneyu ranksums kruskal friedmanchisquare "
    "f_oneway permutation_test binomtest binom_test chi2_contingency chisquare fisher_exact "
    "ks_2samp brunnermunzel median_test mcnemar tukey_hsd dunnett alexandergovern "
    "bootstrap ttest anova pairwise_tests pairwise_ttests ttest_ind_from_stats mood ansari".split()
)
_TESTING = frozenset("permutation bootstrap ttest wilcoxon mcnemar mannwhitney anova".split())
_PACKAGES = frozenset("statsmodels pingouin scikit_posthocs autorank deepsig baycomp".split())


def is_named(label: str) -> bool:
    """p_value and the like, beyond doubt."""
    said = words(label)
    if set(said) & _LIMITS:
        return False
    pairs = set(pairwise(said))
    return bool({"pvalue", "pvalues", "pval"} & set(said) or pairs & {("p", "value"), ("p", "val")})


def _may_be(label: str) -> bool:
    """p, p_corrected: a probability of anything, unless the code says otherwise."""
    said = words(label)
    return said[:1] == ("p",) and not set(said) & _LIMITS


def written(module: Module) -> Iterator[tuple[int, str]]:
    """Lines where a p-value is a number of the code, or chosen among some."""
    bound: dict[tuple[ast.AST, str], list[ast.expr]] = {}
    for node in module.nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            label = name_of(target)
            if isinstance(target, ast.Name | ast.Subscript) and (is_named(label) or _may_be(label)):
                if not isinstance(target, ast.Subscript) or isinstance(target.slice, ast.Constant):
                    bound.setdefault((enclosing(module, node), label), []).append(node.value)
        elif isinstance(node, ast.Dict) and not all(constant(v) is not ... for v in node.values):
            for key, value in zip(node.keys, node.values, strict=True):
                label = str(constant(key))
                if (is_named(label) or (label == "p" and _talks(node))) and _is_chosen(value):
                    yield value.lineno, _said(label, [value])
    for (scope, label), values in bound.items():
        if isinstance(scope, ast.Module) or not all(_is_chosen(value, True) for value in values):
            continue
        if any(_is_chosen(value) for value in values) and (is_named(label) or _talks(scope)):
            first = next(value for value in values if _is_chosen(value))
            yield first.lineno, _said(label, values)


def _is_chosen(value: ast.expr, limits: bool = False) -> bool:
    """A number between 0 and 1, or a choice among numbers; with `limits` 0 and 1 will do."""
    if isinstance(value, ast.IfExp):
        leaves: list[ast.expr] = []
        pending: list[ast.expr] = [value]
        while pending:
            node = pending.pop()
            if isinstance(node, ast.IfExp):
                pending += [node.body, node.orelse]
            else:
                leaves.append(node)
        known = [number(leaf) for leaf in leaves]
        return all(n is not None for n in known) and any(n not in (0.0, 1.0) for n in known)
    known_value = number(value)
    if known_value is None:
        return False
    return 0 < known_value < 1 or (limits and 0 <= known_value <= 1)


def _said(label: str, values: list[ast.expr]) -> str:
    if len(values) > 1 or isinstance(values[0], ast.IfExp):
        return f"{label} is chosen among numbers of the code: no test gave it."
    return f"{label} is {number(values[0]):g}, a number written into the code: no test gave it."


def _talks(scope: ast.AST) -> bool:
    """Whether a function is about significance."""
    for node in ast.walk(scope):
        name = ""
        if isinstance(node, ast.Name | ast.Attribute):
            name = name_of(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value if len(node.value) < 40 else ""
        if name and (set(words(name)) & _TALK or is_named(name)):
            return True
    return False


@once
def tests(project: Project) -> dict[str, tuple[str, int]]:
    """The statistical tests that the code calls or imports, each with its place."""
    found: dict[str, tuple[str, int]] = {}
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Call) and (name := name_of(node.func)) in TESTS:
                found.setdefault(name, (module.path, node.lineno))
    return found


@once
def may_test(project: Project) -> bool:
    """Whether anything in the code looks like a test of significance."""
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Name | ast.Attribute):
                name = name_of(node)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                name = node.name
            elif isinstance(node, ast.Import | ast.ImportFrom):
                tops = {alias.name.partition(".")[0] for alias in node.names}
                tops.add((getattr(node, "module", "") or "").partition(".")[0])
                if tops & _PACKAGES:
                    return True
                continue
            else:
                continue
            if name in TESTS or _TESTING & set(words(name)):
                return True
    return False
