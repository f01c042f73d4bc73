"""Several sweeps: what is compared with what, which names arms keep, and what is said to differ."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ndabench.errors import UserError
from ndabench.records import RecordStore
from ndabench.reporting.comparison import Compared, Comparison, comparisons
from ndabench.reporting.frames import Frames
from ndabench.reporting.page import render
from ndabench.reporting.several import Sweeps, read_sweeps
from ndabench.reporting.several_page import several_spec, several_tables
from tests.reporting.synthetic import Trial, finals, measured, record

NONE, JIGSAW, BETTER = [25.0, 27.0, 26.0], [20.5, 23.0, 21.0], [18.5, 21.5, 18.0]


@pytest.fixture
def sweep(tmp_path: Path) -> Any:
    """Records a sweep: values by arm and λ, in the folder of its name."""

    def make(name: str, arms: dict[tuple[str, float], list[float]], **trial: Any) -> RecordStore:
        store = RecordStore(str(tmp_path / name))
        seeds = list(range(max(map(len, arms.values()))))
        store.write_bytes("sweep.yaml", json.dumps({"name": name, "seeds": seeds}).encode())
        for (arm, weight), values in arms.items():
            for seed, value in enumerate(values):
                record(store, Trial(arm, weight, seed, sweep=name, **trial), finals(value, value + 1))
        return store

    return make


def rows(frames: Frames) -> dict[str, Compared]:
    (on_test,) = [one for one in comparisons(frames) if not one.on_validation]
    return {row.setting.label: row for row in on_test.rows}


def test_each_arm_is_compared_with_itself_in_the_first_sweep(sweep: Any) -> None:
    first = sweep("first", {("none", 1.0): NONE, ("jigsaw", 0.25): JIGSAW})
    second = sweep("second", {("none", 1.0): NONE, ("jigsaw", 0.25): BETTER, ("cutout", 0.25): NONE})
    found = rows(read_sweeps([first, second]).arm_by_arm)
    compared = found["jigsaw at λ = 0.25 in second"]
    assert compared.against == found["jigsaw at λ = 0.25 in first"].setting
    assert compared.difference is not None
    assert compared.difference.summary.mean == pytest.approx(np.mean(BETTER) - np.mean(JIGSAW))
    assert compared.difference.p == pytest.approx(stats.ttest_rel(BETTER, JIGSAW).pvalue)
    same = found["none in second"].difference
    assert same is not None
    assert same.summary.mean == 0
    assert found["cutout at λ = 0.25 in second"].difference is None


def test_pairs_are_equal_seeds(sweep: Any) -> None:
    first = sweep("first", {("none", 1.0): NONE})
    second = sweep("second", {("none", 1.0): [24.0, 27.0, 25.0, 90.0]})
    difference = rows(read_sweeps([first, second]).arm_by_arm)["none in second"].difference
    assert difference is not None
    assert difference.summary.n == 3


def test_sweeps_of_equal_settings_are_one_table(sweep: Any) -> None:
    """An arm of the second is compared with the baseline of the first, and no sweep is named."""
    first = sweep("first", {("none", 1.0): NONE, ("jigsaw", 0.25): JIGSAW})
    second = sweep("second", {("none", 1.0): NONE, ("cutout", 0.25): BETTER})
    found = rows(read_sweeps([first, second]).all_arms)
    assert list(found) == ["none", "jigsaw at λ = 0.25", "cutout at λ = 0.25"]
    assert found["none"].summary.n == 3
    assert found["cutout at λ = 0.25"].difference is not None
    assert found["cutout at λ = 0.25"].against == found["none"].setting


def test_settings_that_differ_keep_arms_apart(sweep: Any) -> None:
    """Each is compared with the baseline of its own sweep, and the settings are listed."""
    first = sweep("first", {("none", 1.0): NONE, ("jigsaw", 0.25): JIGSAW})
    second = sweep("second", {("none", 1.0): JIGSAW, ("jigsaw", 0.25): BETTER}, num_steps=2000)
    sweeps = read_sweeps([first, second])
    found = rows(sweeps.all_arms)
    compared = found["jigsaw at λ = 0.25 in second"]
    assert compared.against == found["none in second"].setting
    assert compared.difference is not None
    assert compared.difference.summary.mean == pytest.approx(np.mean(BETTER) - np.mean(JIGSAW))
    assert [(one.what, one.values) for one in sweeps.differences] == [("task.num_steps", ("1000", "2000"))]


def test_an_arm_of_the_same_name_and_another_definition_has_another_name(sweep: Any) -> None:
    first = sweep("first", {("none", 1.0): NONE, ("mine", 0.25): JIGSAW})
    store = RecordStore(first.root.replace("first", "second"))
    store.write_bytes("sweep.yaml", b"seeds: [0, 1, 2]")
    for seed, value in enumerate(BETTER):
        record(store, Trial("mine", 0.25, seed, negative="cutout", sweep="second"), finals(value))
    found = rows(read_sweeps([first, store]).all_arms)
    assert list(found) == ["none", "mine at λ = 0.25", "mine (second) at λ = 0.25"]


def test_other_data_and_other_protocols_are_not_compared(sweep: Any) -> None:
    first = sweep("first", {("none", 1.0): NONE})
    other_data = sweep("second", {("none", 1.0): NONE}, dataset_hash="0ther")
    sweeps = read_sweeps([first, other_data])
    assert all(row.difference is None for one in comparisons(sweeps.arm_by_arm) for row in one.rows)
    assert {one.what for one in sweeps.differences} == {"data"}
    other = RecordStore(first.root.replace("first", "third"))
    for seed, value in enumerate(NONE):
        protocol = {"num_samples": 500}
        record(
            other,
            Trial(seed=seed, sweep="third"),
            {100: {"fd_classifier": measured(value, protocol=protocol)}},
        )
    on_test = [one for one in comparisons(read_sweeps([first, other]).arm_by_arm) if not one.on_validation]
    assert len(on_test) == 2
    assert all(len(one.rows) == 1 for one in on_test)


def test_the_same_data_under_another_name_are_the_same(sweep: Any) -> None:
    first = sweep("first", {("none", 1.0): NONE})
    second = sweep("second", {("none", 1.0): BETTER}, dataset="moved")
    sweeps = read_sweeps([first, second])
    assert rows(sweeps.arm_by_arm)["none in second"].difference is not None
    assert [group.dataset for group in sweeps.all_arms.groups] == ["digits"]


def test_a_trial_that_both_sweeps_have_counts_once(sweep: Any) -> None:
    first, second = (sweep(name, {("none", 1.0): NONE}) for name in ("first", "second"))
    joined = read_sweeps([first, second]).all_arms
    assert rows(joined)["none"].summary.n == 3
    assert joined.doubled == 3


def test_equal_names_are_told_apart_by_their_folders(tmp_path: Path, sweep: Any) -> None:
    stores = [RecordStore(str(tmp_path / folder / "run")) for folder in ("a", "b")]
    for store in stores:
        record(store, Trial(), finals(3.0))
    assert read_sweeps(stores).names == ("a/run", "b/run")


def test_after_sampled_searches_each_arm_meets_its_baseline_and_itself(tmp_path: Path) -> None:
    """Each sweep tuned its own learning rate: settings differ, the arms are the same."""
    stores = []
    for name, rate in (("first", 0.1), ("second", 0.2)):
        store = RecordStore(str(tmp_path / name))
        store.write_bytes("sweep.yaml", b"seeds: [0, 1, 2]\nsearch: {sampler: tpe, seed: 7}")
        for arm, weight, values in (("none", 1.0, NONE), ("jigsaw", rate, JIGSAW)):
            for seed, value in enumerate(values):
                trial = Trial(arm, weight, seed, sweep=name, parameters=json.dumps({"rate": rate * weight}))
                record(store, trial, finals(value + rate * seed))
        stores.append(store)
    sweeps = read_sweeps(stores)
    by_sweep, by_arm = rows(sweeps.arm_by_arm), rows(sweeps.all_arms)
    jigsaw = "jigsaw at λ = 0.2, rate = 0.04 in second"
    assert by_sweep[jigsaw].against == by_sweep["jigsaw at λ = 0.1, rate = 0.01 in first"].setting
    assert by_arm[jigsaw].against == by_arm["none at rate = 0.2 in second"].setting


@pytest.mark.parametrize(
    ("folders", "message"), [(["first", "first"], "given twice"), (["first", "x"], "no rec")]
)
def test_folders_that_cannot_be_compared(
    sweep: Any, tmp_path: Path, folders: list[str], message: str
) -> None:
    sweep("first", {("none", 1.0): NONE})
    with pytest.raises(UserError, match=message):
        read_sweeps([RecordStore(str(tmp_path / folder)) for folder in folders])


def test_the_report_and_the_tables_say_what_was_found(sweep: Any) -> None:
    first = sweep("first", {("none", 1.0): NONE, ("jigsaw", 0.25): JIGSAW})
    second = sweep("second", {("none", 1.0): NONE, ("jigsaw", 0.25): BETTER}, num_steps=2000)
    sweeps = read_sweeps([first, second])
    spec = several_spec(sweeps)
    assert spec.title == "first and second"
    assert "in second lowers fd_classifier by 2.2" in spec.headline[0]
    titles = [table.title for table in several_tables(sweeps)]
    assert titles == ["What differs between the sweeps", *["fd_classifier ↓ lower is better, test split"] * 2]
    html = render(spec)
    assert html.count('<div id="sweep-table-1">') == 1
    assert "Each setting is compared with the same one in first." in html
    assert "decided in that sweep&#39;s own report" in html


def test_a_sweep_without_a_finished_trial_is_no_error(sweep: Any, tmp_path: Path) -> None:
    first = sweep("first", {("none", 1.0): NONE})
    running = RecordStore(str(tmp_path / "second"))
    record(running, Trial(status="running", sweep="second"), {})
    assert (
        "No arm was measured in two of the sweeps" in several_spec(read_sweeps([first, running])).headline[0]
    )


def test_the_first_sweep_is_the_reference(sweep: Any) -> None:
    stores = [sweep(name, {("none", 1.0): NONE}) for name in ("first", "second", "third")]
    sweeps = Sweeps(("a", "b", "c"), read_sweeps(stores).parts)
    (one,) = [c for c in comparisons(sweeps.arm_by_arm) if not c.on_validation]
    assert isinstance(one, Comparison)
    assert one.baseline_label == "a"
    assert sum(row.difference is not None for row in one.rows) == 2
