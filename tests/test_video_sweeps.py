"""What a sweep over videos shares with one over images: data sets, trials and their ids, early errors."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from ndabench.augmentations.registry import implementations
from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.data.registry import DATA_SETS, DataConfig, load_data, of_modality
from ndabench.data.videos.clips import ClipData
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.sweep import print_plan
from ndabench.trials.config import Provenance
from ndabench.trials.run import prepare, run_trial
from tests.video_stand_in import DIGITS, SWEEP, StandIn, dumped

CLIP_NEGATIVES = implementations("clips")

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def nothing_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "built", [])


def sweep(**changes: Any) -> SweepConfig:
    return parse(SweepConfig, {**SWEEP, **changes}, "s.yaml")


def test_data_sets_are_told_apart_by_name() -> None:
    assert not set(of_modality("images")) & set(of_modality("videos"))
    for name, entry in DATA_SETS.items():
        keys = {"name": name} | ({"path": "/data"} if "path" in entry.config.model_fields else {})
        assert type(parse(DataConfig, keys, "data")) is entry.config
    clips = load_data(parse(DataConfig, DIGITS, "data"), CPU)
    assert isinstance(clips, ClipData)
    assert clips.frame_shape == (3, 16, 16)
    assert isinstance(load_data(parse(DataConfig, {"name": "digits"}, "data"), CPU), ImageData)


def test_a_sweep_over_videos_is_read_written_and_run(tmp_path: Any) -> None:
    config = sweep()
    assert parse(SweepConfig, dumped(config), "again") == config
    trials = config.grid_trials()
    assert [t.arm for t in trials] == ["none", "shuffle_blocks", "jigsaw(per=frame)"]
    prepare(trials, CPU)
    first, blocks, tiles = StandIn.built
    assert (first.negative, first.positive, first.lambda_) == (None, None, 0.0)
    assert isinstance(first.data, ClipData)
    assert first.config == config.task
    clips = torch.rand(4, 3, 10, 8, 8)
    for built, expected in ((blocks, "shuffle_blocks"), (tiles, "jigsaw")):
        parameters = {"per": "frame"} if expected == "jigsaw" else {}
        assert built.negative is not None
        output = built.negative(clips, generator=torch.Generator().manual_seed(1))
        rule = CLIP_NEGATIVES[expected]
        assert torch.equal(output, rule(clips, generator=torch.Generator().manual_seed(1), **parameters))

    store = RecordStore(str(tmp_path))
    assert len(list(run_trial(trials[2], store, Provenance("videos"), Workers(device=CPU)))) == 2, (
        "steps 0 and 1"
    )
    row = store.read_trial(trials[2].trial_id)
    assert row is not None
    assert (row.status, row.negative, row.dataset) == (
        "finished",
        "jigsaw(per=frame)",
        "moving_digits split 1",
    )
    assert row.dataset_hash == first.data.content_hash


def test_the_plan_of_a_sweep_over_videos_counts_clips(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(sweep(), ".", Console(width=120))
    printed = capsys.readouterr().out
    assert "total work: 240 clips" in printed
    assert "images" not in printed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {"name": "digits"}},
            r"data: task stand_in learns from videos; digits holds images \(take hmdb51, moving_digits",
        ),
        (
            {"arms": ["none", {"negative": {"name": "jigsaw", "variant": "released"}}]},
            r"arm jigsaw\[released\]: jigsaw: the released code has no rules for clips",
        ),
        (
            {"arms": [{"positive": "shuffle_frame"}]},
            "unknown negative 'shuffle_frame'; did you mean 'shuffle_f",
        ),
        (
            {"objective": {"metric": "top1"}},
            r"objective: nothing is measured; add an evaluation, e.g. evaluate: \[knn\]",
        ),
        ({"data": {**DIGITS, "frame_sise": 8}}, "unknown key 'data.frame_sise'; did you mean 'frame_size'"),
        ({"data": {"name": "ucf1o1", "path": "/a"}}, "unknown name 'ucf1o1'; did you mean 'ucf101'"),
        ({"data": {"name": "ucf101"}}, "'data.path' is missing"),
    ],
)
def test_a_wrong_sweep_over_videos_is_one_clear_line(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        sweep(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "negative", "message"),
    [
        (
            {"clip_frames": 8},
            "shuffle_blocks",
            "shuffle_blocks: clips of 8 frames are not .* blocks of 5 frames; block must be one of 1, 2, 4",
        ),
        ({"size": 9}, "jigsaw", "jigsaw: a grid of 2 does not divide images of 9×9"),
    ],
)
def test_negatives_are_tried_on_clips_as_the_task_shows_them(task: dict, negative: str, message: str) -> None:
    changes = {"task": {"name": "stand_in", **task}, "arms": [negative]}
    with pytest.raises(UserError, match=message):
        prepare(sweep(**changes).grid_trials(), CPU)


@pytest.mark.parametrize("task", ["gan", "image_contrastive"])
@pytest.mark.parametrize("name", of_modality("videos"))
def test_tasks_of_images_refuse_videos_and_what_only_clips_have(task: str, name: str) -> None:
    image_sweep = {"name": "s", "task": {"name": task}, "data": {"name": "digits"}, "arms": ["none"]}
    keys = {} if name == "moving_digits" else {"path": "/no/such/folder"}
    for changes, message in (
        (
            {"data": {"name": name, **keys}},
            rf"s.yaml: data: task {task} learns from images; {name} holds videos \(take celeba, cifar10, ",
        ),
        (
            {"arms": ["shuffle_frames"]},
            r"arm shuffle_frames: shuffle_frames: is for clips only \(for images: cutmix, ",
        ),
        (
            {"arms": [{"name": "tiles", "positive": {"name": "jigsaw", "per": "frame"}}]},
            r"arm tiles: jigsaw for images: unknown parameter 'per' \(known: grid\)",
        ),
    ):
        with pytest.raises(UserError, match=message) as caught:
            parse(SweepConfig, {**image_sweep, **changes}, "s.yaml")
        assert "\n" not in str(caught.value)


def test_trial_ids_depend_on_which_clips_there_are_not_on_where_they_lie() -> None:
    ucf = {"name": "ucf101", "path": "/a"}

    def ids(**changes: Any) -> list[str]:
        return [trial.trial_id for trial in sweep(data={**ucf, **changes}).grid_trials()]

    assert ids() == ids(path="/b") == ids(decode_workers=7)
    others = [
        ids(**{key: value})
        for key, value in {
            "split": 2,
            "frame_size": 64,
            "crop": False,
            "frame_rate": 25,
            "decoder": "torchcodec",
            "split_lists": "half_of_them",
            "unreadable": "skip",
        }.items()
    ]
    assert len({ids()[0], *(found[0] for found in others)}) == 1 + len(others)


def test_reading_a_sweep_waits_for_no_decoder() -> None:
    heavy = {"av", "torch", "torchvision", "sklearn", "pytorchvideo", "torchcodec"}
    code = (
        "import sys\nimport ndabench.planning.sweep_file\n"
        f"late = {heavy!r} & set(sys.modules)\nassert not late, late"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
