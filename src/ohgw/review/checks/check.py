"""What a check is, and what it may look at."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from ohgw.review.findings import Finding, Severity
from ohgw.review.preservation import Comparison, compare
from ohgw.review.project import Project
from ohgw.review.spec import Spec


@dataclass
class Context:
    """The projects and the specification of one review."""

    derived: Project
    base: Project | None = None
    before: Project | None = None  # the derived tree before a repair
    spec: Spec = field(default_factory=Spec)

    @cached_property
    def projects(self) -> list[Project]:
        return [project for project in (self.base, self.derived) if project is not None]

    @cached_property
    def comparison(self) -> Comparison | None:
        """What became of the base's functions and classes; None without a base."""
        return compare(self.base, self.derived) if self.base is not None else None


@dataclass(frozen=True)
class Check:
    """One question about the code. The id names its file, its page in docs/review and its comment.

    `rung` is the rung of the ladder that an error of this check fails; `run` yields findings made
    by `finding`.
    """

    id: str
    criterion: str
    rung: str
    run: Callable[["Check", Context], Iterable[Finding]]

    def finding(
        self,
        severity: Severity,
        file: str | list[str] | None,
        line: int | list[int] | None,
        message: str,
        *,
        evidence: str = "",
        fix: str = "",
    ) -> Finding:
        """`file` with its label, as `Project.at` gives it."""
        return Finding(
            id=self.id,
            severity=severity,
            criterion=self.criterion,
            file=file,
            line=line,
            message=message,
            evidence=evidence,
            fix=fix,
        )
