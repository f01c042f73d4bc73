"""Images drawn again from a trial are those that its evaluation measured."""

from pathlib import Path

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
    file = command_line.file(evaluate=[{"name": "fd", "num_samples": 40}])
    assert command_line(train, file, "--out", str(sweep))[0] == 0
    (trial,) = RecordStore(str(sweep)).read_trials().to_pylist()
    assert command_line(samples, f"{sweep}/{trial['trial_id']}", "--num", "40", "--out", str(drawn))[0] == 0
    reference = ("--reference", "{name: digits, image_size: 16}", "--evaluate", "{name: fd, num_samples: 40}")
    assert command_line(images, str(drawn), *reference, "--out", str(again))[0] == 0
    assert _distance(again) == pytest.approx(_distance(sweep), rel=1e-6)


def _distance(folder: Path) -> float:
    rows = RecordStore(str(folder)).read_metrics(name="fd_classifier").to_pylist()
    return float(max(rows, key=lambda row: row["step"])["value"])


def test_what_cannot_be_drawn_is_one_line(command_line: CommandLine) -> None:
    out = ("--out", str(command_line.out))
    assert "give the folder of the sweep, too" in command_line.error(samples, "jigsaw-0", *out)
    assert "has no trial 'jigsaw-0'" in command_line.error(samples, f"{command_line.folder}/jigsaw-0", *out)
    exists = command_line.error(samples, "a/jigsaw-0", "--out", str(command_line.folder))
    assert "exists; name a new folder" in exists
