"""An encoder of images or clips that others trained: its architecture, its weights, what it wants to see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.data.videos.clip_sampling import ClipSampling
from ndabench.data.videos.clips import ClipData
from ndabench.distributed import Workers
from ndabench.errors import UserError, unknown
from ndabench.external.checkpoints import (
    NUMBERED,
    Match,
    match,
    prefixes_of,
    renamed,
    require_whole,
)
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.models.clip_encoders import ClipEncoder
from ndabench.models.resnet import ARCHITECTURES, Bottleneck
from ndabench.models.weight_files import State, file_sha256, read_state
from ndabench.tasks.contrastive.build_encoders import build_encoder
from ndabench.tasks.contrastive.encoders import ClipEncoderConfig, ImageEncoderConfig

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NORMALISATIONS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "half": ((0.5,), (0.5,)),
    "unit": ((0.0,), (1.0,)),
    "imagenet": IMAGENET,
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "kinetics": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    "pytorchvideo": ((0.45,), (0.225,)),
}
"""Means and deviations of channels in [0, 1] by which inputs are normalised; `half` gives [-1, 1].

`kinetics` is torchvision's for its networks of clips."""


class Normalised(nn.Module):
    """An encoder that is fed as it was in its training: (x - mean) / deviation of x in [0, 1]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, encoder: nn.Module, normalisation: str, shape: Sequence[int]) -> None:
        """`shape` is that of an image (C, H, W) or a clip (C, T, H, W)."""
        super().__init__()
        mean, deviation = NORMALISATIONS[normalisation]
        self.encoder, self.dimension = encoder, _dimension(encoder, shape)
        of_channels = (-1, *[1] * (len(shape) - 1))
        self.register_buffer("mean", torch.tensor(mean).view(of_channels))
        self.register_buffer("deviation", torch.tensor(deviation).view(of_channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """Images or clips in [-1, 1], `[N, C, ..., H, W]`, to features `[N, dimension]`."""
        features: Tensor = self.encoder(((inputs + 1) / 2 - self.mean) / self.deviation)
        return features.flatten(1)


@dataclass(frozen=True)
class ExternalEncoder:
    """An encoder with the weights of a checkpoint."""

    network: Normalised
    title: str
    match: Match
    sha256: str


def clip_sampling(
    data: ImageData | ClipData, frames: int | None, stride: int, size: int | None
) -> ClipSampling | None:
    """How clips are cut out of videos; None for images. `UserError` where it is open or does not fit."""
    if isinstance(data, ImageData):
        return None
    if not isinstance(data, ClipData):
        raise UserError("--data: holds neither images nor videos")
    if frames is None:
        raise UserError("--frames: is needed: how many frames does the encoder see at once?")
    sampling = ClipSampling(frames, stride, size)
    sampling.check(data)
    return sampling


def encoder_subject(
    network: nn.Module, data: Any, sampling: ClipSampling | None, workers: Workers
) -> ImageEncoderSubject | ClipEncoderSubject:
    """The encoder with the data that it is measured on."""
    if sampling is None:
        return ImageEncoderSubject(network, data, seed=0, workers=workers)
    return ClipEncoderSubject(network, data, sampling, seed=0, workers=workers)


def open_encoder(
    path: Path,
    shape: Sequence[int],
    device: torch.device,
    *,
    encoder: str | None,
    normalise: str | None,
    prefix: str | None,
    partly: bool,
) -> ExternalEncoder:
    """The encoder in a checkpoint, for images of `shape` (C, H, W) or clips (C, T, H, W).

    `encoder` is an entry of `ENCODERS`, `torchvision:NAME` or `timm:NAME`; None recognises a ResNet of
    images. Raises `UserError` for a file, an architecture or a normalisation that does not fit.
    """
    if normalise is None:
        raise UserError(f"--normalise: is needed: how was it fed? ({', '.join(NORMALISATIONS)})")
    if normalise not in NORMALISATIONS:
        raise unknown("normalisation", normalise, NORMALISATIONS)
    if len(NORMALISATIONS[normalise][0]) not in (1, shape[0]):
        raise UserError(f"--normalise: {normalise} is of 3 channels, the data have {shape[0]}")
    if encoder is None and len(shape) == 4:
        raise UserError("--encoder: is needed for clips, such as r3d_18, slow_r50 or torchvision:mvit_v2_s")
    state = read_state(path)
    network, title = _build(encoder or _recognised(state, path, prefix), shape)
    body = network.body if isinstance(network, ClipEncoder) else network
    found = match(state, body.state_dict(), prefix)
    require_whole(found, path, title, partly=partly)
    body.load_state_dict({**body.state_dict(), **found.state})
    network.eval().requires_grad_(False)
    return ExternalEncoder(
        Normalised(network, normalise, shape).to(device),
        title,
        found,
        file_sha256(path),
    )


def _recognised(state: State, path: Path, prefix: str | None) -> str:
    """The configuration of the ResNet whose names are somewhere in the file, as YAML."""
    for one in [prefix] if prefix is not None else dict.fromkeys(prefixes_of(state)):
        for layout in NUMBERED:
            weights = {name: tensor for name, (_, tensor) in renamed(state, one, layout).items()}
            if (config := _resnet(weights)) is not None:
                return config
    raise UserError(f"{path}: no ResNet is recognised in it; name its --encoder")


def _resnet(state: State) -> str | None:
    stem = state.get("conv1.weight")
    if stem is None or stem.ndim != 4 or "layer4.0.conv1.weight" not in state:
        return None
    blocks = tuple(
        len({name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")})
        for stage in (1, 2, 3, 4)
    )
    bottleneck = "layer1.0.conv3.weight" in state
    depths = [
        depth
        for depth, (block, published) in ARCHITECTURES.items()
        if (block is Bottleneck, published) == (bottleneck, blocks)
    ]
    kind = {3: "cifar", 7: "imagenet"}.get(stem.shape[-1])
    if not depths or kind is None:
        return None
    return f"{{name: resnet, depth: {depths[0]}, width: {stem.shape[0]}, stem: {kind}}}"


def _build(encoder: str, shape: Sequence[int]) -> tuple[nn.Module, str]:
    library, colon, name = encoder.partition(":")
    if colon and library in LIBRARIES:
        return LIBRARIES[library](name), encoder
    # late: only for a resnet spelled as YAML
    from ndabench.yaml_reading import parse_yaml

    kind: Any = ImageEncoderConfig if len(shape) == 3 else ClipEncoderConfig
    network = build_encoder(
        parse(kind, parse_yaml(encoder), "--encoder"),
        tuple(shape),
        batch_norm_splits=1,
        channels_last=True,
        generator=torch.Generator().manual_seed(0),
        workers=Workers(),
    )
    return network, encoder.strip("{}").replace("name: ", "")


def _torchvision(name: str) -> nn.Module:
    """A classifier of torchvision, of images or clips, without its last layers."""
    # late: only if one of its networks is named
    from torchvision.models import get_model, list_models

    if name not in list_models():
        raise unknown("model of torchvision", name, list_models())
    network: nn.Module = get_model(name, weights=None)
    for head in ("fc", "classifier", "heads", "head"):
        if hasattr(network, head):
            setattr(network, head, nn.Identity())
            return network
    raise UserError(f"--encoder: torchvision's {name} has no classifier to leave out")


def _timm(name: str) -> nn.Module:
    try:
        # late: an optional package
        import timm
    except ImportError:
        raise UserError("--encoder: timm is not installed; pip install timm") from None
    if name not in timm.list_models():
        raise unknown("model of timm", name, timm.list_models())
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    return network


LIBRARIES: Mapping[str, Any] = {"torchvision": _torchvision, "timm": _timm}


@torch.no_grad()
def _dimension(network: nn.Module, shape: Sequence[int]) -> int:
    """The number of features of one image or clip; `UserError` where the network cannot take it."""
    try:
        device = next(network.parameters()).device
        return int(network(torch.zeros(1, *shape, device=device)).flatten(1).shape[1])
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"inputs of shape {list(shape)} do not fit the encoder ({reason}); set image_size of images, or "
            "frame_size, --frames and --size of clips"
        ) from None
