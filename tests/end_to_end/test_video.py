"""Videos under Ray: any set in UCF-101's layout, by its path alone; two workers; a sweep that was killed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ndabench.records import RecordStore
from ndabench.reporting.page import report_spec
from ndabench.reporting.specs import SheetSpec
from tests.end_to_end.driving import UNCHECKED_SWEEP, Bench, metrics, statuses, wait_until
from tests.video_files import write_ucf101

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SWEEP: dict[str, Any] = {
    "name": "tiny_video",
    "task": {
        "name": "video_contrastive",
        "method": {"name": "dpc", "num_blocks": 4, "num_predicted": 2},
        "encoder": {"name": "resnet2d3d", "width": 2, "stem": "cifar"},
        "views": {"size": 24},
        "clip_frames": 16,
        "frame_stride": 1,
        "batch_size": 4,
        "num_steps": 4,
        "log_every": 2,
        "checkpoint_every": 2,
    },
    "data": {"name": "ucf101", "path": "nowhere", "frame_size": 32, "decode_workers": 1},
    "arms": [
        "none",
        {"negative": {"chain": [{"name": "jigsaw", "per": "frame"}, {"name": "shuffle_blocks", "block": 2}]}},
        {
            "name": "MoCo with splice",
            "negative": "splice",
            "task": {"method": {"name": "moco", "queue_size": 8, "batch_norm_splits": 2}},
        },
        {"name": "untrained encoder", "task": {"num_steps": 0}},
    ],
    "evaluate": [
        {"name": "retrieval", "every": 2},
        "linear_probe",
        {"name": "dpc_finetune", "num_epochs": 1, "batch_size": 4, "flip": 0},
    ],
    "objective": {"metric": "linear_probe"},
    "resources": {"max_concurrent": 2},
}
VALUES = {"retrieval_r1", "linear_probe", "dpc_finetune", "val_dpc_finetune"}


@pytest.fixture
def folders(bench: Bench) -> tuple[Path, Path]:
    """Two sets of truly encoded files of several sizes, rates and lengths, some shorter than a clip."""
    one, other = bench.folder / "one", bench.folder / "other"
    write_ucf101(one, ("Juggling eggs", "Tying_Knots"), sizes=((48, 64), (36, 36), (64, 40)), rates=(25, 12))
    write_ucf101(other, ("a", "b", "c"), sizes=((40, 40), (32, 80)), rates=(30,), codecs=("mpeg4", "libx264"))
    return one, other


@pytest.mark.release
def test_any_set_in_the_layout_of_ucf101_by_its_path_alone(bench: Bench, folders: tuple[Path, Path]) -> None:
    file = bench.folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(SWEEP))
    trial_of_one_arm = ["ndabench.train", "--arm", "MoCo with splice"]
    for folder, command in zip(folders, (["ndabench.sweep"], trial_of_one_arm), strict=True):
        out = bench.folder / f"out of {folder.name}"
        ended = bench.run(*command, str(file), "--out", str(out), "--set", f"data.path={folder}")
        assert (ended.code, ended.complaints) == (0, "")
        assert len(statuses(out)) == (1 if command is trial_of_one_arm else 4)
        assert set(statuses(out).values()) == {"finished"}
        recorded = metrics(out)
        for trial_id in statuses(out):
            last = 0 if trial_id.startswith("untrained") else 4
            assert {name for trial, step, name in recorded if (trial, step) == (trial_id, last)} >= VALUES
        report = report_spec(RecordStore(str(out)))
        blocks = [block for section in report.sections for block in section.blocks]
        assert {block.id for block in blocks if isinstance(block, SheetSpec)} == {
            "sheet-confusion_dpc_finetune",
            "sheet-confusion_linear_probe",
            "sheet-negatives",
            "sheet-views",
        }


@pytest.mark.release
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_resumed_it_ends_as_if_never_interrupted(
    bench: Bench, folders: tuple[Path, Path], workers: int
) -> None:
    file = bench.folder / "sweep.yaml"
    data = {**SWEEP["data"], "path": str(folders[0])}
    arms = [{"negative": "cutmix"}]
    sweep = {**SWEEP, "data": data, "arms": arms, "evaluate": ["retrieval"], "objective": None}
    sweep["task"] = {**SWEEP["task"], "num_steps": 8}
    file.write_text(yaml.safe_dump({**sweep, "resources": {"workers": workers}}))
    whole, out = bench.folder / "whole", bench.folder / "out"
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(workers), "-m"]
    alone = [*(torchrun if workers > 1 else ()), "ndabench.train"]
    assert bench.run(*alone, str(file), "--out", str(whole)).code == 0
    command = bench.start(*UNCHECKED_SWEEP, str(file), "--out", str(out))
    wait_until(
        lambda: any(out.glob("checkpoints/*/*.pt")) or not command.running, "the first checkpoint is written"
    )
    command.kill()
    assert "running" in statuses(out).values()
    ended = bench.sweep(str(file), "--out", str(out), "--resume")
    assert ended.code == 0, ended.stderr
    assert statuses(out) == statuses(whole)
    assert metrics(out) == metrics(whole)
