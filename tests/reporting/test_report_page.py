"""Figures, pictures and the page itself, as plain structures and as text."""

import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.records import RecordStore
from ndabench.records.schema import Status
from ndabench.report import report
from ndabench.reporting import summary_tables, write_report
from ndabench.reporting.comparison import comparisons
from ndabench.reporting.drawing import draw, vega_lite, y_domain
from ndabench.reporting.figures import MOST_POINTS, lambda_figures, step_figures
from ndabench.reporting.frames import load
from ndabench.reporting.page import report_spec
from ndabench.reporting.provenance import provenance_table, sizes_table
from ndabench.reporting.specs import FigureSpec, Line, Point, SheetSpec, TableSpec
from tests.reporting.synthetic import Trial, finals, measured, picture, record

HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)>\'"&'


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path / "synthetic"))


def steps(store: RecordStore) -> list[FigureSpec]:
    frames = load(store)
    return [figure for group in step_figures(frames, comparisons(frames)) for figure in group.figures]


def test_curves_show_mean_and_interval_over_seeds(store: RecordStore) -> None:
    values = {0: [3.0, 5.0, 4.0], 10: [2.0, 2.5, 1.0]}
    for seed in range(3):
        record(store, Trial("none", 1, seed), {s: {"loss": Measurement(v[seed])} for s, v in values.items()})
    (figure,) = steps(store)
    (line,) = figure.lines
    assert [point.x for point in line.points] == [0, 10]
    for point, expected in zip(line.points, values.values(), strict=True):
        low, high = stats.t.interval(0.95, 2, np.mean(expected), stats.sem(expected))
        assert (point.mean, point.low, point.high) == pytest.approx((np.mean(expected), low, high))


def test_curves_leave_out_diverged_trials_and_nan(store: RecordStore) -> None:
    statuses: tuple[Status, ...] = ("finished", "diverged", "running")
    for seed, status in enumerate(statuses):
        curve = {step: {"loss": Measurement(math.nan if step == 2 else float(seed))} for step in range(4)}
        record(store, Trial("none", 1, seed, status), curve)
    (figure,) = steps(store)
    assert [(point.x, point.mean) for point in figure.lines[0].points] == [(0, 1.0), (1, 1.0), (3, 1.0)]


def test_a_curve_needs_two_steps_of_one_setting(store: RecordStore) -> None:
    record(store, Trial("trained", 1, 0), {10: {"loss": Measurement(1.0), "knn": Measurement(50.0)}})
    record(store, Trial("untrained", 1, 0), {0: {"loss": Measurement(2.0), "knn": Measurement(30.0)}})
    assert not step_figures(load(store), [])
    record(store, Trial("trained", 1, 1), {s: {"loss": Measurement(1.0)} for s in (0, 10)})
    (figure,) = steps(store)
    assert figure.title == "loss over training"


def test_long_curves_are_thinned_and_keep_their_ends(store: RecordStore) -> None:
    record(store, Trial("none", 1, 0), {step: {"loss": Measurement(float(step))} for step in range(150)})
    (figure,) = steps(store)
    points = figure.lines[0].points
    assert len(points) == MOST_POINTS
    assert (points[0].x, points[-1].x) == (0, 149)


def test_of_many_arms_the_baseline_and_the_best_are_drawn(store: RecordStore) -> None:
    """The baseline is the worst of them, and the best comes last."""
    for place in range(14):
        arm = "none" if place == 0 else f"arm{place:02}"
        for lambda_ in (0.25, 0.5) if place else (1.0,):
            for seed in range(2):
                values = {"fd_classifier": measured(20.0 - place + seed)}
                record(store, Trial(arm, lambda_, seed), {0: values, 10: values})
    frames = load(store)
    best = [f"arm{place:02}" for place in range(13, 3, -1)]
    figure = steps(store)[0]
    names = [line.name.split(" at ")[0] for line in figure.lines]
    assert set(names[:10]) == {"none", *best[:9]}
    assert names[10:] == [f"arm{place:02}" for place in range(1, 5)]
    assert [line.hidden for line in figure.lines] == [False] * 10 + [True] * 4
    assert set(re.findall(r"line(\d+)_\w+_marks\" display=\"none\"", draw(figure))) == set(
        map(str, range(10, 14))
    )
    assert figure.notes[0].startswith(
        "10 of 27 settings are drawn: the baseline, then the arms with the best"
    )
    over_lambda = lambda_figures(frames, comparisons(frames))
    assert over_lambda is not None
    lines = over_lambda.figures[0].lines
    assert {line.name for line in lines if not line.hidden} == set(best)
    assert {line.name for line in lines if line.hidden} == {"arm01", "arm02", "arm03"}


def test_lambda_figure_has_a_line_an_arm_and_the_baseline_as_a_rule(filled: RecordStore) -> None:
    frames = load(filled)
    group = lambda_figures(frames, comparisons(frames))
    assert group is not None
    figure = group.figures[0]
    assert [line.name for line in figure.lines] == ["jigsaw", "cutout"]
    assert figure.rule is not None
    assert figure.rule.name == "none"
    assert [point.x for point in figure.lines[0].points] == pytest.approx([0.25, 0.5], abs=0.01)
    assert figure.lines[0].colour == 1


def test_wide_intervals_are_cut_and_log_scales_stay_positive() -> None:
    points = [Point(0, 10.0, -500.0, 520.0, "a"), Point(1, 20.0, 19.0, 21.0, "b")]
    low, high = y_domain(FigureSpec("f", "f", "x", "y", [Line("a", 0, 0, points)]))
    assert -1 < low < 0
    assert 30 < high < 31
    low, _ = y_domain(FigureSpec("f", "f", "x", "y", [Line("a", 0, 0, points)], log_y=True))
    assert 0 < low < 10


def test_one_flat_line_can_be_drawn() -> None:
    figure = FigureSpec("f", HOSTILE, "x", "y", [Line(HOSTILE, 9, 9, [Point(0, 0.0, None, None, HOSTILE)])])
    svg = draw(figure)
    assert svg.startswith("<svg role=")
    assert "<script" not in svg
    assert "<img" not in svg
    assert len(vega_lite(figure)["layer"]) == 2


def test_pictures_show_each_arm_once_at_its_best_mean(filled: RecordStore) -> None:
    sheets = [b for s in report_spec(filled).sections for b in s.blocks if isinstance(b, SheetSpec)]
    assert [sheet.id for sheet in sheets] == ["sheet-negatives", "sheet-samples"]
    captions = [sheet.caption for sheet in sheets[1].sheets]
    assert captions[:2] == ["none, seed 0, step 1,001", "jigsaw at λ = 0.25, seed 0, step 1,001"]
    assert len(sheets[1].sheets) == 4
    assert (len(sheets[0].more), len(sheets[1].more)) == (14, 6)
    assert (sheets[1].sheets[0].width, sheets[1].sheets[0].data) == (96, picture(0))


def test_missing_and_broken_pictures_are_passed_over(store: RecordStore) -> None:
    trial = Trial("none", 1, 0)
    record(store, trial, {})
    store.write_progress(
        "synthetic", trial.trial_id, 1, {}, {"samples.png": b"no picture", "negatives.png": b""}
    )
    store.delete(f"files/{trial.trial_id}/000000001-negatives.png")
    assert "pictures" not in {section.id for section in report_spec(store).sections}


def test_unfinished_trials_are_listed_with_their_reasons(filled: RecordStore) -> None:
    tables = [b for s in report_spec(filled).sections for b in s.blocks if isinstance(b, TableSpec)]
    (unfinished,) = [table for table in tables if table.id == "unfinished"]
    reasons = {row[0].text: row[4].text for row in unfinished.rows}
    assert reasons["diverged"] == "the discriminator's loss is NaN at step 612"
    assert reasons["failed"] == "RuntimeError: out of memory (gan.py:120)"
    assert "running" in reasons


class Elements(HTMLParser):
    """Counts tags; collects attributes that could run something and text of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on") or name == "style"]
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]


def test_what_trials_noted_is_shown(store: RecordStore) -> None:
    left_out = "5 of 17 videos cannot be read: a.avi, b.avi"
    for seed, note in enumerate([left_out, left_out, None]):
        record(store, Trial(seed=seed, notes=note), finals(3.0))
    table = provenance_table(load(store))
    assert [row[1].text for row in table.rows if row[0].text == "notes"] == [left_out]
    assert left_out in Path(write_report(store)).read_text("utf-8")


@pytest.mark.parametrize("root", ["", "mock:///bucket/sizes"])
def test_the_room_that_records_take_is_shown_by_part(tmp_path: Path, root: str) -> None:
    store = RecordStore(root or str(tmp_path))
    trial = Trial("none", 1, 0)
    record(store, trial, finals(3.0))
    store.write_progress("synthetic", trial.trial_id, 10, {}, {"samples.png": b"x" * 2**20})
    for step in (5, 10):
        store.write_bytes(f"checkpoints/{trial.trial_id}/{step}.pt", b"x" * 3 * 2**19)
    found = {row[0].text: [cell.text for cell in row[1:]] for row in sizes_table(store).rows}
    assert list(found) == ["checkpoints", "pictures and other files", "tables", "all"]
    assert found["checkpoints"] == ["3.0 MiB", "2"]
    assert found["pictures and other files"] == ["1.0 MiB", "1"]
    assert found["all"] == ["4.0 MiB", str(3 + int(found["tables"][1]))]
    write_report(store)
    assert "What the records take" in (store.read_bytes("report.html") or b"").decode()


def test_everything_a_user_wrote_is_escaped(store: RecordStore) -> None:
    store.write_bytes("sweep.yaml", f"# {HOSTILE}".encode())
    for seed in range(2):
        curve = {
            step: {HOSTILE: measured(float(step + 1), "lower", HOSTILE, {HOSTILE: HOSTILE})}
            for step in (1, 2)
        }
        for weight in (0.25, 0.5):
            parameters = '{"<b>x</b>": "<i>y</i>"}'
            trial = Trial(HOSTILE, weight, seed, dataset=HOSTILE, parameters=parameters)
            record(store, trial, curve)
            store.write_progress("synthetic", trial.trial_id, 2, curve[2], {"samples.png": picture(seed)})
    record(store, Trial(HOSTILE, 0.25, 9, "failed", HOSTILE), {})
    html = Path(write_report(store)).read_text()
    parsed = Elements()
    parsed.feed(html)
    assert parsed.tags.count("script") == 1
    assert not {"b", "i", "iframe", "object", "link"} & set(parsed.tags)
    assert parsed.handlers == []
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in parsed.addresses)
    assert html.count("<script") == 1


def test_the_page_is_one_file_with_a_strict_policy(filled: RecordStore) -> None:
    report(filled.root)
    html = (Path(filled.root) / "report.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert html.startswith('<!doctype html>\n<html lang="en">')
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert html.count("<h1") == 1


def test_identities_are_unique(filled: RecordStore) -> None:
    identities = re.findall(r'\bid="([^"]+)"', Path(write_report(filled)).read_text())
    assert len(identities) == len(set(identities))


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records here"):
        report(str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_a_report_can_be_written_to_any_filesystem() -> None:
    store = RecordStore("mock:///bucket/synthetic")
    record(store, Trial("none", 1, 0), finals(3.0))
    assert write_report(store) == "mock:///bucket/synthetic/report.html"
    assert (store.read_bytes("report.html") or b"").startswith(b"<!doctype html>")


@pytest.mark.slow
def test_a_report_needs_neither_torch_nor_ray(filled: RecordStore) -> None:
    code = f"""
import sys
from ndabench.records import RecordStore
from ndabench.reporting import summary_tables, write_report
store = RecordStore({filled.root!r})
assert summary_tables(store)
write_report(store)
assert not {{"torch", "torchvision", "ray"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_records_say_what_lambda_means(store: RecordStore) -> None:
    """So a report needs no task, not even one of a plugin; older records do not say it."""
    for task, meaning in (
        ("gan", "weight of the fakes"),
        ("plugin's", "a likelihood's weight"),
        ("old", None),
    ):
        record(store, Trial("none", 1, 0, task=task, lambda_meaning=meaning), finals(3.0))
    described = [
        column.description
        for table in summary_tables(store)
        for column in table.columns
        if column.name == "λ"
    ]
    meanings = {"weight of the fakes", "a likelihood's weight", "what it weighs depends on the task"}
    assert set(described) == meanings
