"""Exported networks load with torch alone, as the documents show, and give the recorded values again."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from ndabench.config import parse
from ndabench.data.images import ImageData, to_float
from ndabench.data.registry import ImageDataConfig, load_data
from ndabench.export_networks import export_networks
from ndabench.measure import images
from ndabench.models.weight_files import read_state
from ndabench.records import RecordStore
from ndabench.train import train
from tests.command_lines import CommandLine

DOCUMENT = Path(__file__).parents[2] / "docs" / "external.md"
ALONE = "import sys\nsys.modules['ndabench'] = None  # whatever imports it fails\n"
DIGITS = {"name": "digits", "image_size": 8}


def _documented(name: str) -> str:
    (block,) = re.findall(rf"<!-- tested: {name} -->\n```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    return str(block)


def _run_alone(folder: Path, *parts: str) -> None:
    """Runs the parts of a program in `folder`, in a process that cannot import ndabench."""
    program = "\n".join([ALONE, *parts])
    ended = subprocess.run([sys.executable, "-I", "-c", program], cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def _exported(command_line: CommandLine, **changes: Any) -> tuple[RecordStore, Path]:
    sweep, out = command_line.folder / "sweep", command_line.folder / "exported"
    assert command_line(train, command_line.file(**changes), "--out", str(sweep))[0] == 0
    store = RecordStore(str(sweep))
    (trial,) = store.read_trials().to_pylist()
    assert command_line(export_networks, f"{sweep}/{trial['trial_id']}", "--out", str(out))[0] == 0
    return store, out


def _recorded(store: RecordStore, name: str) -> float:
    rows = store.read_metrics(name=name).to_pylist()
    return float(max(rows, key=lambda row: row["step"])["value"])


def _header(folder: Path) -> dict[str, Any]:
    _, header, _ = (folder / "README.md").read_text().split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(header)
    return found


@pytest.mark.slow
def test_an_encoder_and_its_probe_give_the_recorded_accuracy(command_line: CommandLine) -> None:
    task = {"name": "image_contrastive", "batch_size": 8, "num_steps": 1, "method": {"name": "simclr"}}
    probe = {"name": "linear_probe_lbfgs", "penalties": [0.01], "max_iterations": 50}
    store, out = _exported(command_line, task=task, data=DIGITS, evaluate=[probe])
    data: ImageData = load_data(parse(ImageDataConfig, DIGITS, "test"), torch.device("cpu"))
    [(pixels, labels)] = data.test.batches([torch.arange(len(data.test))])
    torch.save({"images": to_float(pixels), "labels": labels}, out / "test.pt")
    _run_alone(
        out,
        _documented("loader"),
        "test = torch.load('test.pt'); images = test['images']",
        _documented("encoder"),
        "percent = 100 * (logits.argmax(1) == test['labels']).double().mean().item()",
        _documented("torchvision"),
        "with torch.no_grad():\n    error = (encoder(images) - features).abs().max().item()",
        "json.dump([percent, error], open('found.json', 'w'))",
    )
    percent, error = json.loads((out / "found.json").read_text())
    assert percent == pytest.approx(_recorded(store, "linear_probe_lbfgs"), abs=1e-9)
    assert error < 1e-4
    header = _header(out)
    assert (header["license"], header["ndabench"]["arm"], header["ndabench"]["seed"]) == (
        "unknown",
        "none",
        0,
    )
    (test,) = (one for one in header["model-index"][0]["results"] if one["dataset"]["split"] == "test")
    (metric,) = test["metrics"]
    assert metric["value"] == pytest.approx(percent)
    assert metric["args"]["protocol"] == "linear_probe_lbfgs"


@pytest.mark.slow
def test_a_generator_draws_the_images_of_the_recorded_distance(command_line: CommandLine) -> None:
    task = {"name": "gan", "network": "dcgan", "width": 4, "latent_dim": 8, "batch_size": 8, "num_steps": 2}
    data, distance = {"name": "digits", "image_size": 16}, {"name": "fd", "num_samples": 40}
    store, out = _exported(command_line, task={**task, "num_sheet_rows": 1}, data=data, evaluate=[distance])
    _run_alone(
        out,
        "import torch, json\nnum_batches = 5",
        _documented("generator"),
        "import numpy\nnumpy.savez('drawn.npz', pixels[:40].permute(0, 2, 3, 1).numpy())",
    )
    again = command_line.folder / "again"
    reference = ("--reference", yaml.safe_dump(data), "--evaluate", yaml.safe_dump(distance))
    assert command_line(images, str(out / "drawn.npz"), *reference, "--out", str(again))[0] == 0
    recorded = _recorded(store, "fd_classifier")
    assert _recorded(RecordStore(str(again)), "fd_classifier") == pytest.approx(recorded, rel=1e-6)
    discriminator = torch.export.load(out / "discriminator.pt2").module()
    logits = discriminator(torch.zeros(3, 1, 16, 16), torch.zeros(3, dtype=torch.int64))
    assert logits.shape == (3,)
    assert set(read_state(out / "discriminator.safetensors")) >= {"linear.weight", "embedding.weight"}
    values = {one["name"]: one["value"] for one in _header(out)["model-index"][0]["results"][0]["metrics"]}
    assert np.isfinite(list(values.values())).all()


def test_what_cannot_be_exported_is_one_line(command_line: CommandLine) -> None:
    here = str(command_line.folder)
    assert "exists; name a new folder" in command_line.error(export_networks, "a/b", "--out", here)
    new = ("--out", str(command_line.out))
    assert "has no trial 'b'" in command_line.error(export_networks, f"{here}/b", *new)
    line = command_line.error(export_networks, f"{here}/b", *new, "--license", "© me")
    assert "--license: needs a short name" in line
