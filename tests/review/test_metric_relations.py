"""Metrics that cannot be right are found by calling them, and none that is right is accused."""

import sys

import pytest

from ohgw.review.checks import Context
from ohgw.review.project import Project
from ohgw.review.run import review
from ohgw.review.smoke import smoke
from ohgw.review.smoke.metric_calls import family_of, metrics_of
from ohgw.review.smoke.sandbox import Limits, best_isolation
from ohgw.review.tree import from_mapping

needs_isolation = pytest.mark.skipif(
    best_isolation() == "limits only", reason="no namespaces and no bubblewrap on this machine"
)

MAIN = """
import json, sys
with open(sys.argv[sys.argv.index("--results-dir") + 1] + "/results.json", "w") as file:
    json.dump({"accuracy": 0.25}, file)
"""

GOOD = '''
import math
import re
from collections import Counter
import numpy as np

def accuracy(preds, labels):
    return sum(int(p == y) for p, y in zip(preds, labels)) / len(labels)

def accuracy_score(y_true, y_pred):
    return float(np.mean(np.asarray(y_true) == np.asarray(y_pred)))

def acc(logits, targets):
    return (np.argmax(logits, axis=-1) == targets).mean()

def binary_accuracy(outputs, labels, threshold=0.5):
    return np.mean((outputs > threshold) == (labels == 1))

def binary_acc(logits, labels):
    return (((1 / (1 + np.exp(-logits))) > 0.5).astype(int) == labels).mean() * 100

def compute_accuracy(p, y):
    """The number of right ones."""
    return np.sum(np.sign(p) == y)

def pixel(logits, labels):
    """Accuracy of pixels."""
    return (logits.argmax(axis=1) == labels).mean()

def token_accuracy(logits, labels):
    return (logits[:, :-1].argmax(-1) == labels[:, 1:]).mean()

def directional_accuracy(y_true, y_pred):
    return np.mean(np.sign(np.diff(y_true)) == np.sign(np.diff(y_pred)))

def f1_score(y_true, y_pred):
    tp = sum(1 for t, p in zip(y_true, y_pred) if t == p == 1)
    fp = sum(1 for t, p in zip(y_true, y_pred) if t != 1 and p == 1)
    fn = sum(1 for t, p in zip(y_true, y_pred) if t == 1 and p != 1)
    return 2 * tp / (2 * tp + fp + fn) if tp else 0.0

def macro_f1(preds, labels, num_classes=10):
    scores = []
    for c in range(num_classes):
        tp = np.sum((preds == c) & (labels == c))
        scores.append(2 * tp / max(np.sum(preds == c) + np.sum(labels == c), 1))
    return float(np.mean(scores))

def f1(prediction, truth):
    """Of bags of words."""
    common = Counter(prediction.split()) & Counter(truth.split())
    same = sum(common.values())
    return 0.0 if not same else 2 * same / (len(prediction.split()) + len(truth.split()))

def exact(predictions, references):
    """Accuracy of numbers in answers."""
    found = [re.search(r"#### (\\d+)", str(p)) for p in predictions]
    return np.mean([m is not None and m[1] == str(r) for m, r in zip(found, references)])

def ece(probs, labels, n_bins=15):
    conf, pred = probs.max(1), probs.argmax(1)
    total = 0.0
    for low in np.linspace(0, 1, n_bins + 1)[:-1]:
        inside = (conf > low) & (conf <= low + 1 / n_bins)
        if inside.any():
            total += inside.mean() * abs((pred == labels)[inside].mean() - conf[inside].mean())
    return total

def mse(pred, target):
    return ((np.asarray(pred) - np.asarray(target)) ** 2).mean()

def rmse(y_true, y_pred):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(y_true, y_pred)) / len(y_true))

def mean_absolute_error(target, output):
    return np.abs(output - target).mean()

def cross_entropy(logits, labels):
    logits = logits - logits.max(1, keepdims=True)
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return -logp[np.arange(len(labels)), labels].mean()

def log_loss(y_true, y_prob):
    y_prob = np.clip(y_prob, 1e-7, 1 - 1e-7)
    return -np.mean(y_true * np.log(y_prob) + (1 - y_true) * np.log(1 - y_prob))

def nll_loss(logp, y):
    return -np.mean(logp[range(len(y)), y])

def perplexity(logits, targets):
    return np.exp(cross_entropy(logits, targets))

def bleu(candidate, reference):
    hits = sum(min(n, Counter(reference.split())[w]) for w, n in Counter(candidate.split()).items())
    return hits / len(candidate.split())

def wer(hyp, ref):
    hyp, ref = hyp.split(), ref.split()
    row = list(range(len(ref) + 1))
    for i, a in enumerate(hyp, 1):
        new = [i]
        for j, b in enumerate(ref, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (a != b)))
        row = new
    return row[-1] / len(ref)

def compute_metrics(predictions, labels):
    return {"accuracy": accuracy(predictions, labels), "f1": f1_score(labels, predictions), "n": 3}

def topk_accuracy(output, target, topk=(1,)):
    return [0.0 for _ in topk]

def accuracy_from_file(pred_path, labels):
    raise RuntimeError

class Metrics:
    @staticmethod
    def error_rate(preds, labels):
        return 1 - accuracy(preds, labels)
'''

TORCH = '''
import torch
import torch.nn.functional as F

@torch.no_grad()
def accuracy(logits, labels):
    return (logits.argmax(dim=1) == labels).float().mean().item()

def accuracy_score(output: torch.Tensor, target: torch.Tensor) -> float:
    pred = output.data.max(1, keepdim=True)[1]
    return pred.eq(target.data.view_as(pred)).sum().item() / len(target)

def binary_accuracy(preds, y):
    rounded = torch.round(torch.sigmoid(preds))
    return (rounded == y).float().sum() / len(y)

def cross_entropy(logits, labels):
    return F.cross_entropy(logits, labels)

def bce_loss(logits, targets):
    return F.binary_cross_entropy_with_logits(logits, targets)

def mse_loss(pred, target):
    return F.mse_loss(pred, target)

def perplexity(logits, labels):
    return torch.exp(F.cross_entropy(logits.view(-1, logits.size(-1)), labels.view(-1)))

def dice(pred, target):
    """Pixel accuracy."""
    return (pred.argmax(1) == target).float().mean()
'''

BAD = [
    ("def accuracy(preds, labels):\n    return 0.9", "whatever is predicted"),
    (
        "def accuracy(preds, labels):\n    return float(np.mean(labels == labels))",
        "whatever is predicted",
    ),
    (
        "def accuracy(y_true, y_pred):\n    y_pred = y_true\n    return np.mean(y_true == y_pred)",
        "whatever is predicted",
    ),
    ("def accuracy(preds, labels):\n    return np.mean(preds != labels)", "which is better"),
    (
        "def accuracy(probs, labels):\n    return (probs.argmin(axis=1) == labels).mean()",
        "which is better",
    ),
    (
        "def accuracy(logits, y):\n    return 1 - (logits.argmax(axis=-1) == y).mean()",
        "which is better",
    ),
    (
        "def accuracy(preds, labels):\n    hits = sum(p == y for p, y in zip(preds, labels))\n"
        "    return hits / (2 * len(labels))",
        "not 1",
    ),
    (
        "def accuracy(preds, labels):\n    half = len(labels) // 2\n"
        "    return np.mean(preds[:half] == labels[:half])",
        "order of the examples",
    ),
    (
        "def mse(pred, target):\n    w = np.arange(len(target))\n"
        "    return sum(w * (pred - target) ** 2) / sum(w)",
        "order of the examples",
    ),
    ("def mse(pred, target):\n    return -((pred - target) ** 2).mean()", "which is better"),
    ("def mae(pred, target):\n    return np.abs(target - target).mean()", "whatever"),
    (
        "def nll(logp, labels):\n    return logp[np.arange(len(labels)), labels].mean()",
        "which is better",
    ),
    (
        "def ece(probs, labels, bins=10):\n    conf, ok = probs.max(1), probs.argmax(1) == labels\n"
        "    return float(1 - abs(conf.mean() - ok.mean()))",
        "which is better",
    ),
    (
        "def compute_metrics(preds, labels):\n"
        "    return {'accuracy': np.mean(preds != labels), 'support': len(labels)}",
        "compute_metrics['accuracy'] is 0 of perfect",
    ),
    (
        "class Scores:\n    @staticmethod\n    def f1(preds, labels):\n"
        "        return np.mean(preds != labels)",
        "Scores.f1 is 0 of perfect",
    ),
]


def run(metrics, seconds=60.0):
    files = {"src/main.py": MAIN, "src/__init__.py": "", "src/metrics.py": metrics}
    context = Context(Project(from_mapping("derived", "derived", files)))
    limits = Limits(seconds=seconds, memory_bytes=1 << 30, disk_bytes=50 << 20)
    seen = smoke(context, python=sys.executable, limits=limits)
    return review(context, checks=(), observation=seen)


def test_metrics_are_known_by_their_names():
    for name in ("compute_accuracy", "Top1Accuracy", "macro_f1", "cross_entropy_loss", "log_loss"):
        assert family_of(name), name
    for name in ("accuracy_drop", "directional_accuracy", "best_accuracy", "loss", "f1_grad", "x"):
        assert not family_of(name), name


def test_what_is_not_called():
    code = """
def accuracy(model, loader): ...
def accuracy_of(outputs, labels, mask): ...
def mse(pred, target_loader): ...
def token_accuracy(logits, labels): ...
def f1(preds, labels): return random.sample(preds, 3) == labels
def outer():
    def accuracy(preds, labels): ...
class Model:
    def accuracy(self, preds): ...
    def mse(preds, labels): ...
"""
    project = Project(from_mapping("derived", "derived", {"src/a.py": code}))
    assert [metric.definition.name for metric in metrics_of(project)] == []


@needs_isolation
@pytest.mark.parametrize("code", [GOOD, TORCH], ids=["numpy", "torch"])
def test_no_right_metric_is_accused(code):
    found = run(code)
    assert found.findings == [] and found.is_experiment_code_ready
    assert "called with known predictions" in found.ladder["metrics valid"].reason


@needs_isolation
def test_every_wrong_metric_is_found():
    """All in one tree, a module each."""
    files = {f"src/m{k}.py": f"import numpy as np\n\n{code}\n" for k, (code, _) in enumerate(BAD)}
    files |= {"src/main.py": MAIN, "src/__init__.py": ""}
    context = Context(Project(from_mapping("derived", "derived", files)))
    seen = smoke(context, python=sys.executable, limits=Limits(seconds=60))
    found = review(context, checks=(), observation=seen)
    said = {str(f.file): f.message for f in found.findings}
    missed = [
        (c, said.get(f"derived/src/m{k}.py"))
        for k, (c, w) in enumerate(BAD)
        if w not in said.get(f"derived/src/m{k}.py", "")
    ]
    assert missed == []
    assert {f.id for f in found.findings} == {"smoke-metric"}
    assert found.ladder["metrics valid"].status == "failed" and found.exit_code == 1


@needs_isolation
def test_metrics_that_hang_crash_or_lie_cost_nothing():
    """The driver goes on with the next one, and what they write themselves is no answer."""
    code = """
import os, sys

def accuracy(preds, labels):
    while True:
        pass

def mse(pred, target):
    with open(sys.argv[0] if False else "/review/out/metrics.jsonl", "a") as file:
        for line in ('[]', '{"asked": {}}', '{', '{"asked": 9, "said": {"perfect": 1}}'):
            print(line, file=file)
    raise SystemExit(3)

def mae(pred, target):
    return sum(abs(a - b) for a, b in zip(pred, target)) * -1.0

def f1(preds, labels):
    os._exit(0)
"""
    found = run(code)
    assert [finding.message.split()[0] for finding in found.findings] == ["mae"]
    assert found.findings[0].file == "derived/src/metrics.py" and found.findings[0].line == 14
    assert run("import os\nos._exit(1)\ndef f1(preds, labels): return 1").findings == []
