"""Generators and discriminators of others are measured, and refused with what does not fit."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.data.registry import ImageDataConfig, load_data
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.export_networks import export_networks
from ndabench.external.programs import discriminator_subject, generator_subject, open_program
from ndabench.measure import discriminator, generator
from ndabench.records import RecordStore
from ndabench.train import train
from tests.command_lines import CommandLine

CPU = torch.device("cpu")
DIGITS = {"name": "digits", "image_size": 8}


def grey(noise: Tensor) -> Tensor:
    """Each image has one level, that of its first noise value."""
    return noise[:, :1, None, None].clamp(-1, 1).expand(-1, 1, 8, 8)


def grey_of_class(noise: Tensor, classes: Tensor) -> Tensor:
    return (classes[:, None, None, None] * 20).to(torch.uint8).expand(-1, 1, 8, 8)


def endless(noise: Tensor) -> Tensor:
    return grey(noise) / 0


def brightness(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3))


HERE = "tests.external.test_programs"


@pytest.fixture(scope="module")
def digits() -> ImageData:
    found: ImageData = load_data(parse(ImageDataConfig, DIGITS, "test"), CPU)
    return found


def _subject(source: str, data: ImageData, **changes: Any) -> Any:
    options = {"latent_dim": 4, "classes": None, "unit": False, "seed": None, **changes}
    return generator_subject(open_program(source, CPU), data, Workers(), **options)


def test_a_function_and_its_torchscript_draw_the_same_images(digits: ImageData, tmp_path: Path) -> None:
    class Grey(nn.Module):
        def forward(self, noise: Tensor) -> Tensor:
            return noise[:, :1, None, None].clamp(-1, 1).expand(-1, 1, 8, 8)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript's end
        torch.jit.trace(Grey(), torch.zeros(2, 4)).save(str(tmp_path / "grey.pt"))
    drawn = [
        _subject(source, digits).sample(70, stream="external")
        for source in (f"{HERE}:grey", str(tmp_path / "grey.pt"))
    ]
    assert torch.equal(*drawn)
    assert drawn[0].shape == (70, 1, 8, 8)
    unit = _subject(f"{HERE}:grey", digits, unit=True).sample(70, stream="external")
    low = drawn[0].float() < 127
    assert (unit[low] == 0).all(), "what is below zero is black in [0, 1]"


def test_labels_are_those_that_images_were_drawn_for(digits: ImageData) -> None:
    subject = _subject(f"{HERE}:grey_of_class", digits, classes=10)
    subject.plan([])
    subject.num_samples = 100
    assert torch.equal(subject.samples()[:, 0, 0, 0].long(), subject.labels(100) * 20)


@pytest.mark.parametrize(
    ("source", "changes", "complaint"),
    [
        (f"{HERE}:grey", {"latent_dim": None}, "--latent-dim: is needed, since .* does not say it"),
        (f"{HERE}:grey", {"classes": 3}, r"cannot be called with \[64, 4\], \[64\] \(.*positional"),
        (f"{HERE}:endless", {}, "gives values that are not finite"),
        (f"{HERE}:brightness", {}, "cannot be called"),
        (f"{HERE}:nothing", {}, "has no function nothing"),
        ("no.such.module:f", {}, "no.such.module cannot be imported"),
        ("generator.pt", {}, "is neither a file nor a function"),
        (__file__, {}, "is no program of TorchScript"),
    ],
)
def test_what_does_not_fit_is_one_line(
    digits: ImageData, source: str, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint) as raised:
        _subject(source, digits, **changes).sample(2, stream="external")
    assert "\n" not in str(raised.value)


def test_images_of_another_size_are_refused(digits: ImageData) -> None:
    larger: ImageData = load_data(parse(ImageDataConfig, {**DIGITS, "image_size": 16}, "test"), CPU)
    with pytest.raises(UserError, match=r"gives images \[64, 1, 8, 8\], and digits has \[64, 1, 16, 16\]"):
        _subject(f"{HERE}:grey", larger).sample(2, stream="external")


def test_a_discriminator_gives_one_logit_an_image(digits: ImageData) -> None:
    images = torch.rand(3, 1, 8, 8)
    found = discriminator_subject(open_program(f"{HERE}:brightness", CPU), digits, Workers(), classes=None)
    assert torch.allclose(found.logit(images, torch.zeros(3, dtype=torch.int64)), images.mean((1, 2, 3)))
    other = discriminator_subject(open_program(f"{HERE}:grey", CPU), digits, Workers(), classes=None)
    with pytest.raises(UserError, match="not one logit for each of 3 images"):
        other.logit(images[:, 0, 0].expand(-1, 8), torch.zeros(3, dtype=torch.int64))


@pytest.mark.slow
def test_an_exported_gan_gives_its_recorded_values(command_line: CommandLine) -> None:
    """Distance of the generator, scores of the discriminator, and the report's tables."""
    sweep, exported = str(command_line.folder / "sweep"), command_line.folder / "exported"
    task = {"name": "gan", "network": "dcgan", "width": 4, "latent_dim": 8, "batch_size": 8, "num_steps": 2}
    evaluations = [{"name": "fd", "num_samples": 40}, {"name": "anomaly", "images_per_set": 50}]
    settings = {"task": {**task, "num_sheet_rows": 1, "conditional": True}, "data": DIGITS}
    file = command_line.file(**settings, evaluate=evaluations)
    assert command_line(train, file, "--out", sweep)[0] == 0
    store = RecordStore(sweep)
    (trial,) = store.read_trials().to_pylist()
    assert command_line(export_networks, f"{sweep}/{trial['trial_id']}", "--out", str(exported))[0] == 0
    (command_line.folder / "sweep" / "sweep.yaml").write_text(Path(file).read_text())
    for command, network in ((generator, "generator"), (discriminator, "discriminator")):
        assert command_line(command, str(exported / f"{network}.pt2"), "--out", sweep)[0] == 0
    rows = store.read_trials().to_pylist()
    kinds = {json.loads(row["external_json"])["kind"] for row in rows if row["external_json"] is not None}
    assert kinds == {"generator", "discriminator"}
    assert {row["arm"] for row in rows} == {"none", trial["trial_id"]}
    for name in ("fd_classifier", "anomaly_auroc"):
        values = [row for row in store.read_metrics(name=name).to_pylist() if row["step"] in (0, 2)]
        last = {row["trial_id"]: row for row in sorted(values, key=lambda row: row["step"])}
        assert len(last) == 2
        ours, theirs = last.pop(trial["trial_id"]), last.popitem()[1]
        assert theirs["value"] == pytest.approx(ours["value"], rel=1e-6), name
        assert theirs["protocol_json"] == ours["protocol_json"]


def test_the_command_says_what_is_missing(command_line: CommandLine) -> None:
    reference = ("--reference", yaml.safe_dump(DIGITS), "--out", str(command_line.out))
    assert "--latent-dim: is needed" in command_line.error(generator, f"{HERE}:grey", *reference)
    data = ("--data", yaml.safe_dump(DIGITS), "--out", str(command_line.out))
    line = command_line.error(discriminator, f"{HERE}:brightness", *data, "--evaluate", "fd")
    assert "unknown evaluation 'fd'" in line
