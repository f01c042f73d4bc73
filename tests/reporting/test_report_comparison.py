"""What is compared with what: numbers against NumPy and SciPy, tests, protocols, missing values."""

import dataclasses
import datetime
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ndabench.measurement import Measurement
from ndabench.records import RecordStore
from ndabench.reporting import summary_tables
from ndabench.reporting.comparison import Compared, Comparison, adjusted, comparisons
from ndabench.reporting.costs import costs_table
from ndabench.reporting.frames import Group, Setting, load
from ndabench.reporting.headline import headline
from ndabench.reporting.intervals import paired_difference
from ndabench.reporting.page import report_spec
from ndabench.reporting.specs import Block, TableSpec, TextSpec
from ndabench.reporting.trial_tables import unfinished_table
from tests.reporting.synthetic import TEST_PROTOCOL, Trial, finals, measured, record


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path / "synthetic"))


def compare(store: RecordStore) -> list[Comparison]:
    return comparisons(load(store))


def row(comparison: Comparison, arm: str, lambda_: float | None = None) -> Compared:
    (found,) = [r for r in comparison.rows if r.setting.arm == arm and lambda_ in (None, r.setting.lambda_)]
    return found


def headlines(store: RecordStore) -> list[str]:
    frames = load(store)
    return headline(frames, comparisons(frames))


def texts(table: TableSpec, column: str) -> list[str]:
    place = [c.name for c in table.columns].index(column)
    return [cells[place].text for cells in table.rows]


NONE = [25.0, 27.0, 26.0]
JIGSAW = [20.5, 23.0, 21.0]
CUTOUT = [25.1, 26.4, 26.6]


def three_arms(store: RecordStore) -> None:
    for arm, weight, values in (("none", 1, NONE), ("jigsaw", 0.25, JIGSAW), ("cutout", 0.25, CUTOUT)):
        for seed, value in enumerate(values):
            record(store, Trial(arm, weight, seed), finals(value, value + 1))


def test_numbers_agree_with_scipy(store: RecordStore) -> None:
    three_arms(store)
    comparison = compare(store)[0]
    assert comparison.metric == "fd_classifier"
    raw = []
    for arm, values in (("jigsaw", JIGSAW), ("cutout", CUTOUT)):
        difference = row(comparison, arm).difference
        assert difference is not None
        test = stats.ttest_rel(values, NONE)
        interval = test.confidence_interval(0.975)
        assert difference.summary.mean == pytest.approx(np.mean(values) - np.mean(NONE))
        assert (difference.summary.low, difference.summary.high) == pytest.approx(tuple(interval))
        assert difference.p == pytest.approx(test.pvalue)
        raw.append(test.pvalue)
    smallest = row(comparison, "jigsaw").difference
    assert smallest is not None
    assert smallest.p_adjusted == pytest.approx(2 * min(raw))
    mean = row(comparison, "none").summary
    assert (mean.low, mean.high) == pytest.approx(stats.t.interval(0.95, 2, np.mean(NONE), stats.sem(NONE)))


def test_the_headline_says_what_was_found(store: RecordStore) -> None:
    three_arms(store)
    assert headlines(store)[0] == (
        "jigsaw at λ = 0.25 lowers fd_classifier by 4.5 [2.7, 6.3] against none over 3 seeds "
        "(paired t, Holm-adjusted p = 0.0082)."
    )
    assert headlines(store)[1] == (
        "p and intervals are adjusted together over 2 tests: every arm and setting that was compared by "
        "fd_classifier."
    )


def test_the_headline_admits_that_nothing_was_found(store: RecordStore) -> None:
    for seed in range(3):
        record(store, Trial("none", 1, seed), finals(20.0 + seed))
        record(store, Trial("jigsaw", 0.25, seed), finals(20.0 + (1, -2, 3)[seed]))
    assert headlines(store)[0].startswith(
        "fd_classifier: no arm is shown to differ from none. The clearest, jigsaw"
    )
    assert "differs by −0.3 [−6.1, 5.4] over 3 seeds" in headlines(store)[0]
    assert headlines(store)[0].endswith("; a difference of 7.5 would be found with 80 % power.")


def test_an_undecided_headlines_interval_includes_0_though_its_own_p_is_below_a_twentieth(
    store: RecordStore,
) -> None:
    """By itself jigsaw has p = .011 and a 95 % interval that excludes 0; six tests make p = .064."""
    none, jigsaw = np.array([20.0, 21.0, 22.0]), np.array([18.0, 19.6, 20.1])
    assert stats.ttest_rel(jigsaw, none).pvalue < 0.011
    for seed in range(3):
        record(store, Trial("none", 1, seed), finals(none[seed]))
        record(store, Trial("jigsaw", 0.25, seed), finals(jigsaw[seed]))
        for place, arm in enumerate(("cutout", "mixup", "cutmix", "shift", "patches")):
            record(store, Trial(arm, 0.25, seed), finals(none[seed] + (1.0, -1.0, 0.2 * place)[seed]))
    low, high = interval_in(headlines(store)[0])
    assert "no arm is shown to differ" in headlines(store)[0]
    assert low < 0 < high
    (table,) = summary_tables(store)
    mean, half_width = texts(table, "difference from none")[1].replace("−", "-").split(" ± ")
    assert abs(float(mean)) < float(half_width)
    expected = stats.ttest_rel(jigsaw, none).confidence_interval(1 - 0.05 / 6)
    assert (low, high) == pytest.approx(tuple(expected), abs=0.051)


def interval_in(sentence: str) -> tuple[float, float]:
    low, high = sentence.partition("[")[2].partition("]")[0].replace("−", "-").split(", ")
    return float(low), float(high)


def test_every_data_set_of_the_objective_is_one_family_and_other_metrics_are_not_claimed(
    store: RecordStore,
) -> None:
    store.write_bytes("sweep.yaml", b"objective: {metric: fd_classifier}")
    for seed, noise in enumerate((0.0, 0.3, -0.2)):
        for data in ("digits", "cifar10"):
            for arm, lower in (("none", 0.0), ("jigsaw", 4.0 + noise)):
                values = {
                    "fd_classifier": measured(20.0 + seed - lower),
                    "kid": measured(9.0 + seed - 2 * lower),
                }
                trial = Trial(arm, 1 if arm == "none" else 0.25, seed, dataset=data, dataset_hash=data)
                record(store, trial, {100: values})
    raw = stats.ttest_1samp([-4.0, -4.3, -3.8], 0).pvalue
    found = {(c.name, c.group.dataset): row(c, "jigsaw").difference for c in compare(store)}
    p_values = [difference and difference.p_adjusted for difference in found.values()]
    assert [c.num_tests for c in compare(store)] == [2, 2, 2, 2]
    assert p_values == pytest.approx([2 * raw] * 4)
    sentences = headlines(store)
    assert not any("kid" in sentence for sentence in sentences)
    assert "p and intervals are adjusted together over 2 tests" in sentences[2]
    assert sentences[3].startswith("No claim is made about 1 other metric: ")
    notes = {table.title: " ".join(table.notes) for table in summary_tables(store)}
    assert sum("2 tests, all that the headline draws on" in text for text in notes.values()) == 2
    assert sum("2 tests of kid; the headline makes no claim" in text for text in notes.values()) == 2


def test_without_an_objective_all_metrics_are_one_family(store: RecordStore) -> None:
    for seed, noise in enumerate((0.0, 0.3, -0.2)):
        for arm, lower in (("none", 0.0), ("jigsaw", 4.0 + noise)):
            values = {name: measured(20.0 + seed - lower) for name in ("fid", "kid")}
            values["size"] = measured(20.0 + seed - lower, "neither")
            record(store, Trial(arm, 1 if arm == "none" else 0.25, seed), {100: values})
    assert {c.name: (c.claimed, c.num_tests) for c in compare(store)} == {
        "fid": (True, 2),
        "kid": (True, 2),
        "size": (False, 1),
    }
    assert "over 2 tests: every arm and setting that was compared by 2 metrics." in headlines(store)[2]


def test_of_headlines_without_any_effect_at_most_a_twentieth_claims_one() -> None:
    """Four independent metrics, three arms that share a baseline, four seeds; 400 sweeps. Adjusted within
    each metric, about 16 % of these headlines claim a difference."""
    generator = np.random.default_rng(15)
    false_claims = sum(
        any(row.difference and row.difference.significant for c in adjusted(found, None) for row in c.rows)
        for found in (without_effect(generator) for _ in range(400))
    )
    assert false_claims / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def without_effect(generator: np.random.Generator) -> list[Comparison]:
    """The comparisons of a sweep in which no arm differs from the baseline, before any adjustment."""
    found = []
    for metric in ("fid", "kid", "knn", "probe"):
        baseline = generator.normal(size=4)
        differences = [paired_difference(list(generator.normal(size=4) - baseline)) for _ in range(3)]
        rows = [
            Compared(
                Setting(f"arm {place}", 0.5, "jigsaw", "", ()), {}, one.summary, True, {}, difference=one
            )
            for place, one in enumerate(differences)
        ]
        group = Group("gan", "digits", "d1e5")
        found.append(Comparison(group, metric, metric, "test", "", "lower", "{}", rows, [], False, ""))
    return found


def test_worse_is_called_worse(store: RecordStore) -> None:
    for seed, noise in enumerate((0.0, 0.1, -0.1, 0.05)):
        record(store, Trial("none", 1, seed), finals(20.0 + seed))
        record(store, Trial("flip", 0.25, seed), finals(25.0 + seed + noise))
    assert "flip at λ = 0.25 raises fd_classifier by 5.0" in headlines(store)[0]
    assert "which is worse" in headlines(store)[0]
    (table,) = summary_tables(store)
    assert texts(table, "difference from none")[1].endswith("worse")


def test_pairs_are_taken_by_seed_whatever_the_order(store: RecordStore) -> None:
    for seed in (2, 0, 1):
        record(store, Trial("none", 1, seed), finals(10.0 * seed))
    for seed in (1, 3, 2):
        record(store, Trial("jigsaw", 0.25, seed), finals(10.0 * seed - seed))
    difference = row(compare(store)[0], "jigsaw").difference
    assert difference is not None
    assert (difference.summary.n, difference.summary.mean) == (2, -1.5)


def test_every_setting_of_a_grid_is_tested_and_adjusted_for_whatever_validation_says(
    store: RecordStore,
) -> None:
    jigsaws = {0.25: [18.0, 19.6, 20.1], 0.5: [19.0, 19.5, 22.0], 0.75: [20.5, 20.0, 22.6]}
    for seed in range(3):
        record(store, Trial("none", 1, seed), finals(20.0 + seed, 20.0))
        for weight, values in jigsaws.items():
            record(store, Trial("jigsaw", weight, seed), finals(values[seed], 10 * weight))
    comparison = compare(store)[0]
    raw = {w: stats.ttest_rel(values, [20.0, 21.0, 22.0]).pvalue for w, values in jigsaws.items()}
    assert len(comparison.tested) == 3
    expected = 0.0
    for weight, factor in zip(sorted(raw, key=lambda w: raw[w]), (3, 2, 1), strict=True):
        expected = max(expected, min(1.0, factor * raw[weight]))
        difference = row(comparison, "jigsaw", weight).difference
        assert difference is not None
        assert difference.p_adjusted == pytest.approx(expected)
    clearest = min(raw, key=lambda w: raw[w])
    assert headlines(store)[0].startswith(f"jigsaw at λ = {clearest:g} lowers")
    table = summary_tables(store)[0]
    assert any("Holm-adjusted over 3 tests, all that the headline draws on." in note for note in table.notes)
    assert any(note.startswith("Every repeated setting is tested.") for note in table.notes)


def test_a_grid_of_other_parameters_compares_at_equal_parameters(store: RecordStore) -> None:
    for seed in range(3):
        for rate in (1, 2):
            parameters = f'{{"learning_rate": {rate}}}'
            record(store, Trial("none", 1, seed, parameters=parameters), finals(20.0 * rate + seed))
            value = 20.0 * rate - rate + 1.1 * seed
            record(store, Trial("jigsaw", 0.25, seed, parameters=parameters), finals(value))
    comparison = compare(store)[0]
    means = [row.difference.summary.mean for row in comparison.tested if row.difference]
    assert means == pytest.approx([-0.9, -1.9])
    (table,) = summary_tables(store)
    assert texts(table, "difference from none")[:2] == ["baseline", "baseline"]
    assert any("at the same learning_rate" in note for note in table.notes)


def test_an_unfinished_grid_compares_nothing_with_a_baseline_at_another_setting(store: RecordStore) -> None:
    """The baseline's trials at the second learning rate have no row yet."""
    store.write_bytes("sweep.yaml", b"search: {learning_rate: [1, 2], sampler: grid}")
    for seed in range(3):
        record(store, Trial("none", 1, seed, parameters='{"learning_rate": 1}'), finals(20.0 + seed))
        record(store, Trial("a", 0.5, seed, parameters='{"learning_rate": 2}'), finals(40.0 + 1.1 * seed))
    comparison = compare(store)[0]
    assert [(row.against, row.difference) for row in comparison.rows] == [(None, None), (None, None)]
    assert comparison.tested == []
    assert headlines(store)[0] == (
        "fd_classifier: no arm could be tested against none at learning_rate = 1 "
        "(it has no finished repeat at the same setting)."
    )
    (table,) = summary_tables(store)
    assert any("the baseline has no finished repeat at the same setting" in note for note in table.notes)


def test_parameters_that_the_baseline_does_not_have_need_not_agree(store: RecordStore) -> None:
    """Those of a negative, for example: each is compared at the learning rate that both have."""
    for seed in range(2):
        for rate in (1, 2):
            own = f'{{"learning_rate": {rate}}}'
            record(store, Trial("none", 1, seed, parameters=own), finals(10.0 * rate + seed))
            for grid in (2, 4):
                both = f'{{"arms.a.grid": {grid}, "learning_rate": {rate}}}'
                record(store, Trial("a", 0.5, seed, parameters=both), finals(10.0 * rate + grid + seed))
    compared = [row for row in compare(store)[0].rows if row.setting.arm == "a"]
    assert [row.difference.summary.mean for row in compared if row.difference] == [2.0, 2.0, 4.0, 4.0]


def test_a_baseline_tuned_by_a_search_is_compared_whatever_its_parameters(store: RecordStore) -> None:
    store.write_bytes("sweep.yaml", b"seeds: [0, 1]\nsearch: {sampler: tpe}")
    for arm, weight, tuned in (("none", 1.0, 1), ("jigsaw", 0.25, 2)):
        for rate in (1, 2):
            for seed in (0, 1, 999) if rate == tuned else (999,):
                trial = Trial(arm, weight, seed, parameters=f'{{"learning_rate": {rate}}}')
                record(store, trial, finals(20.0 * weight + 1.5 * seed * rate))
    comparison = compare(store)[0]
    (tested,) = comparison.tested
    assert tested.setting.label == "jigsaw at λ = 0.25, learning_rate = 2"
    assert tested.against is not None
    assert tested.against.label == "none at learning_rate = 1"
    (table,) = summary_tables(store)
    assert sum("search only" in text for text in texts(table, "arm")) == 2
    assert any("the repeats took no part in it" in note for note in table.notes)


def test_repeats_that_did_not_finish_are_counted_and_the_best_is_none_of_the_survivors(
    store: RecordStore,
) -> None:
    for seed in range(3):
        record(store, Trial("none", 1, seed), finals(20.0 + seed))
        record(store, Trial("cutout", 0.25, seed), finals(21.0 + seed * 1.1))
        record(store, Trial("flip", 0.25, seed, "failed", "out of memory"), {})
        record(store, Trial("jigsaw", 0.25, seed, "finished" if seed == 0 else "diverged", ""), finals(1.0))
        record(store, Trial("mixup", 0.25, seed, "finished" if seed == 0 else "running", ""), finals(2.0))
    (table,) = summary_tables(store)
    counts = dict(zip(texts(table, "arm"), texts(table, "n"), strict=True))
    assert counts == {
        "none": "3",
        "cutout": "3",
        "flip": "0 (+3 failed)",
        "jigsaw": "1 (+2 diverged)",
        "mixup": "1 (+2 running)",
    }
    assert row(compare(store)[0], "none").best
    assert (
        "Repeats were lost, and the remaining repeats alone may make a setting look better than it is: "
        "flip at λ = 0.25 (3 failed, 0 left), jigsaw at λ = 0.25 (2 diverged, 1 left)." in headlines(store)
    )


def test_a_lost_repeat_that_another_trial_made_good_is_not_counted(store: RecordStore) -> None:
    record(store, Trial("none", 1, 0), finals(20.0))
    done = store.read_trial(load(store).trials.index[0])
    assert done is not None
    store.write_trial(dataclasses.replace(done, trial_id="another", status="failed"))
    assert compare(store)[0].rows[0].missing == {}


def test_the_searchs_own_trials_are_not_averaged_with_the_repeats(store: RecordStore) -> None:
    store.write_bytes("sweep.yaml", b"seeds: [0, 1]\nsearch: {sampler: random}")
    for seed in (0, 1, 999):
        record(store, Trial("none", 1, seed), finals(20.0 + seed, 20.0))
        record(store, Trial("jigsaw", 0.25, seed), finals(18.0 + 1.1 * seed, 19.0))
    record(store, Trial("jigsaw", 0.5, 999), finals(1.0, 1.0))
    comparison = compare(store)[0]
    assert set(row(comparison, "none").values) == {0, 1}
    assert [r.setting.lambda_ for r in comparison.tested] == [0.25]
    lucky = row(comparison, "jigsaw", 0.5)
    assert (lucky.repeated, lucky.best, lucky.difference) == (False, False, None)


def test_other_searched_parameters_tell_settings_apart(store: RecordStore) -> None:
    for seed in range(2):
        for rate in (1e-4, 1.00001e-4):
            trial = Trial("jigsaw", 0.25, seed, parameters=f'{{"learning_rate": {rate}}}')
            record(store, trial, finals(20 + rate))
    comparison = compare(store)[0]
    assert [r.summary.n for r in comparison.rows] == [2, 2]
    assert comparison.rows[0].setting.label == "jigsaw at λ = 0.25, learning_rate = 0.0001"


def test_protocols_are_never_mixed(store: RecordStore) -> None:
    for seed in range(3):
        for arm, weight in (("none", 1.0), ("jigsaw", 0.25)):
            protocol = {**TEST_PROTOCOL, "num_samples": 5000} if seed == 2 else TEST_PROTOCOL
            record(store, Trial(arm, weight, seed), {9: {"fid": measured(10.0 + seed, protocol=protocol)}})
    first, second = compare(store)
    assert {first.rows[0].summary.n, second.rows[0].summary.n} == {1, 2}
    tables = summary_tables(store)
    assert all("of 2" in table.title for table in tables)
    notes = " ".join(note for table in tables for note in table.notes)
    assert "num_samples = 1000" in notes
    assert "num_samples = 5000" in notes
    assert "extractor =" not in notes


def test_other_data_under_the_same_name_is_another_table(store: RecordStore) -> None:
    record(store, Trial("none", 1, 0, dataset_hash="aaaa"), finals(10.0))
    record(store, Trial("none", 1, 0, dataset_hash="bbbb"), finals(20.0))
    assert [c.rows[0].summary.mean for c in compare(store)] == [10.0, 20.0]


def test_data_of_one_content_are_one_table_whatever_their_folder_was_called(store: RecordStore) -> None:
    """A folder may move before a sweep is resumed, and an image folder is called as its path ends."""
    for seed, name in enumerate(("image_folder:cats", "image_folder:moved")):
        protocol = {**TEST_PROTOCOL, "data": name, "data_hash": "aaaa"}
        value = {100: {"fd_classifier": measured(10.0 + seed, protocol=protocol)}}
        record(store, Trial("none", 1, seed, dataset=name, dataset_hash="aaaa"), value)
    (comparison,) = compare(store)
    assert comparison.rows[0].values == {0: 10.0, 1: 11.0}
    assert (comparison.group.dataset, comparison.measured_on) == ("image_folder:cats", "image_folder:cats")


def test_a_finished_trial_whose_metrics_are_gone_is_named(store: RecordStore) -> None:
    for seed in range(2):
        record(store, Trial("none", 1, seed, evaluate=("fd",)), finals(10.0 + seed))
    store.delete(f"metrics/{Trial('none', 1, 1).trial_id}")
    (none,) = compare(store)[0].rows
    assert (none.values, none.missing) == ({0: 10.0}, {"metrics gone": 1})
    assert "none (1 metrics gone, 1 left)" in headlines(store)[-1]
    unfinished = unfinished_table(load(store))
    assert unfinished is not None
    assert texts(unfinished, "reason") == [
        "it finished, but its metrics file is gone; --resume runs it again"
    ]
    store.delete(f"metrics/{Trial('none', 1, 0).trial_id}")
    assert (
        headlines(store)[0] == "The metrics of 2 finished trials are gone, and nothing else can be compared."
    )


def test_only_the_last_step_of_finished_trials_counts(store: RecordStore) -> None:
    record(store, Trial("none", 1, 0), {5: finals(99.0)[100], 10: finals(10.0)[100]})
    record(store, Trial("none", 1, 1, status="running"), finals(50.0))
    record(store, Trial("none", 1, 2, status="diverged", error="NaN"), finals(60.0))
    assert compare(store)[0].rows[0].values == {0: 10.0}


def test_nan_is_counted_and_left_out(store: RecordStore) -> None:
    for seed, value in enumerate((10.0, math.nan, 12.0)):
        record(store, Trial("none", 1, seed), finals(value))
        record(store, Trial("jigsaw", 0.25, seed), finals(math.nan))
    none, jigsaw = compare(store)[0].rows
    assert (none.summary.mean, none.summary.n, none.missing) == (11.0, 2, {"NaN": 1})
    assert jigsaw.summary.n == 0
    (table,) = summary_tables(store)
    assert texts(table, "n") == ["2 (+1 NaN)", "0 (+3 NaN)"]
    assert texts(table, "mean ± 95 %")[1] == "—"


def test_one_seed_has_neither_interval_nor_test(store: RecordStore) -> None:
    record(store, Trial("none", 1, 0), finals(10.0))
    record(store, Trial("jigsaw", 0.25, 0), finals(9.0))
    (table,) = summary_tables(store)
    assert texts(table, "mean ± 95 %") == ["10.00", "9.000 ★"]
    assert texts(table, "p") == ["—", "—"]
    assert "One seed gives no interval and no test." in table.notes
    assert "no arm could be tested" in headlines(store)[0]


def test_higher_is_better_where_it_is(store: RecordStore) -> None:
    for arm, weight, value in (("none", 1, 0.8), ("jigsaw", 0.25, 0.9)):
        for seed in range(2):
            record(
                store,
                Trial(arm, weight, seed),
                {1: {"top1": measured(value + seed / 50, "higher", "%", {"a": 1})}},
            )
    comparison = compare(store)[0]
    assert row(comparison, "jigsaw").best
    (table,) = summary_tables(store)
    assert table.title == "top1 in % ↑ higher is better, test split"


def test_training_curves_are_no_results(store: RecordStore) -> None:
    record(store, Trial("none", 1, 0), {1: {"loss": Measurement(1.0)}, 2: {"loss": Measurement(0.5)}})
    assert compare(store) == []


def test_the_papers_value_is_shown_only_next_to_fid_at_its_lambda(store: RecordStore) -> None:
    for arm, weight in (("none", 1.0), ("jigsaw", 0.25), ("jigsaw", 0.6), ("cutout", 0.25)):
        trial = Trial(arm, weight, 0, dataset="image_parquet:cifar10")
        record(store, trial, {1: {**finals(20.0, None, "fid")[100], **finals(9.0)[100]}})
    other, fid = summary_tables(store)
    assert [column.name for column in other.columns].count("paper") == 0
    assert texts(fid, "paper") == ["18.64 †", "14.69 †", "12.61", "—"]
    assert any("† recalled" in note for note in fid.notes)
    results = report_spec(store).sections[0].blocks
    reference = results[-1]
    assert isinstance(reference, TableSpec)
    assert reference.notes[0].startswith("A different metric: not comparable")
    assert "98.09 †" in texts(reference, "FID ↓")


@pytest.mark.parametrize("negative", ["jigsaw", "jigsaw[released]", "jigsaw[corrected]"])
def test_the_paper_is_found_for_either_variant(store: RecordStore, negative: str) -> None:
    trial = Trial("shuffled", 0.25, 0, dataset="cifar10", negative=negative)
    record(store, trial, finals(20.0, None, "fid"))
    other = Trial("coarse", 0.25, 0, dataset="cifar10", negative="jigsaw(grid=4)[released]")
    record(store, other, finals(20.0, None, "fid"))
    (table,) = summary_tables(store)
    assert sorted(zip(texts(table, "arm"), texts(table, "paper"), strict=True)) == [
        ("coarse", "—"),
        ("shuffled", "12.61"),
    ]


def test_a_verified_value_of_a_recalled_column_says_so(store: RecordStore) -> None:
    record(store, Trial("stitch", 0.25, 0, dataset="cifar100", conditional=True), finals(20.0, None, "fid"))
    (table,) = summary_tables(store)
    assert texts(table, "paper") == ["13.90 ‡"]


def test_the_papers_probes_are_next_to_the_probe_of_its_recipe(store: RecordStore) -> None:
    for arm, weight in (("none", 0.0), ("jigsaw", 1.0), ("untrained encoder", 0.0)):
        trial = Trial(
            arm,
            weight,
            0,
            task="image_contrastive",
            dataset="cifar10",
            negative="jigsaw" if weight else "",
        )
        probes = {**finals(90.0, None, "linear_probe_sgd")[100], **finals(90.0, None, "knn")[100]}
        record(store, trial, {100: probes})
    knn, probe = summary_tables(store)
    assert texts(probe, "arm") == ["none", "jigsaw", "untrained encoder"]
    assert texts(probe, "λ") == ["—", "1", "—"], "λ says nothing where there is no negative"
    assert texts(probe, "paper") == ["91.20 †", "91.66 †", "—"], (
        "an encoder left untrained is not the paper's"
    )
    assert "paper" not in [column.name for column in knn.columns]
    last = report_spec(store).sections[0].blocks[-1]
    assert isinstance(last, TableSpec)
    assert "For orientation" in last.title


def test_an_empty_sweep_and_one_without_results_can_be_reported(store: RecordStore) -> None:
    assert report_spec(store).headline == ["No trial has been recorded yet."]
    record(store, Trial("none", 1, 0, status="running"), {})
    spec = report_spec(store)
    assert spec.headline == ["None of 1 trial has finished yet: there is nothing to compare."]
    assert isinstance(spec.sections[0].blocks[0], TextSpec)
    assert summary_tables(store) == []


def test_no_baseline_is_said(store: RecordStore) -> None:
    record(store, Trial("jigsaw", 0.25, 0), finals(9.0))
    assert "baseline" in headlines(store)[0]
    (table,) = summary_tables(store)
    assert not any("difference" in column.name for column in table.columns)


def test_two_finished_trials_of_one_setting_and_seed_count_once(store: RecordStore) -> None:
    record(store, Trial("none", 1, 0), finals(10.0))
    again = load(store).trials.index[0] + "b"
    row = store.read_trial(load(store).trials.index[0])
    assert row is not None
    assert row.finished is not None
    later = row.finished + datetime.timedelta(hours=1)
    store.write_trial(dataclasses.replace(row, trial_id=again, finished=later))
    store.write_progress("synthetic", again, 100, finals(30.0)[100], {})
    assert compare(store)[0].rows[0].values == {0: 30.0}
    assert any("left out" in str(block) for block in report_spec(store).sections[0].blocks)


def test_arms_are_in_the_order_of_the_sweep_file(filled: RecordStore) -> None:
    assert load(filled).arms == ["none", "jigsaw", "cutout", "flip as PDA"]


def test_what_the_headline_does_not_report_is_collapsed_and_validation_not_tested(
    filled: RecordStore,
) -> None:
    blocks = [block for block in report_spec(filled).sections[0].blocks if isinstance(block, TableSpec)]
    tables = [table for table in blocks if table.id.startswith("table-")][:3]
    assert [table.collapsed for table in tables] == [False, True, True]
    assert "p" not in [column.name for column in tables[2].columns]


def test_what_each_arm_cost_is_shown_relative_to_the_baseline(store: RecordStore) -> None:
    store.write_bytes("sweep.yaml", b"budget: compute")
    for seed in range(2):
        record(store, Trial("none", 1, seed, images_judged=9000, num_steps=1500), finals(20.0 + seed))
        record(store, Trial("jigsaw", 0.25, seed, images_judged=8999, num_steps=999), finals(19.0))
        record(store, Trial("old records", 0.25, seed), finals(19.0))
        record(store, Trial("cutout", 0.25, seed, "diverged", images_judged=1), {})
    costs = costs_table(load(store))
    assert costs is not None
    shown = {column.name: texts(costs, column.name) for column in costs.columns}
    assert shown == {
        "setting": ["none", "jigsaw at λ = 0.25", "old records at λ = 0.25"],
        "n": ["2", "2", "2"],
        "steps": ["1,500", "999", "1,000"],
        "images judged": ["9,000", "8,999", "—"],
        "× baseline": ["1", "1", "—"],
        "time": ["3 min 11 s"] * 3,
    }
    assert costs.notes[0].startswith("Budget: compute.")
    assert costs in report_spec(store).sections[0].blocks


def test_the_weights_in_training_are_shown_apart_and_not_among_the_findings(store: RecordStore) -> None:
    protocol = {**TEST_PROTOCOL, "reference_split": "validation", "weights": "live"}
    for arm, weight, values in (("none", 1, NONE), ("jigsaw", 0.25, JIGSAW)):
        for seed, value in enumerate(values):
            live = measured(value + 9, protocol=protocol, metric="fd_classifier_live", split="validation")
            values_by_step = finals(value, value + 1)
            values_by_step[100]["val_fd_classifier_live"] = live
            record(store, Trial(arm, weight, seed), values_by_step)
    table = next(block for block in _results(store) if isinstance(block, TableSpec) and "live" in block.title)
    assert table.title == "val_fd_classifier_live ↓ lower is better, validation split"
    assert table.collapsed
    assert table.notes[0].startswith("A diagnostic of the moving average, and no objective")
    assert not any("Searches and schedulers" in note for note in table.notes)
    assert "p" not in [column.name for column in table.columns]
    assert not any("live" in sentence for sentence in headlines(store))


def _results(store: RecordStore) -> Sequence[Block]:
    return next(section.blocks for section in report_spec(store).sections if section.id == "results")
