"""Claims: what the texts of a specification say the experiment does, held against the code.

Terms of the field and numbers of replicates and dimensions are read out of the description of the
experiment (the design, where there is none: it speaks of many experiments). A claim is supported
where the code has a word for it that does something; that is all a reader without judgement can
tell, so a claim that is not found is a warning.
"""

import re

from ohgw.review.checks.check import Context
from ohgw.review.findings import Claim
from ohgw.review.meaning.seeds import declared_replicates, wanted_replicates
from ohgw.review.meaning.vocabulary import TERMS, shown

_DIMENSIONS = re.compile(
    r"search space[^.\n]{0,20}?\(?(\d+)[- ]?(?:dims?|dimension)", re.IGNORECASE
)
_AROUND = 40  # characters of a text on either side of a claim


def check_claims(context: Context) -> list[Claim]:
    """Every claim that could be read out of the texts."""
    text = context.spec.description or context.spec.design or context.spec.method
    found = []
    for term in TERMS:
        words = re.search(term.said, text, re.IGNORECASE)
        if words is None:
            continue
        token = shown(context.derived, term.shown)
        found.append(
            Claim(
                kind=term.kind,
                value=term.name,
                text=_sentence(text, words.start(), words.end()),
                status="supported" if token else "not found",
                file=context.derived.at(token.path) if token else None,
                line=token.line if token else None,
                evidence=repr(token.text) if token else "not in the code",
            )
        )
    return [*found, *_replicates(context), *_dimensions(text)]


def _replicates(context: Context) -> list[Claim]:
    wanted, words = wanted_replicates(context.spec)
    if wanted is None:
        return []
    has = declared_replicates(context.derived)
    if has is None:
        status, evidence = "not checked", "the number of seeds is not written down"
    else:
        status = "supported" if has.count >= wanted else "contradicted"
        evidence = f"the full configuration runs {has.count}"
    return [
        Claim(
            kind="replicates",
            value=str(wanted),
            text=words,
            status=status,  # type: ignore[arg-type]
            file=context.derived.at(has.path) if has else None,
            line=has.line if has else None,
            evidence=evidence,
        )
    ]


def _dimensions(text: str) -> list[Claim]:
    found = _DIMENSIONS.search(text)
    if found is None:
        return []
    words = _sentence(text, found.start(), found.end())
    return [
        Claim(
            kind="search space",
            value=f"{found[1]} dimensions",
            text=words,
            status="not checked",
            evidence="needs judgement",
        )
    ]


def _sentence(text: str, start: int, end: int) -> str:
    """The words around a claim, within its line; an ellipsis where there are more."""
    left = text.rfind("\n", 0, start) + 1
    right = text.find("\n", end)
    right = right if right >= 0 else len(text)
    before, after = text[left:start], text[end:right]
    if len(before) > _AROUND:
        before = "… " + before[-_AROUND:].partition(" ")[2]
    if len(after) > _AROUND:
        after = after[:_AROUND].rpartition(" ")[0] + " …"
    return " ".join((before + text[start:end] + after).split())
