"""The parts of a report as plain structures: first computed, then drawn; tests check these.

A section is a heading over blocks. A new kind of result becomes a new section made of these blocks; only a
new kind of block changes the template.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class Cell:
    """One cell of a table: the text shown and what it is sorted by."""

    text: str
    sort: float | str | None = None
    """None sorts after everything else; a cell without a number may sort by its text."""
    note: str = ""
    """Shown on hovering, and read aloud by screen readers."""
    mark: Literal["", "best", "good", "bad"] = ""
    """Emphasis only: the text says the same in words or signs."""
    link: str = ""
    """Where it leads: `#` and the id of a section or block of the same page, or a path."""


@dataclass(frozen=True)
class Column:
    name: str
    description: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class TableSpec:
    """A table. `notes` are sentences below it; if `collapsed`, only its title shows until it is opened."""

    id: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    collapsed: bool = False

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.title


@dataclass(frozen=True)
class Point:
    """A mean at `x` with its interval; `low` and `high` are None if n is too small for one."""

    x: float
    mean: float
    low: float | None
    high: float | None
    label: str


@dataclass(frozen=True)
class Line:
    """One line of a figure. Equal `colour` means the same arm; `dash` distinguishes its settings."""

    name: str
    colour: int
    dash: int
    points: Sequence[Point]
    hidden: bool = False
    """Drawn only when its button in the legend is pressed."""


@dataclass(frozen=True)
class ParallelAxis:
    """An axis of parallel coordinates, from 0 to 1: its ticks with their texts, and where each value is."""

    name: str
    ticks: Sequence[tuple[float, str]]
    places: Mapping[str, float]


@dataclass(frozen=True)
class FigureSpec:
    """Lines with bands (`intervals="band"`) or with bars; `rule` is a level drawn across the whole figure."""

    id: str
    title: str
    x_title: str
    y_title: str
    lines: Sequence[Line]
    intervals: Literal["band", "bar"] = "band"
    rule: Line | None = None
    log_y: bool = False
    notes: Sequence[str] = ()
    joined: bool = True
    """Whether paths join the points of a line; otherwise each of them is drawn as it is."""
    axes: Sequence[ParallelAxis] = ()
    """With parallel axes, at x = 0, 1, …, a line is several paths with a point on each of them."""
    later: "FigureSpec | None" = None
    """The later half of the same, drawn larger, behind a button."""
    ringed: Line | None = None
    """Points of the lines that have a ring around them; its name is what that means."""


Verdict = Literal["", "good", "bad"]


@dataclass(frozen=True)
class ForestRow:
    """A difference from the baseline with its interval."""

    name: str
    mean: float
    low: float
    high: float
    verdict: Verdict
    """Whether the difference is significant, and in which direction."""
    numbers: str
    """The difference and its interval."""
    label: str
    """All of it in words."""


@dataclass(frozen=True)
class ForestSpec:
    """Differences below each other, around a line at 0."""

    id: str
    title: str
    x_title: str
    rows: Sequence[ForestRow]
    notes: Sequence[str] = ()
    pictures: "Sequence[Sheet]" = ()
    """Shown next to the figure if the page is wide enough."""


@dataclass(frozen=True)
class FigureGroup:
    """Figures shown side by side if the page is wide enough.

    With `choice` one is shown, and the others can be chosen by their titles; without scripts all are.
    """

    figures: Sequence[FigureSpec]
    title: str = ""
    collapsed: bool = False
    choice: bool = False


@dataclass(frozen=True)
class Sheet:
    """One picture with its caption; width and height in pixels."""

    caption: str
    alt: str
    media_type: str
    data: bytes = field(repr=False)
    width: int
    height: int
    effect: str = ""
    """What the arm in the picture does to the primary measure."""


Size = Literal["small", "half", "whole"]


@dataclass(frozen=True)
class Wall:
    """Pictures with a row for each setting and a column for each seed; None where there is none."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Sheet | None]]]


@dataclass(frozen=True)
class SheetSpec:
    """Pictures of one kind side by side; those in `more` are behind a button."""

    id: str
    title: str
    sheets: Sequence[Sheet]
    more: Sequence[Sheet] = ()
    notes: Sequence[str] = ()
    size: Size = "small"
    """How much of the page's width one picture takes, depending on its detail."""
    wall: Wall | None = None
    """Shown in place of `sheets`."""


@dataclass(frozen=True)
class TextSpec:
    """Paragraphs, or a list of points."""

    paragraphs: Sequence[str]
    points: bool = False


@dataclass(frozen=True)
class CodeSpec:
    """Text shown as it is, collapsed behind its title."""

    id: str
    title: str
    text: str


Block = TableSpec | FigureGroup | ForestSpec | SheetSpec | TextSpec | CodeSpec


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Fact:
    name: str
    value: str
    time: datetime | None = None
    """When this was so, if an open page should say how long ago that is."""


@dataclass(frozen=True)
class ReportSpec:
    """A whole report; `headline` has the findings as sentences.

    With `reload_seconds` an open page reloads itself after that time.
    """

    title: str
    facts: Sequence[Fact]
    headline: Sequence[str]
    sections: Sequence[Section]
    reload_seconds: float | None = None
