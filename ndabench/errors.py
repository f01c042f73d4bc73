"""The one error type for mistakes that a user can correct.

The command line prints it as a single line and exits with 2; everything else is a bug and keeps its
traceback.
"""

import difflib
from collections.abc import Iterable, Sequence

from ndabench.foreign_text import MOST_SHOWN, shortened, shown

MOST_LISTED = 160
"""Characters of a list of known names; the nearest is named before it."""


class UserError(ValueError):
    """A mistake that the user can correct: one line saying what is wrong, where, and what would be right."""


class OutOfMemoryError(UserError):
    """The memory of a device does not suffice for the settings, or other processes hold too much of it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of `known`, or an empty string when none is close."""
    matches = difflib.get_close_matches(name[:MOST_SHOWN], list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def listed(known: Iterable[str]) -> str:
    """` (known: a, b)`, cut where that is long, or an empty string where nothing is known."""
    names = ", ".join(known)
    return f" (known: {shortened(names, MOST_LISTED)})" if names else ""


def first_of(names: Sequence[object], most: int = 10) -> str:
    """The first `most` names with commas, and how many more there are, for one line of text."""
    more = f" (and {len(names) - most} more)" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that a registry does not hold; it lists the names that it does."""
    names = sorted(known)
    return UserError(f"unknown {kind} {shown(name)}{nearest(name, names)}{listed(names)}")
