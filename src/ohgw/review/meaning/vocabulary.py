"""The words of the field: what texts promise, and what in code would show that it is there."""

import ast
import re
from dataclasses import dataclass

from ohgw.review.code.memo import once
from ohgw.review.project import Module, Project


@dataclass(frozen=True)
class Term:
    """`said` finds it in a text; `shown` finds it among the tokens of code that does it."""

    kind: str
    name: str
    said: str
    shown: str


# What only a scheduler's code is about; a run id or a description is not code.
SCHEDULING = r"rungs?|promot\w*|halving|brackets?|\w*scheduler_?\w*|\w*pruner\w*|survivors?"

TERMS = (
    *(
        Term("scheduler", name, rf"\b{said}\b", shown)
        for name, said, shown in (
            ("PASHA", "PASHA", "pasha"),
            ("ASHA", "ASHA", r"asha|async\w*halving"),
            ("Hyperband", r"Hyperband(?!-BO)", "hyper_?band"),
            ("BOHB", r"(?:BOHB|Hyperband-BO)", "bohb|kde|tpe"),
            ("DyHPO", "DyHPO", "dy_?hpo"),
            ("BOIL", "BOIL", "boil"),
            ("successive halving", r"successive[- ]halving", "halving"),
        )
    ),
    Term("metric", "perplexity", r"\b(?:perplexity|ppl)\b", "perplexity|ppl"),
    Term("metric", "expected calibration error", r"\bECE\b|calibration error", "ece|calibration"),
    Term("metric", "FLOPs", r"\bFLOPs?\b", "flops?|flop_?counter|profiler|thop|fvcore"),
    Term("metric", "peak memory", r"peak[- ](?:v?ram|memory)", "max_memory|peak_?mem|vram|maxrss"),
    Term("metric", "F1", r"\bF1\b", "f1"),
    Term("metric", "AUC", r"\b(?:ROC-?)?AUC\b", "auc|auroc"),
    Term("metric", "BLEU", r"\bBLEU\b", "bleu"),
    Term("evaluation", "out-of-distribution evaluation", r"\bOOD\b|distribution shift",
         "ood|shift|shuffled_?headline|corrupt"),
    Term("evaluation", "adversarial evaluation", r"adversarial|TextFooler",
         "adversarial|textfooler|textattack|attack|fgsm|pgd"),
    Term("evaluation", "profiler", r"\bprofiler\b", "profil"),
    Term("statistics", "Wilcoxon test", r"\bWilcoxon\b", "wilcoxon"),
    Term("statistics", "t-test", r"\bt-test\b", "ttest|t_test"),
    Term("statistics", "Bonferroni correction", r"\bBonferroni\b", "bonferroni|multipletests"),
    Term("statistics", "Holm correction", r"\bHolm\b", "holm|multipletests"),
    Term("training", "cosine learning rate", r"cosine (?:LR|learning|schedule|decay|annealing)",
         "cosine|math.cos"),
    Term("training", "warm-up", r"warm-?up[- ](?:steps|schedule|ratio)", r"warm_?up"),
    Term("training", "label smoothing", r"label[- ]smoothing", "label_?smooth"),
    Term("training", "AdamW", r"\bAdamW\b", "adamw"),
    Term("training", "dynamic batching", r"dynamic batching",
         "dynamic_?batch|tokens_per_batch|max_tokens|accumulat|batch_?sampler|bucket"),
    Term("data", "SentencePiece", r"\bSentencePiece\b", "sentencepiece|spm"),
    Term("data", "WikiText-103", r"\bWikiText-?103\b", "wikitext"),
    Term("data", "WikiText-2", r"\bWikiText-?2\b", "wikitext"),
    Term("data", "CIFAR-100", r"\bCIFAR-?100\b", "cifar"),
    Term("data", "CIFAR-10", r"\bCIFAR-?10\b", "cifar"),
    Term("data", "MNIST", r"\bMNIST\b", "mnist"),
    Term("data", "ImageNet", r"\bImageNet\b", "imagenet"),
    Term("data", "inner validation split", r"inner[- ]val\w*|90/10 split",
         "inner|90|0\\.9\\b|split"),
    Term("model", "GPT-2", r"\bGPT-?2\b", "gpt_?-?2|gpt"),
    Term("model", "ResNet", r"\bResNet-?\d*\b", "resnet"),
    Term("model", "vision transformer", r"\bViT\b", "vit|visiontransformer"),
    Term("design", "search space", r"search[- ]space",
         r"\w*space|sample_?config\w*|suggest_\w+|loguniform|log_uniform"),
    Term("design", "step-size sweep", r"sweep of (?:eta|η)\w*", "sweep|etas|eta_grid"),
)  # fmt: skip


@dataclass(frozen=True)
class Token:
    """A word that does something: a name, an attribute, an argument, a string that is used."""

    text: str  # lower case
    path: str
    line: int


@once
def tokens(project: Project) -> list[Token]:
    """Words of the code; not comments, docstrings, printed or help texts, nor names of runs."""
    found = []
    for module in project.parsed():
        silent = _spoken(module)
        for node in module.nodes:
            line = getattr(node, "lineno", 0)
            words: list[str] = []
            if isinstance(node, ast.Name):
                words = [node.id]
            elif isinstance(node, ast.Attribute):
                words = [node.attr]
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                words = [node.name]
            elif isinstance(node, ast.arg | ast.keyword) and node.arg:
                words = [node.arg]
            elif isinstance(node, ast.Import):
                words = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                words = [node.module or "", *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Constant) and id(node) not in silent:
                if isinstance(node.value, str) and len(node.value) <= 100:
                    words = [node.value]
                elif isinstance(node.value, float | int):
                    words = [repr(node.value)]
            found += [Token(word.lower(), module.path, line) for word in words if word]
    return found


def shown(project: Project, pattern: str) -> Token | None:
    """The first token of the code that a pattern fits, as a word or a part of one."""
    compiled = re.compile(rf"(?:^|[^a-z])(?:{pattern})(?:$|[^a-z]|(?<=\w)s$)", re.IGNORECASE)
    for token in tokens(project):
        if compiled.search(token.text):
            return token
    return None


_SPEAKING = re.compile(
    r"print|log|info|warning|error|debug|exception|write|echo|add_argument|\w*Error"
)


def _spoken(module: Module) -> set[int]:
    """Constants that are only read by people: docstrings, what is printed, logged or raised."""
    silent: set[int] = set()
    for node in module.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(id(node.value))
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if _SPEAKING.fullmatch(name) or name == "ArgumentParser":
                # The option itself (its first words) does something; its help does not.
                skipped = node.args if name != "add_argument" else []
                for part in [*skipped, *(k.value for k in node.keywords)]:
                    silent.update(id(inner) for inner in ast.walk(part))
    return silent
