"""Facts about a project that several checks ask for: computed once, forgotten with the project."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from ohgw.review.project import Project

Fact = TypeVar("Fact")


def once(function: Callable[[Project], Fact]) -> Callable[[Project], Fact]:
    """`function` of a project, called at most once a project."""
    known: WeakKeyDictionary[Project, Fact] = WeakKeyDictionary()

    @wraps(function)
    def cached(project: Project) -> Fact:
        if project not in known:
            known[project] = function(project)
        return known[project]

    return cached
