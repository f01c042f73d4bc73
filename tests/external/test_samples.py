"""Images drawn again from a trial are those that its evaluation measured."""

from pathlib import Path

import numpy as np
import pytest

from ndabench.measure import images
from ndabench.records import RecordStore
from ndabench.samples import samples
from ndabench.train import train
from tests.command_lines import CommandLine


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folder", "file.npz"])
def test_the_recorded_value_is_that_of_the_drawn_images(command_line: CommandLine, name: str) -> None:
    sweep, drawn, again = command_line.folder / "sweep", command_line.folder / name, command_line.folder / "b"
    file = command_line.file(evaluate=[{"name": "fd", "num_samples": 40}], keep={"samples": 12})
    assert command_line(train, file, "--out", str(sweep))[0] == 0
    (trial,) = RecordStore(str(sweep)).read_trials().to_pylist()
    assert command_line(samples, f"{sweep}/{trial['trial_id']}", "--num", "40", "--out", str(drawn))[0] == 0
    reference = ("--reference", "{name: digits, image_size: 16}", "--evaluate", "{name: fd, num_samples: 40}")
    assert command_line(images, str(drawn), *reference, "--out", str(again))[0] == 0
    assert _distance(again) == pytest.approx(_distance(sweep), rel=1e-6)
    if name == "file.npz":
        _without_checkpoint(command_line, sweep, trial["trial_id"], np.load(drawn)["arr_0"])


def _without_checkpoint(command_line: CommandLine, sweep: Path, trial_id: str, drawn: np.ndarray) -> None:
    """What a trial kept are the first of the images that its checkpoint gives."""
    RecordStore(str(sweep)).delete("checkpoints")
    kept = command_line.folder / "kept.npz"
    assert command_line(samples, f"{sweep}/{trial_id}", "--num", "12", "--out", str(kept))[0] == 0
    np.testing.assert_array_equal(np.load(kept)["arr_0"], drawn[:12])
    more = command_line.error(samples, f"{sweep}/{trial_id}", "--num", "13", "--out", str(sweep / "more.npz"))
    assert "has no checkpoint that can be read; it kept 12 samples" in more


def _distance(folder: Path) -> float:
    rows = RecordStore(str(folder)).read_metrics(name="fd_classifier").to_pylist()
    return float(max(rows, key=lambda row: row["step"])["value"])


def test_what_cannot_be_drawn_is_one_line(command_line: CommandLine) -> None:
    out = ("--out", str(command_line.out))
    assert "give the folder of the sweep, too" in command_line.error(samples, "jigsaw-0", *out)
    assert "has no trial 'jigsaw-0'" in command_line.error(samples, f"{command_line.folder}/jigsaw-0", *out)
    exists = command_line.error(samples, "a/jigsaw-0", "--out", str(command_line.folder))
    assert "exists; name a new folder" in exists
