"""Encoders to files, from files, and what is said of the wrong file."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ndabench.errors import UserError
from ndabench.models.resnet import ResNet
from ndabench.models.weights import export_encoder, load_encoder_weights


def encoder(seed: int = 0, **options: Any) -> ResNet:
    sizes = {"depth": 18, "width": 4, "stem": "cifar", **options}
    return ResNet(**sizes, generator=torch.Generator().manual_seed(seed))


def saved(path: Path, state: Any) -> Path:
    torch.save(state, path)
    return path


def test_what_is_exported_loads_again(tmp_path: Path) -> None:
    ours = encoder(memory_format=torch.channels_last)
    ours(torch.randn(2, 3, 8, 8))
    (tmp_path / "encoder.pt").write_bytes(export_encoder(ours.bfloat16()))
    other = encoder(seed=1)
    load_encoder_weights(other, tmp_path / "encoder.pt")
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name].to(tensor.dtype)), name


@pytest.mark.parametrize("depth", [18, 50])
def test_torchvision_loads_what_is_exported_less_the_head(depth: int) -> None:
    import torchvision

    ours = encoder(depth=depth, width=64, stem="imagenet", memory_format=torch.channels_last)
    state = torch.load(io.BytesIO(export_encoder(ours)), weights_only=True)
    assert all(tensor.is_contiguous() for tensor in state.values())
    with torch.random.fork_rng():
        theirs = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert missing == ["fc.weight", "fc.bias"]
    assert not unexpected


def test_a_classifier_and_missing_counters_do_not_matter(tmp_path: Path) -> None:
    state = {name: t for name, t in encoder().state_dict().items() if "num_batches" not in name}
    path = saved(tmp_path / "x.pt", state | nn.Linear(32, 10).state_dict(prefix="fc."))
    other = encoder(seed=1)
    load_encoder_weights(other, path)
    assert torch.equal(other.get_parameter("layer4.1.conv2.weight"), state["layer4.1.conv2.weight"])


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"depth": 34}, "ResNet-34 of width 4 (cifar stem, 3-channel images)"),
        ({"depth": 50}, "ResNet-50 of width 4 (cifar stem, 3-channel images)"),
        ({"width": 8}, "ResNet-18 of width 8 (cifar stem, 3-channel images)"),
        ({"stem": "imagenet"}, "ResNet-18 of width 4 (imagenet stem, 3-channel images)"),
        ({"image_channels": 1}, "ResNet-18 of width 4 (cifar stem, 1-channel images)"),
    ],
)
def test_another_architecture_is_named(tmp_path: Path, options: dict[str, Any], found: str) -> None:
    path = saved(tmp_path / "other.pt", encoder(**options).state_dict())
    ours = encoder()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(UserError) as error:
        load_encoder_weights(ours, path)
    wanted = "ResNet-18 of width 4 (cifar stem, 3-channel images)"
    assert str(error.value) == f"{path} holds the weights of {found}, but the encoder is {wanted}"
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def _less_one(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name != "bn1.running_var"}


def test_other_networks_and_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "noise.pt").write_bytes(b"not a state dict\n\x00\x01")
    truncated = tmp_path / "truncated.pt"
    truncated.write_bytes(export_encoder(encoder())[:5000])
    cases = {
        tmp_path / "missing.pt": "there is no such file of weights",
        tmp_path: "there is no such file of weights",
        tmp_path / "noise.pt": "cannot be read as weights without running code",
        truncated: "cannot be read as weights without running code",
        saved(tmp_path / "checkpoint.pt", {"step": 3, "network": {}}): "holds no state dict",
        saved(tmp_path / "numbered.pt", {0: torch.ones(2)}): "holds no state dict",
        saved(tmp_path / "list.pt", [1, 2]): "holds no state dict",
        saved(tmp_path / "linear.pt", nn.Linear(2, 2).state_dict()): "the weights of no ResNet, but",
        saved(tmp_path / "less.pt", _less_one(encoder().state_dict())): "bn1.running_var is missing in the",
    }
    for path, message in cases.items():
        with pytest.raises(UserError, match=message) as error:
            load_encoder_weights(encoder(), path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
