"""Facts about a project or a module that several checks ask for: computed once."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

Subject = TypeVar("Subject")
Fact = TypeVar("Fact")


def once(function: Callable[[Subject], Fact]) -> Callable[[Subject], Fact]:
    """`function`, called at most once a project or module, whose answer is forgotten with it."""
    known: WeakKeyDictionary[Subject, Fact] = WeakKeyDictionary()

    @wraps(function)
    def cached(subject: Subject) -> Fact:
        if subject not in known:
            known[subject] = function(subject)
        return known[subject]

    return cached
