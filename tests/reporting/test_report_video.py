"""Video sweeps in the report: the paper's Table I, film strips and confusion matrices."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from ndabench.metrics.clip_encoders.confusion import confusion_counts, confusion_json
from ndabench.records import RecordStore
from ndabench.reporting import summary_tables, write_report
from ndabench.reporting.page import report_spec
from ndabench.reporting.paper import paper_dataset
from ndabench.reporting.specs import SheetSpec, TableSpec
from tests.reporting.browser import CHROMIUM, open_page
from tests.reporting.synthetic import Trial, measured, record

UCF101, HMDB51 = "ucf101:my videos split 1", "hmdb51:HMDB split 2"
ARMS = {"none": 60.0, "jigsaw": 64.0, "jigsaw(per=frame)": 63.0, "shuffle_frames": 61.0}
STRIPS, CLASSES, MANY_CLASSES = (265, 265), 10, 60


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path / "videos"))


def fill(store: RecordStore, *, measured_on: str) -> None:
    """Encoders pre-trained on UCF-101 and fine-tuned on `measured_on`, two seeds."""
    protocol = {"protocol": "dpc_finetune", "data": measured_on, "split": "test"}
    for arm, percent in ARMS.items():
        negative = "" if arm == "none" else arm
        for seed in range(2):
            trial = Trial(
                arm,
                1.0 if negative else 0.0,
                seed,
                negative=negative,
                task="video_contrastive",
                dataset=UCF101,
            )
            value = measured(percent + seed, "higher", "%", protocol)
            record(store, trial, {100: {"dpc_finetune": value}})


def add_pictures(store: RecordStore, trial: Trial) -> None:
    pictures = {
        "negatives.png": noise(*STRIPS),
        "confusion_dpc_finetune.json": counts(CLASSES),
        "confusion_linear_probe.json": counts(MANY_CLASSES),
        "confusion_dpc_finetune_hmdb51.json": counts(CLASSES),
        "views_of_a_plugin.png": noise(*STRIPS),
    }
    protocol = {"protocol": "dpc_finetune", "data": HMDB51, "split": "test", "as": "hmdb51"}
    value = measured(44.0, "higher", "%", protocol, metric="dpc_finetune", label="hmdb51")
    record(store, trial, {100: {"dpc_finetune_hmdb51": value}})
    store.write_progress("synthetic", trial.trial_id, 100, {}, pictures)


def noise(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 60).save(buffer, "PNG")
    return buffer.getvalue()


def counts(num_classes: int) -> bytes:
    labels = torch.arange(num_classes).repeat(5)
    names = [f"Action{number}" for number in range(num_classes)]
    return confusion_json(confusion_counts(labels.roll(1), labels, num_classes), names)


def column(table: TableSpec, name: str) -> list[str]:
    place = [c.name for c in table.columns].index(name)
    return [cells[place].text for cells in table.rows]


def test_data_sets_of_the_paper_are_known_by_what_reads_them() -> None:
    titles = (UCF101, HMDB51, "video_folder:UCF-101", "image_parquet:CIFAR-10", "moving_digits split 1")
    names = ["ucf101", "hmdb51", "ucf101", "cifar10", "movingdigitssplit1"]
    assert [paper_dataset(title) for title in titles] == names


@pytest.mark.parametrize(
    ("measured_on", "values"),
    [(UCF101, ["61.35 †", "64.54 †", "—", "—"]), (HMDB51, ["45.31 †", "46.88 †", "—", "—"])],
)
def test_the_papers_accuracies_are_next_to_those_on_the_same_videos(
    store: RecordStore, measured_on: str, values: list[str]
) -> None:
    fill(store, measured_on=measured_on)
    (table,) = summary_tables(store)
    assert dict(zip(column(table, "arm"), column(table, "paper"), strict=True)) == dict(
        zip(ARMS, values, strict=True)
    )
    assert any("pre-trained on UCF-101" in note for note in table.notes)
    reference = report_spec(store).sections[0].blocks[-1]
    assert isinstance(reference, TableSpec)
    assert reference.title.endswith(f"on {paper_dataset(measured_on)}")
    assert len(reference.rows) == 6


def test_the_papers_accuracies_are_next_to_those_with_a_label(store: RecordStore) -> None:
    protocol = {"protocol": "dpc_finetune", "data": HMDB51, "split": "test", "as": "on_hmdb"}
    trial = Trial("none", 0.0, 0, task="video_contrastive", dataset=UCF101)
    value = measured(44.0, "higher", "%", protocol, metric="dpc_finetune", label="on_hmdb")
    record(store, trial, {100: {"dpc_finetune_on_hmdb": value}})
    (table,) = summary_tables(store)
    assert table.title.startswith("dpc_finetune_on_hmdb in %")
    assert column(table, "paper") == ["45.31 †"]


def test_other_videos_and_other_measures_have_no_paper(store: RecordStore) -> None:
    fill(store, measured_on="moving_digits split 1")
    (table,) = summary_tables(store)
    assert "paper" not in [c.name for c in table.columns]


def test_matrices_are_shown_as_large_as_their_detail_asks_for(store: RecordStore) -> None:
    add_pictures(store, Trial("none", 0.0, 0, task="video_contrastive", dataset=UCF101))
    sheets = [b for s in report_spec(store).sections for b in s.blocks if isinstance(b, SheetSpec)]
    assert {sheet.title: sheet.size for sheet in sheets} == {
        "Confusion matrix, after fine-tuning": "half",
        "Confusion matrix, after fine-tuning (hmdb51)": "half",
        "Confusion matrix, by the linear probe": "whole",
        "Negatives, as training sees them": "small",
        "Views of a plugin": "small",  # only a label that `as` gave is one
    }


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")
def test_in_a_browser_matrices_have_room_and_fit_a_phone(store: RecordStore, tmp_path: Path) -> None:
    for arm in ("none", "jigsaw"):
        add_pictures(store, Trial(arm, 0.0, 0, negative="", task="video_contrastive", dataset=UCF101))
    shown = "Array.from(document.images, i => [i.naturalWidth, i.getBoundingClientRect().width])"
    with open_page(tmp_path / "profile") as page:
        page.open(Path(write_report(store)).as_uri())
        strips, matrix, large = sorted(dict(page.run(shown)).items())
        assert strips[0] == STRIPS[0]
        assert matrix[1] > 500 > strips[1]
        assert large[1] > 700
        page.call(
            "Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=False
        )
        assert page.run("document.documentElement.scrollWidth") <= 390
