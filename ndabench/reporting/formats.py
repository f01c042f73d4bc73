"""Comparisons as text for other programs and for papers: CSV, JSON, Markdown, LaTeX.

CSV and JSON hold every number of the report's tables (`rows`). Markdown and LaTeX have one table for each
task and data set, arms by measures, with the marks of the report.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ndabench.reporting.comparison import DIRECTED, Compared, Comparison
from ndabench.reporting.formatting import NOTHING, with_interval
from ndabench.reporting.frames import Group, Setting
from ndabench.reporting.rows import rows

ARROWS = {"lower": " ↓", "higher": " ↑"}


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """A header and a line for each row; mappings are JSON, and what is not known is empty."""
    found, text = rows(comparisons), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found[0] if found else [])
    for row in found:
        writer.writerow(
            json.dumps(value, sort_keys=True, ensure_ascii=False) if isinstance(value, dict) else value
            for value in row.values()
        )
    return text.getvalue()


def as_json(comparisons: Sequence[Comparison]) -> str:
    """A list of the rows."""
    return json.dumps(rows(comparisons), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True)
class _Matrix:
    """Settings by measures, on one task and data set."""

    group: Group
    measures: list[Comparison]
    lines: list[tuple[Setting, list[Compared | None]]]

    @property
    def parameters(self) -> list[str]:
        return sorted({name for setting, _ in self.lines for name in setting.shown_parameters})

    @property
    def sweeps(self) -> bool:
        return any(setting.sweep for setting, _ in self.lines)

    def head(self) -> list[str]:
        """The columns before the measures."""
        return ["arm", *(["sweep"] if self.sweeps else []), "λ", *self.parameters, "n"]

    def first_cells(self, setting: Setting, cells: Sequence[Compared | None]) -> list[str]:
        numbers = sorted({cell.summary.n for cell in cells if cell is not None})
        shown = setting.shown_parameters
        return [
            setting.arm,
            *([setting.sweep] if self.sweeps else []),
            NOTHING if setting.lambda_ is None else f"{setting.lambda_:g}",
            *(shown.get(name, NOTHING) for name in self.parameters),
            NOTHING if not numbers else "–".join(map(str, dict.fromkeys((numbers[0], numbers[-1])))),
        ]

    def caption(self) -> str:
        """What the numbers and the marks mean, as sentences."""
        sentences = [f"{self.group.label}. Mean ± half width of the 95 % t-interval over n seeds."]
        cells = [cell for _, line in self.lines for cell in line if cell is not None]
        if any(cell.best for cell in cells):
            sentences.append("Bold: best mean among the settings with the most seeds.")
        if any(cell.near_best for cell in cells):
            sentences.append(
                "≈: not shown to differ from it (paired t-tests at equal seeds, Holm-adjusted in the column)."
            )
        if any(map(_differs, cells)):
            against = next(one.baseline_label for one in self.measures if one.baselines)
            sentences.append(
                f"*: differs from {against} (paired t-test, Holm-adjusted p < 0.05, over the tests that the "
                "report names)."
            )
        if any(cell.missing for cell in cells):
            sentences.append("Some repeats are missing; the report names them.")
        return " ".join(sentences)


def _differs(cell: Compared) -> bool:
    return cell.difference is not None and cell.difference.significant


def _matrices(comparisons: Sequence[Comparison]) -> Iterator[_Matrix]:
    """One for each group, with the measures that have a better direction."""
    for group in dict.fromkeys(comparison.group for comparison in comparisons):
        measures = [one for one in comparisons if one.group == group and one.better in DIRECTED]
        values = [
            {row.setting: row for row in one.rows if row.repeated and (row.summary.n or row.missing)}
            for one in measures
        ]
        settings = dict.fromkeys(row.setting for one in measures for row in one.rows if row.repeated)
        lines = [(setting, [found.get(setting) for found in values]) for setting in settings]
        if measures:
            yield _Matrix(group, measures, lines)


def _titles(measures: Sequence[Comparison]) -> list[str]:
    """The measures' names, with a number where one was measured under several protocols."""
    names = [one.name for one in measures]
    titles = []
    for place, one in enumerate(measures):
        again = f" (protocol {names[:place].count(one.name) + 1})" if names.count(one.name) > 1 else ""
        unit = f" [{one.unit}]" if one.unit else ""
        titles.append(f"{one.name}{again}{unit}{ARROWS[one.better]}")
    return titles


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    """Tables as GitHub and most notebooks show them."""
    blocks = []
    for matrix in _matrices(comparisons):
        head = [*matrix.head(), *_titles(matrix.measures)]
        ruler = ["---" if name in ("arm", "sweep") else "--:" for name in head]
        lines = [head, ruler]
        for setting, cells in matrix.lines:
            first = matrix.first_cells(setting, cells)
            lines.append([*map(_markdown, first), *map(_markdown_cell, cells)])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        blocks.append(f"{table}\n\n{_markdown(matrix.caption())}\n")
    return "\n".join(blocks)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def _markdown_cell(cell: Compared | None) -> str:
    if cell is None:
        return NOTHING
    text = with_interval(cell.summary)
    text = f"**{text}**" if cell.best else text
    return text + (" ≈" if cell.near_best else "") + (" \\*" if _differs(cell) else "")


LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "λ": r"$\lambda$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "×": r"$\times$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "−": "$-$",
    "—": "---",
    "–": "--",
    "*": "$*$",
}


def as_latex(comparisons: Sequence[Comparison]) -> str:
    r"""Tables for a paper that loads `booktabs`; each is a float with a caption."""
    blocks = ["% \\usepackage{booktabs}\n"]
    for place, matrix in enumerate(_matrices(comparisons), start=1):
        head = [*matrix.head(), *_titles(matrix.measures)]
        columns = "".join("l" if name in ("arm", "sweep") else "r" for name in head)
        lines = [
            " & ".join([*map(_latex, matrix.first_cells(setting, cells)), *map(_latex_cell, cells)]) + r" \\"
            for setting, cells in matrix.lines
        ]
        blocks.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\caption{{{_latex(matrix.caption())}}}",
                    rf"\label{{tab:ndabench-{place}}}",
                    rf"\begin{{tabular}}{{{columns}}}",
                    r"\toprule",
                    " & ".join(map(_latex, head)) + r" \\",
                    r"\midrule",
                    *lines,
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                    "",
                ]
            )
        )
    return "\n".join(blocks)


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def _latex_cell(cell: Compared | None) -> str:
    if cell is None or cell.summary.n == 0:
        return "---"
    text = with_interval(cell.summary).replace("±", r"\pm").replace("−", "-")
    text = re.sub(r"e([+-])0*(\d+)", lambda found: rf"\times10^{{{found[1].strip('+')}{found[2]}}}", text)
    text = rf"\mathbf{{{text}}}" if cell.best else text
    marks = (r"\approx" if cell.near_best else "") + ("*" if _differs(cell) else "")
    return f"${text}^{{{marks}}}$" if marks else f"${text}$"


FORMATS: Mapping[str, Callable[[Sequence[Comparison]], str]] = {
    "csv": as_csv,
    "md": as_markdown,
    "latex": as_latex,
    "json": as_json,
}
