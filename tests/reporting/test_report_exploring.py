"""What a reader explores with: measures against each other, later halves, walls of pictures, trial pages."""

import functools
from pathlib import Path

import pytest

from ndabench.measurement import Measurement
from ndabench.records import RecordStore
from ndabench.reporting import sheets
from ndabench.reporting.comparison import Comparison, comparisons
from ndabench.reporting.drawing import draw, svg_text, vega_lite
from ndabench.reporting.figures import lambda_figures, measure_figures, step_figures
from ndabench.reporting.frames import Frames, load
from ndabench.reporting.page import render
from ndabench.reporting.search_figure import search_figure
from ndabench.reporting.sheets import sheet_specs
from ndabench.reporting.specs import SheetSpec, TableSpec
from ndabench.reporting.trial_page import trial_spec
from tests.reporting.synthetic import Trial, finals, measured, picture, record


@functools.cache
def loaded(folder: str) -> tuple[Frames, list[Comparison]]:
    frames = load(RecordStore(folder))
    return frames, comparisons(frames)


def spec_of(store: RecordStore, kind: str) -> SheetSpec:
    frames, compared = loaded(store.root)
    return next(spec for spec in sheet_specs(store, frames, compared) if spec.id == f"sheet-{kind}")


def test_two_measures_have_a_point_for_each_trial_that_has_both(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    for arm in ("none", "jigsaw"):
        for seed in range(3):
            values = {"fd_classifier": measured(10.0 + seed), "kid_classifier": measured(5.0 - seed)}
            if seed == 2:
                del values["kid_classifier"]
            record(store, Trial(arm, 1.0 if arm == "none" else 0.5, seed), {1000: values})
    frames = load(store)
    (group,) = measure_figures(frames, comparisons(frames))
    (figure,) = group.figures
    assert group.choice
    assert figure.title == "fd_classifier against kid_classifier"
    assert [line.name for line in figure.lines] == ["none", "jigsaw at λ = 0.5"]
    for line in figure.lines:
        assert [(point.x, point.mean) for point in line.points] == [(5.0, 10.0), (4.0, 11.0)]
    layers = vega_lite(figure)["layer"]
    assert [layer["mark"]["type"] for layer in layers] == ["point", "point"], "no path joins trials"


def test_the_later_half_of_a_curve_is_drawn_if_it_has_three_steps(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    curve = {
        step: {"loss": Measurement(float(1000 - step)), "rare": Measurement(1.0)} for step in (0, 60, 80, 100)
    }
    del curve[60]["rare"]
    record(store, Trial(), curve)
    (group,) = step_figures(load(store), [])
    later = {figure.title.split(" ")[0]: figure.later for figure in group.figures}
    assert later["rare"] is None
    assert later["loss"] is not None
    assert [point.x for point in later["loss"].lines[0].points] == [60, 80, 100]


def test_the_wall_has_a_row_for_each_arm_and_a_column_for_each_seed(filled: RecordStore) -> None:
    spec = spec_of(filled, "samples")
    assert spec.wall is not None
    assert spec.wall.columns == ["seed 0", "seed 1", "seed 2"]
    rows = dict(spec.wall.rows)
    assert list(rows)[:2] == ["none", "jigsaw at λ = 0.25"]
    assert [sheet.data if sheet else None for sheet in rows["none"]] == [picture(seed) for seed in range(3)]
    assert len(spec.more) == 6


def test_a_wall_has_as_many_seeds_as_fit(filled: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one_seed = sum(len(sheet.data) for sheet in spec_of(filled, "samples").sheets)
    monkeypatch.setattr(sheets, "MOST_BYTES", int(2.5 * one_seed))
    spec = spec_of(filled, "samples")
    assert spec.wall is not None
    assert spec.wall.columns == ["seed 0", "seed 1"]
    monkeypatch.setattr(sheets, "MOST_BYTES", one_seed // 2)
    spec = spec_of(filled, "samples")
    assert spec.wall is None
    assert len(spec.sheets) == 4, "one picture of each arm is always shown"
    assert len(spec.sheets) + len(spec.more) < 18
    assert spec.notes[-1].startswith(f"{18 - 4 - len(spec.more)} more pictures under ")


def test_examples_of_negatives_have_the_effect_of_their_arm_next_to_them(filled: RecordStore) -> None:
    spec = spec_of(filled, "negatives")
    assert spec.wall is None
    effects = [sheet.effect for sheet in spec.sheets]
    assert effects[0] == ""
    assert effects[1].startswith("fd_classifier −")
    assert effects[1].endswith(("] better", "]"))
    assert {sheet.effect for sheet in spec_of(filled, "samples").sheets} == {""}


def test_a_trial_has_a_page_with_its_values_configuration_and_versions(filled: RecordStore) -> None:
    trial = Trial("jigsaw", 0.25, 1)
    spec = trial_spec(filled, trial.trial_id, "/synthetic/")
    assert spec is not None
    assert spec.title == "jigsaw at λ = 0.25, seed 1"
    blocks = [block for section in spec.sections for block in section.blocks]
    tables = {block.id: block for block in blocks if isinstance(block, TableSpec)}
    values = {row[0].text: row[1].sort for row in tables["values"].rows}
    recorded = {
        row["metric"]: row["value"]
        for row in filled.read_metrics(name="fd_classifier").to_pylist()
        if row["trial_id"] == trial.trial_id and row["split"] == "test"
    }
    assert [row[0].text for row in tables["values"].rows][-2:] == ["loss_discriminator", "loss_generator"]
    assert values["fd_classifier"] == recorded["fd_classifier"]
    assert tables["trial"].rows[0][1].link == "/synthetic/"
    assert "torch" in {row[0].text for row in tables["provenance-table"].rows}
    assert {"configuration", "sheet-samples"} <= {getattr(block, "id", "") for block in blocks}
    diverged = trial_spec(filled, Trial("cutout", 0.5, 1).trial_id)
    assert diverged is not None
    assert diverged.headline == ["the discriminator's loss is NaN at step 612"]
    assert trial_spec(filled, "none-of-these") is None


def test_the_page_of_a_trial_shows_the_tail_of_its_log_escaped(tmp_path: Path) -> None:
    store, trial = RecordStore(str(tmp_path)), Trial("jigsaw", 0.25, 1)
    record(store, trial, finals(9.0, 9.0))
    for content, shown in ((b"a <b>\xff\n", "a &lt;b&gt;\ufffd"), (b"old\n" + b"new\n" * 200, "new\nnew")):
        store.write_bytes(f"logs/{trial.trial_id}.txt", content)
        spec = trial_spec(store, trial.trial_id)
        assert spec is not None
        page = render(spec)
        assert shown in page
        assert "old" not in page.partition('id="log-tail"')[2].partition("</pre>")[0]


def test_drawings_have_no_more_digits_than_can_be_seen() -> None:
    values = [{"x": x / 7, "label": f"x = {x / 7}"} for x in range(3)]
    encoding = {"x": {"field": "x", "type": "quantitative"}, "description": {"field": "label"}}
    svg = svg_text({"data": {"values": values}, "mark": "point", "encoding": encoding})
    assert f"x = {1 / 7}" in svg, "texts stay as they are"
    assert 'transform="translate(100' in svg
    assert not any(
        len(number) > 6
        for part in svg.split('transform="translate(')[1:]
        for number in part.split(")")[0].split(",")
    )


def test_a_search_is_drawn_in_parallel_coordinates_with_the_best_on_top(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    store.write_bytes(
        "sweep.yaml", b"name: s\nseeds: [0]\nsearch: {sampler: random}\nobjective: {metric: fd_classifier}\n"
    )
    record(store, Trial("none", 1, 1000, parameters='{"lr": 0.1, "kind": "a"}'), finals(9.0, 9.0))
    for place, (lr, kind) in enumerate(((0.001, "a"), (0.01, "b"), (0.1, "c"), (0.01, "a"), (0.03, "c"))):
        trial = Trial("jigsaw", 0.1 + place / 10, 1000, parameters=f'{{"lr": {lr}, "kind": "{kind}"}}')
        record(store, trial, finals(5.0 + place, 5.0 + place))
    frames = load(store)
    group = search_figure(frames, comparisons(frames))
    assert group is not None
    (figure,) = group.figures
    assert [axis.name for axis in figure.axes] == ["λ", "kind", "lr", "val_fd_classifier"]
    (line,) = figure.lines
    best = [point.mean for point in line.points[:4]]
    assert best == pytest.approx([0.0, 0.0, 0.0, 1.0])
    second = [point.mean for point in line.points[4:8]]
    assert second == pytest.approx([0.25, 0.5, 0.5, 0.75]), "categories are even, a wide range is logarithmic"
    assert figure.notes[-1].startswith("1 setting without a value on every axis"), "the baseline has no λ"
    svg = draw(figure)
    assert svg.count("<title>") == 5
    assert svg.count("line0_path_marks") == 5
    assert search_figure(frames, []) is None
    over_lambda = lambda_figures(frames, comparisons(frames))
    assert over_lambda is not None
    (points,) = over_lambda.figures
    assert not points.joined
    assert [(line.name, len(line.points)) for line in points.lines] == [("jigsaw", 5)]
