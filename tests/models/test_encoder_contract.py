"""What every encoder of images or clips keeps to, the toy of `examples/plugin` included; see `Encoder`.

`test_clip_encoders.py` compares the clip encoders with the networks that they are taken from.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.features import frozen
from ndabench.models.clip_encoders import ClipEncoder
from ndabench.models.weights import export_encoder
from ndabench.tasks.contrastive.build_encoders import build_encoder
from ndabench.tasks.contrastive.config import ImageContrastiveConfig, VideoContrastiveConfig
from ndabench.tasks.contrastive.encoders import ENCODERS
from tests.registrations import toy_registered

SMALL: Mapping[str, Mapping[str, Any]] = {
    "resnet": {"width": 4},
    "pixels": {},
    "resnet2d3d": {"width": 4, "stem": "cifar"},
    "r3d_18": {},
    "r2plus1d_18": {},
    "s3d": {},
    "slow": {"width": 4},
    "csn": {"width": 4},
    "r2plus1d": {"width": 4},
    "slowfast": {"depth": 18, "width": 8},
    "x3d": {"width_factor": 0.5, "depth_factor": 0.5, "dimension": 16},
    "toy_means": {"dimension": 5},
}
DIMENSIONS = {
    "resnet": 32,
    "pixels": 3 * 16 * 20,
    "resnet2d3d": 16,
    "r3d_18": 512,
    "r2plus1d_18": 512,
    "s3d": 1024,
    "slow": 128,
    "csn": 128,
    "r2plus1d": 128,
    "slowfast": 288,
    "x3d": 16,
    "toy_means": 5,
}
"""Of the sizes in `SMALL`."""
FIRST_WEIGHTS = {
    "resnet": "conv1.weight",
    "resnet2d3d": "conv1.weight",
    "r3d_18": "stem.0.weight",
    "r2plus1d_18": "stem.0.weight",
    "s3d": "features.0.0.0.weight",
    "slow": "blocks.0.conv.weight",
    "csn": "blocks.0.conv.weight",
    "r2plus1d": "blocks.0.conv.weight",
    "slowfast": "blocks.0.multipathway_blocks.0.conv.weight",
    "x3d": "blocks.0.conv.conv_t.weight",
    "toy_means": "linear.weight",
}
"""The published name of the first weight in a file; raw pixels have none."""
LARGE = ("r3d_18", "r2plus1d_18", "s3d")
"""They come in one size only, of 8 to 33 million parameters."""
every_encoder = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in SMALL]
)


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    with toy_registered():
        yield


def shape_of(name: str) -> tuple[int, ...]:
    return (3, 16, 20) if ENCODERS[name].encodes == "images" else (3, 5, 18, 20)


def built(
    name: str, *, seed: int = 0, shape: tuple[int, ...] | None = None, splits: int = 1, **keys: Any
) -> Any:
    config = ENCODERS[name].config(name=name, **{**SMALL[name], **keys})
    return build_encoder(
        config,
        shape or shape_of(name),
        batch_norm_splits=splits,
        channels_last=False,
        generator=torch.Generator().manual_seed(seed),
        workers=Workers(),
    )


def shown(shape: tuple[int, ...], count: int = 4, seed: int = 3) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def exported(encoder: nn.Module) -> nn.Module:
    """What a trial writes to `encoder.pt`."""
    return encoder.body if isinstance(encoder, ClipEncoder) else encoder


def test_the_suite_runs_over_every_encoder_of_ours_and_the_toy() -> None:
    assert set(ENCODERS) == set(SMALL) == set(DIMENSIONS)
    assert {name for name, entry in ENCODERS.items() if entry.trainable} == set(FIRST_WEIGHTS)


@every_encoder
def test_a_sweep_file_names_it(name: str) -> None:
    tasks = (ImageContrastiveConfig, VideoContrastiveConfig)
    task, other = tasks if ENCODERS[name].encodes == "images" else reversed(tasks)
    keys = {"num_steps": 0, "method": "moco", "encoder": {"name": name, **SMALL[name]}}
    read = parse(task, keys, "task")
    assert isinstance(read, tasks)
    assert isinstance(read.encoder, ENCODERS[name].config)
    assert parse(task, read.model_dump(mode="json"), "task") == read
    with pytest.raises(UserError, match=f"encoder.name: unknown name '{name}'"):
        parse(other, keys, "task")


@every_encoder
def test_it_makes_features_of_its_dimension(name: str) -> None:
    """Measuring changes nothing, and the features of an image are its own."""
    encoder = built(name)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    batch = shown(shape_of(name))
    with torch.no_grad(), frozen(encoder):
        features, alone = encoder(batch), encoder(batch[:1])
    assert features.shape == (4, DIMENSIONS[name])
    assert encoder.dimension == DIMENSIONS[name]
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    torch.testing.assert_close(alone, features[:1], rtol=1e-4, atol=1e-5)
    assert features.unique(dim=0).shape[0] == 4, "another image has other features"
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


@every_encoder
def test_it_takes_images_of_other_sizes_and_channels_or_says_which(name: str) -> None:
    channels, *frames, height, width = shape_of(name)
    for shape in ((channels, *frames, 2 * height, height), (1, *frames, height, width)):
        try:
            encoder = built(name, shape=shape)
        except UserError as error:
            refused = str(error)
        else:
            assert encoder(shown(shape, 2)).shape == (2, encoder.dimension)
            continue
        assert str(list(shape)) in refused
        assert "\n" not in refused


@every_encoder
def test_its_generator_alone_decides_the_weights(name: str) -> None:
    before = torch.get_rng_state()
    first, same, other = (built(name, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert ENCODERS[name].trainable == any(not torch.equal(first[key], other[key]) for key in first)


@every_encoder
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    encoder = built(name)
    parameters = dict(encoder.named_parameters())
    assert ENCODERS[name].trainable == bool(parameters)
    if parameters:
        encoder(shown(shape_of(name))).square().sum().backward()
    for key, parameter in parameters.items():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in FIRST_WEIGHTS]
)
def test_its_file_has_published_names_and_another_starts_from_it(name: str, tmp_path: Path) -> None:
    encoder = built(name)
    content = export_encoder(exported(encoder))
    names = list(torch.load(io.BytesIO(content), weights_only=True))
    assert names[0] == FIRST_WEIGHTS[name]
    other = built(name, seed=1)
    if "weights" in ENCODERS[name].config.model_fields:
        (tmp_path / "encoder.pt").write_bytes(content)
        other = built(name, seed=1, weights=str(tmp_path / "encoder.pt"))
    else:
        exported(other).load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    left, right = encoder.state_dict(), other.state_dict()
    assert list(left) == list(right)
    assert all(torch.equal(left[key], right[key]) for key in left)
