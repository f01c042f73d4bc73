"""The one error type for mistakes that a user can correct.

The command line prints it as a single line and exits with 2; everything else is a bug and keeps its
traceback.
"""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake that the user can correct: one line saying what is wrong, where, and what would be right."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of `known`, or an empty string when none is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that a registry does not hold; it lists the names that it does."""
    names = sorted(known)
    return UserError(f"unknown {kind} {name!r}{nearest(name, names)} (known: {', '.join(names)})")
