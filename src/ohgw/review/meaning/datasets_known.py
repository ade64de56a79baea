"""Facts about public data sets: which need a configuration's name, and which splits they have."""

import re
from dataclasses import dataclass

_GLUE = "cola sst2 mrpc qqp stsb mnli mnli_matched mnli_mismatched qnli rte wnli ax"
_GLUE_SPLITS = (
    "train validation test validation_matched validation_mismatched test_matched test_mismatched"
)


@dataclass(frozen=True)
class Known:
    """A data set of the Hugging Face hub. `configs` empty: one unnamed configuration."""

    ids: tuple[str, ...]
    configs: frozenset[str] = frozenset()
    splits: frozenset[str] = frozenset()
    needs: bool = False  # a configuration has to be named


def _known(ids: str, splits: str = "", configs: str = "", needs: bool = False) -> Known:
    return Known(
        tuple(ids.lower().split()), frozenset(configs.split()), frozenset(splits.split()), needs
    )


HUB = (
    _known("glue nyu-mll/glue", _GLUE_SPLITS, _GLUE, True),
    _known(
        "super_glue aps/super_glue",
        "train validation test",
        "boolq cb copa multirc record rte wic wsc wsc.fixed axb axg",
        True,
    ),
    _known(
        "wikitext salesforce/wikitext",
        "train validation test",
        "wikitext-103-raw-v1 wikitext-103-v1 wikitext-2-raw-v1 wikitext-2-v1",
        True,
    ),
    _known("yehzw/wikitext-103", "train validation test", "", True),
    _known("gsm8k openai/gsm8k", "train test", "main socratic", True),
    _known("ai2_arc allenai/ai2_arc", "train validation test", "ARC-Challenge ARC-Easy", True),
    _known(
        "cnn_dailymail abisee/cnn_dailymail", "train validation test", "1.0.0 2.0.0 3.0.0", True
    ),
    _known("wmt14 wmt/wmt14", "train validation test", "cs-en de-en fr-en hi-en ru-en", True),
    _known("wmt16 wmt/wmt16", "train validation test", "cs-en de-en fi-en ro-en ru-en tr-en", True),
    _known("cifar10 uoft-cs/cifar10", "train test", "plain_text"),
    _known("cifar100 uoft-cs/cifar100", "train test", "cifar100"),
    _known("mnist ylecun/mnist", "train test", "mnist"),
    _known("fashion_mnist zalando-datasets/fashion_mnist", "train test", "fashion_mnist"),
    _known("svhn ufldl-stanford/svhn", "train test extra", "cropped_digits full_numbers", True),
    _known("imdb stanfordnlp/imdb", "train test unsupervised", "plain_text"),
    _known("ag_news fancyzhx/ag_news", "train test", "default"),
    _known("dbpedia_14 fancyzhx/dbpedia_14", "train test", "dbpedia_14"),
    _known("yelp_polarity fancyzhx/yelp_polarity", "train test", "plain_text"),
    _known("sst2 stanfordnlp/sst2", "train validation test", "default"),
    _known("squad rajpurkar/squad", "train validation", "plain_text"),
    _known("rotten_tomatoes cornell-movie-review-data/rotten_tomatoes", "train validation test"),
)

# Owners on the hub that publish these and nothing else of a similar name.
_OWNERS = frozenset(
    "nyu-mll uoft-cs ylecun zalando-datasets ufldl-stanford fancyzhx rajpurkar".split()
)


def known(name: str) -> Known | None:
    lowered = name.lower()
    return next((entry for entry in HUB if lowered in entry.ids), None)


def misnamed(name: str) -> str:
    """The id that an unknown one was made of: nyu-mll/glue for nyu-mll/glue-sst2; '' if none."""
    lowered = name.lower()
    owner, slash, _ = lowered.partition("/")
    if not slash or known(name) is not None or owner not in _OWNERS:
        return ""
    for entry in HUB:
        for one in entry.ids:
            if one.startswith(f"{owner}/") and lowered.startswith(one):
                return one
    return ""


# Names in texts, and what in code or configurations selects the same data.
SUBJECTS = {
    "CIFAR-10": (r"\bCIFAR-?10\b(?!0)", r"cifar[-_]?10(?![0\d])"),
    "CIFAR-100": (r"\bCIFAR-?100\b", r"cifar[-_]?100"),
    "Fashion-MNIST": (r"\bFashion[- ]?MNIST\b", r"fashion[-_]?mnist"),
    "MNIST": (r"(?<!Fashion-)(?<!Fashion )\bMNIST\b", r"(?<!fashion)(?<!fashion[-_])mnist"),
    "SVHN": (r"\bSVHN\b", r"svhn"),
    "ImageNet": (r"\bImageNet", r"imagenet"),
    "WikiText-103": (r"\bWikiText-?103\b", r"wikitext[-_]?103"),
    "WikiText-2": (r"\bWikiText-?2\b", r"wikitext[-_]?2\b"),
    "SST-2": (r"\bSST-?2\b", r"sst[-_]?2"),
    "MNLI": (r"\bMNLI\b|\bMultiNLI\b", r"mnli|multi_?nli"),
    "IMDB": (r"\bIMDB\b", r"imdb"),
    "AG News": (r"\bAG[- ]?News\b", r"ag_?news"),
    "SQuAD": (r"\bSQuAD\b", r"squad"),
    "GSM8K": (r"\bGSM8K\b", r"gsm8k"),
    "digits": (r"\bdigits\b", r"(?:load_)?digits"),
    "wine": (r"\bwine\b", r"(?:load_)?wine"),
    "iris": (r"\biris\b", r"(?:load_)?iris"),
    "breast cancer": (r"\bbreast[- ]cancer\b", r"(?:load_)?breast[-_]cancer"),
    "diabetes": (r"\bdiabetes\b", r"(?:load_)?diabetes"),
}  # fmt: skip
SYNTHETIC = re.compile(r"fake_?data|synthetic|dummy|random|toy", re.IGNORECASE)


def spoken_of(text: str) -> set[str]:
    """The data sets that a text names."""
    return {name for name, (said, _) in SUBJECTS.items() if re.search(said, text, re.IGNORECASE)}


def selected(word: str) -> set[str]:
    """The data sets that one name in code or configurations selects."""
    return {
        name
        for name, (_, used) in SUBJECTS.items()
        if re.search(rf"(?<![a-z]){used}(?![a-z])", word, re.IGNORECASE)
    }
