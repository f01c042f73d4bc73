"""Encoders of clips as a sweep file names them: short names, weights to start from, errors, two workers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ndabench.config import Config, parse
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.models.clip_encoders import ClipEncoder
from ndabench.models.resnet2d3d import ResNet2d3d
from ndabench.models.split_batch_norm import average_running_moments
from ndabench.models.weights import export_encoder, load_encoder_weights
from ndabench.tasks.contrastive.build_encoders import build_encoder
from ndabench.tasks.contrastive.encoders import (
    ClipEncoderConfig,
    CsnConfig,
    EncoderConfig,
    R2plus1dConfig,
    R3d18Config,
    ResNet2d3dConfig,
    SlowConfig,
    SlowFastConfig,
    X3dConfig,
)
from tests.tasks.closeness import assert_close
from tests.two_workers import on_two_workers

SHAPE = (3, 5, 16, 16)
SMALL_SLOWFAST = {"name": "slowfast", "depth": 18, "width": 8}
SMALL_X3D = {"name": "x3d", "width_factor": 0.5, "depth_factor": 1, "dimension": 16}
SMALL_DPC = {"name": "resnet2d3d", "width": 4, "stem": "cifar"}


class Task(Config):
    encoder: ClipEncoderConfig = ResNet2d3dConfig()


def read(encoder: Any) -> EncoderConfig:
    return parse(Task, {"encoder": encoder}, "task").encoder


def build(encoder: Any, seed: int = 0, workers: Workers | None = None, **options: Any) -> ClipEncoder:
    options = {"batch_norm_splits": 1, "channels_last": False, "workers": workers or Workers(), **options}
    built = build_encoder(read(encoder), SHAPE, generator=torch.Generator().manual_seed(seed), **options)
    assert isinstance(built, ClipEncoder)
    return built


@pytest.mark.parametrize(
    ("short", "config"),
    [
        ("resnet2d3d", ResNet2d3dConfig()),
        ("resnet2d3d18", ResNet2d3dConfig()),
        ("resnet2d3d34", ResNet2d3dConfig(depth=34)),
        ("r3d_18", R3d18Config()),
        ("slow", SlowConfig()),
        ("slow_r50", SlowConfig()),
        ("csn_r101", CsnConfig(depth=101)),
        ("r2plus1d_r50", R2plus1dConfig()),
        ("slowfast_r101", SlowFastConfig(depth=101)),
        ("x3d", X3dConfig()),
    ],
)
def test_short_names(short: str, config: Config) -> None:
    assert read(short) == config
    assert read({"name": config.name}) == type(config).model_validate({})


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("resnet18", "encoder.name: unknown name 'resnet18'.* slow, slowfast, x3d"),
        ("slow_r18", "encoder.depth: input should be 50, 101 or 152, got 18"),
        ("resnet2d3d50", "encoder.depth: input should be 18 or 34, got 50"),
        ({"name": "slowfast", "width": 12}, "encoder.width: input should be a multiple of 8, got 12"),
        ({"name": "r3d_18", "width": 32}, r"unknown key 'encoder.width' \(known: name, weights\)"),
    ],
)
def test_wrong_names_and_sizes_are_told(encoder: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(encoder)


def test_our_own_body_is_built_as_asked() -> None:
    encoder = build({**SMALL_DPC, "recompute": True}, batch_norm_splits=2, channels_last=True)
    assert isinstance(encoder.body, ResNet2d3d)
    assert encoder.body.recompute
    assert encoder.body.bn1.splits == 2
    assert encoder.body.memory_format is torch.channels_last_3d
    assert encoder.dimension == 16
    plain = build(SMALL_DPC, batch_norm_splits=2)
    for tensor, same in zip(encoder.parameters(), plain.parameters(), strict=True):
        assert torch.equal(tensor, same)
    maps = plain.body(clips(4))
    assert maps.shape == (4, 16, 2, 2, 2)
    torch.testing.assert_close(encoder(clips(4)), maps.mean((2, 3, 4)))


@pytest.mark.parametrize("encoder", [SMALL_SLOWFAST, SMALL_X3D])
def test_memory_format_changes_no_features(encoder: Any) -> None:
    torch.testing.assert_close(build(encoder, channels_last=True)(clips()), build(encoder)(clips()))


@pytest.mark.parametrize("encoder", [SMALL_DPC, SMALL_SLOWFAST, SMALL_X3D])
def test_what_one_trial_exports_another_starts_from(tmp_path: Path, encoder: Any) -> None:
    """With a classifier as well, as published files have."""
    ours = build(encoder)
    ours(clips())
    state_path = tmp_path / "encoder.pt"
    state_path.write_bytes(export_encoder(ours.body))
    state = torch.load(state_path, weights_only=True)
    assert not any(name.startswith("body.") for name in state)
    torch.save({**state, "fc.weight": torch.ones(1), "blocks.6.proj.weight": torch.ones(1)}, state_path)
    other = build({**encoder, "weights": str(state_path)}, seed=1)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_weights_of_another_network_are_refused_in_one_line(tmp_path: Path) -> None:
    dpc, slowfast = tmp_path / "dpc.pt", tmp_path / "slowfast.pt"
    dpc.write_bytes(export_encoder(build(SMALL_DPC).body))
    slowfast.write_bytes(export_encoder(build(SMALL_SLOWFAST).body))
    small = "2D3D ResNet-18 of width 4 (cifar stem, 3-channel clips)"
    cases = [
        ({**SMALL_DPC, "depth": 34}, dpc, f"{small}, but the encoder is 2D3D ResNet-34 of width 4 (cifar"),
        ({**SMALL_DPC, "width": 8}, dpc, f"{small}, but the encoder is 2D3D ResNet-18 of width 8 (cifar"),
        (SMALL_DPC, slowfast, f"holds the weights of no ResNet, but the encoder is {small}"),
        (SMALL_SLOWFAST, dpc, f"the weights of {small}, but the encoder is slowfast (depth 18, width 8)"),
        (
            {**SMALL_SLOWFAST, "width": 16},
            slowfast,
            "does not fit slowfast (depth 18, width 16): blocks.0.multipathway_blocks.0.conv.weight has "
            "shape [8, 3, 1, 7, 7] in the file and has shape [16, 3, 1, 7, 7] in the encoder",
        ),
        (SMALL_DPC, tmp_path / "none.pt", "there is no file of encoder weights at"),
    ]
    for encoder, path, message in cases:
        with pytest.raises(UserError) as error:
            build({**encoder, "weights": str(path)})
        assert message in str(error.value)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="the encoder is ResNet2d3d"):
        load_encoder_weights(torch.nn.Linear(1, 1), dpc, title="ResNet2d3d")


def clips(count: int = 2) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def trained(workers: Workers) -> dict[str, Any]:
    """A few steps towards features that know each clip's place in the batch."""
    encoder = build(SMALL_SLOWFAST, workers=workers)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.05)
    losses = []
    for step in range(3):
        batch = clips(8).roll(step, 0) * torch.arange(1, 9.0).view(-1, 1, 1, 1, 1) / 8
        targets = torch.linspace(0, 1, 8 * encoder.dimension).view(8, -1)
        loss = (encoder(workers.shard(batch)) - workers.shard(targets)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        workers.average_gradients(encoder.parameters())
        optimizer.step()
        losses.append(float(workers.all_reduce_sum(loss.detach()) / workers.world_size))
    average_running_moments(encoder, workers)
    return {"losses": losses, **encoder.state_dict()}


@pytest.mark.slow
def test_two_workers_train_as_one(tmp_path: Path) -> None:
    main, other = on_two_workers(trained, tmp_path)
    alone = trained(Workers())
    assert_close(main, alone, 1e-4)
    assert_close(other, main, 0.0)
