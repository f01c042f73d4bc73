"""A folder that an ndabench of schema 1 wrote: reports read it as it was meant, and no sweep continues it."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from ndabench.measurement import displayed_name
from ndabench.records import RecordStore, read_status
from ndabench.reporting.comparison import comparisons
from ndabench.reporting.frames import load
from ndabench.reporting.page import report_spec
from ndabench.reporting.specs import FigureGroup
from ndabench.sweep import sweep
from ndabench.train import train
from tests.command_lines import CommandLine

FOLDER = Path(__file__).parent / "schema_1"
CURVES = ("logit_fake", "logit_negative", "logit_real", "loss_discriminator", "loss_generator")


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    shutil.copytree(FOLDER, tmp_path / "old")
    return RecordStore(str(tmp_path / "old"))


def test_names_become_columns(store: RecordStore) -> None:
    rows = store.read_metrics().to_pylist()
    parts = Counter((row["kind"], row["metric"], row["split"], row["label"]) for row in rows)
    assert {part: count for part, count in parts.items() if part[0] == "metric"} == {
        ("metric", "fd_classifier", "validation", ""): 21,  # of six trials, two were pruned
        ("metric", "fd_classifier", "test", ""): 4,
        ("metric", "fd_classifier", "validation", "few"): 10,
        ("metric", "fd_classifier", "test", "few"): 4,
    }
    assert {part[1:] for part in parts if part[0] == "curve"} == {(name, "", "") for name in CURVES}
    for row in rows:
        if row["kind"] == "metric":
            shown = displayed_name(row["metric"], row["split"], row["label"])
            assert shown in {
                "val_fd_classifier",
                "fd_classifier",
                "val_fd_classifier_few",
                "fd_classifier_few",
            }
    assert store.schema_version() == 1


def test_what_the_scheduler_stopped_is_pruned(store: RecordStore) -> None:
    statuses = store.read_trials()["status"].to_pylist()
    assert Counter(statuses) == {"finished": 4, "pruned": 2}
    status = read_status(store)
    assert status is not None
    assert status.trials["stopped"] == 3  # as the old driver counted, with a trial left out here


def test_one_metric_is_found_by_its_displayed_name(store: RecordStore) -> None:
    found = store.read_metrics(["step", "split", "label"], name="val_fd_classifier_few")
    assert set(zip(found["split"].to_pylist(), found["label"].to_pylist(), strict=True)) == {
        ("validation", "few")
    }


def test_the_report_compares_and_draws_as_the_old_one_did(store: RecordStore) -> None:
    compared = comparisons(load(store))
    assert [(one.name, one.metric, one.on_validation) for one in compared] == [
        ("fd_classifier", "fd_classifier", False),
        ("fd_classifier_few", "fd_classifier", False),
        ("val_fd_classifier", "fd_classifier", True),
        ("val_fd_classifier_few", "fd_classifier", True),
    ]
    none, jigsaw = (row for row in compared[0].rows if row.repeated)
    assert (none.setting.arm, jigsaw.setting.arm) == ("none", "jigsaw")
    assert none.values == {0: 21.670655289483925, 1: 28.06180154606649}
    assert jigsaw.values == {0: 14.229080530067112, 1: 33.2424436887487}
    section = next(section for section in report_spec(store).sections if section.id == "over-training")
    evaluations, training = section.blocks
    assert isinstance(evaluations, FigureGroup)
    assert isinstance(training, FigureGroup)
    assert [figure.title.partition(" over ")[0] for figure in evaluations.figures] == [
        "val_fd_classifier",
        "val_fd_classifier_few",
    ]
    assert {figure.title.partition(" over ")[0] for figure in training.figures} == set(CURVES)


@pytest.mark.parametrize("command", [sweep, train])
@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_no_command_continues_it(
    store: RecordStore, command_line: CommandLine, command: object, options: list[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*")}
    line = command_line.error(command, command_line.file(), "--out", store.root, *options)
    assert line == (
        f"error: {store.root} holds records of schema version 1, which ndabench.report still reads; "
        "a sweep can only continue version 2: choose another folder with --out\n"
    )
    assert before == {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*")}
