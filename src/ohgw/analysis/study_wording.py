"""How the verdict of a study is put into words: the same on its page and on the command line."""

from ohgw.analysis.across.results import StudySummary, Verdict
from ohgw.analysis.time_to_target import LABELS
from ohgw.analysis.wording import percent

HOLDS = {True: "holds", False: "does not hold", None: "cannot be told"}
CLASS = {True: "met", False: "not-met", None: "cannot-tell"}
MET = {True: "met", False: "not met", None: "cannot tell"}


def headline(found: Verdict) -> str:
    """'screen/averaged against vanilla/plain: does not hold'."""
    return f"{found.arm} against {found.reference}: {HOLDS[found.holds]}"


def details(found: Verdict) -> str:
    """The rest of the sentence that `headline` begins."""
    unknown = f", {found.cannot_tell} cannot be told" if found.cannot_tell else ""
    share = (
        f"{percent(found.share, signed=False)}, {percent(found.required, signed=False)} required"
    )
    tuples = f"{found.tuples} tuple{'s' if found.tuples != 1 else ''}"
    return f". {found.met} of {tuples} meet every criterion ({share}){unknown}."


def counts(triple: tuple[int, int, int]) -> str:
    """'3 of 9', with those that cannot be told: '3 of 9 (2 ?)'."""
    met, not_met, unknown = triple
    return f"{met} of {met + not_met + unknown}" + (f" ({unknown} ?)" if unknown else "")


def explanation(summary: StudySummary) -> str:
    """What the verdict is about, for the line above it."""
    tests = summary.family.tests
    corrected = f"Holm's over the {tests} tests of the study: {summary.family.description}"
    return (
        "A tuple is task x scheduler x workers x arm, against a reference. It counts where every "
        f"success criterion is met at the target “{LABELS[summary.primary]}”; the verdict holds "
        "where that is so in 75 % of the tuples. "
        + (
            f"p-values are {corrected}."
            if tests
            else "Nothing is tested: there are too few pairs of seeds."
        )
    )


def overall(summary: StudySummary) -> list[Verdict]:
    """The verdicts over the whole study."""
    return [found for found in summary.verdicts if found.block is None]


def census(summary: StudySummary) -> str:
    """One sentence for studies of so many arms that a sentence on each would hide the whole."""
    found = overall(summary)
    counted = [f"{HOLDS[state]} for {sum(f.holds is state for f in found)}" for state in HOLDS]
    return f"Of {len(found)} pairs of an arm and its reference, the verdict {', '.join(counted)}."
