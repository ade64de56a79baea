"""Text for a person: the verdict, the ladder, then every finding with its source and its fix."""

from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ohgw.review.findings import CANNOT_TELL, Claim, Finding, Review
from ohgw.review.formats.excerpt import excerpt, harmless
from ohgw.review.tree import Tree

_SIGNS = {"passed": ("✓", "green"), "failed": ("✗", "red"), "not checked": ("·", "dim")}
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
_CLAIMS = {
    "supported": ("✓", "green"),
    "contradicted": ("✗", "red"),
    "not found": ("?", "yellow"),
    "not checked": ("·", "dim"),
}


def as_text(review: Review, trees: dict[str, Tree]) -> str:
    """With colours where standard output is a terminal."""
    review = harmless(review)
    outside = Console()
    console = Console(
        file=StringIO(),
        force_terminal=outside.is_terminal,
        width=min(outside.width, 110),
        highlight=False,
        color_system=outside.color_system,  # type: ignore[arg-type]
    )
    _verdict(console, review)
    _ladder(console, review)
    for finding in review.findings:
        _finding(console, finding, trees)
    _claims(console, review.claims)
    for silenced in review.silenced:
        text = Text("silenced ", style="dim")
        text.append(f"[{silenced.finding.id}] {silenced.finding.message} ({silenced.reason})")
        console.print(text)
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue().rstrip()


def _verdict(console: Console, review: Review) -> None:
    if review.is_experiment_code_ready:
        verdict, style = "READY", "bold green"
    elif review.exit_code == CANNOT_TELL:
        verdict, style = "COULD NOT TELL", "bold yellow"
    else:
        verdict, style = "NOT READY", "bold red"
    counts = [
        f"{count} {name}{'s' if count > 1 else ''}"
        for name in _COLOURS
        if (count := sum(finding.severity == name for finding in review.findings))
    ]
    text = Text(verdict, style=style)
    text.append(f"   {', '.join(counts) or 'nothing found'}", style="not bold default")
    console.print(text)
    for missing in review.missing:
        console.print(Text(f"  could not tell: {missing}", style="yellow"))
    console.print()


def _ladder(console: Console, review: Review) -> None:
    width = max(map(len, review.ladder))
    for name, rung in review.ladder.items():
        sign, style = _SIGNS[rung.status]
        line = Text(f"  {sign} {name:<{width}}  ", style=style)
        line.append(rung.reason, style="default" if rung.status == "failed" else "dim")
        line.truncate(console.width, overflow="ellipsis")
        console.print(line)


def _finding(console: Console, finding: Finding, trees: dict[str, Tree]) -> None:
    colour = _COLOURS[finding.severity]
    head = Text(f"\n{finding.severity} ", style=f"bold {colour}")
    head.append(finding.message, style="default")
    head.append(f" [{finding.id}]", style="dim")
    console.print(head)
    for place, line in finding.places:
        console.print(Text(f"  {place}{f':{line}' if line else ''}", style="blue"))
        for number, source in excerpt(trees, place, line):
            here = number == line
            text = Text(f"  {'>' if here else ' '} {number:>4} ", style=colour if here else "dim")
            text.append(source, style="default" if here else "dim")
            text.truncate(console.width, overflow="ellipsis")
            console.print(text)
    if finding.evidence and not finding.places:
        console.print(Padding(Text(finding.evidence, style="dim"), (0, 0, 0, 2)))
    if finding.fix:
        fix = Text("Fix: ", style="green")
        fix.append(finding.fix, style="default")
        console.print(Padding(fix, (0, 0, 0, 2)))


def _claims(console: Console, claims: Sequence[Claim]) -> None:
    """A line each: what is claimed, what shows it, and the words where nothing does."""
    if not claims:
        return
    console.print(Text("\nWhat the texts claim", style="bold"))
    kinds, values = (max(map(len, column)) for column in zip(*map(_named, claims), strict=True))
    for claim in claims:
        sign, style = _CLAIMS[claim.status]
        kind, value = _named(claim)
        line = Text(f"  {sign} {kind:<{kinds}}  ", style=style)
        line.append(f"{value:<{values}}  ", style="default")
        place = f" {claim.file}:{claim.line}" if claim.file else ""
        said = "" if claim.status == "supported" else f" “{claim.text}”"
        line.append(f"{claim.evidence}{place}{said}", style="dim")
        line.truncate(console.width, overflow="ellipsis")
        console.print(line)


def _named(claim: Claim) -> tuple[str, str]:
    """Short enough to stand in columns."""
    kind, value = " ".join(claim.kind.split()), " ".join(claim.value.split())
    return kind[:20], value if len(value) <= 24 else value[:23] + "…"
