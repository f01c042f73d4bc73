"""Encoders to and from files: plain state dicts with the names that published networks use."""

import io
import re
from pathlib import Path

import torch
from torch import nn

from ndabench.errors import UserError
from ndabench.foreign_text import shown
from ndabench.models.resnet import ARCHITECTURES, Bottleneck
from ndabench.models.weight_files import State, file_sha256, plain_state, read_state

HEADS = re.compile(r"(fc|classifier|head|blocks\.\d+\.proj)\.")
"""Prefixes of the names of classifier layers in torchvision, timm and pytorchvideo."""
COUNTER = "num_batches_tracked"
"""Batch norm's count of steps, which old files lack and nothing here depends on."""


def export_encoder(encoder: nn.Module) -> bytes:
    """A file that `torch.load` reads: float32 tensors on the CPU, by the encoder's own names.

    They are torchvision's for a ResNet, and the published ones for the body of a `ClipEncoder`.
    If several workers keep separate batch-norm moments, call `average_running_moments` first.
    """
    buffer = io.BytesIO()
    torch.save(plain_state(encoder.state_dict()), buffer)
    return buffer.getvalue()


def load_encoder_weights(
    encoder: nn.Module, path: Path | str, *, title: str = "no ResNet", sha256: str | None = None
) -> None:
    """Fills `encoder` from the state dict of an equal network, its classifier ignored.

    Raises `UserError` for a file that is missing, unreadable, of another network, or where `sha256` is given
    of another content; `title` is what it then calls an encoder that is no ResNet.
    """
    read = read_state(Path(path))
    if sha256 is not None and sha256 != file_sha256(Path(path)):
        raise UserError(f"{path} holds other weights than when the sweep was read; restore the original file")
    theirs = {name: tensor for name, tensor in read.items() if not HEADS.match(name)}
    ours = encoder.state_dict()
    if _shapes(theirs) != _shapes(ours):
        raise UserError(f"{path} {_difference(theirs, ours, title)}")
    encoder.load_state_dict({**ours, **theirs})


def describe(state: State) -> str | None:
    """Whose names and shapes these are, such as `ResNet-18 of width 64 (cifar stem, 3-channel images)`.

    None where they are no ResNet's of images and no 2D3D ResNet's of clips.
    """
    stem = state.get("conv1.weight")
    if stem is None or stem.ndim not in (4, 5) or "layer4.0.conv1.weight" not in state:
        return None
    kind, seen = ("", "images") if stem.ndim == 4 else ("2D3D ", "clips")
    width, channels, *_, kernel_size = stem.shape
    return f"{kind}{_depth(state)} of width {width} ({_stem(kernel_size)}, {channels}-channel {seen})"


def _depth(state: State) -> str:
    is_bottleneck = "layer1.0.conv3.weight" in state
    nums_blocks = tuple(
        len({name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")})
        for stage in (1, 2, 3, 4)
    )
    for depth, (block, published) in ARCHITECTURES.items():
        if (block is Bottleneck, published) == (is_bottleneck, nums_blocks):
            return f"ResNet-{depth}"
    kind = "bottlenecks" if is_bottleneck else "basic blocks"
    return f"ResNet with {'-'.join(map(str, nums_blocks))} {kind}"


def _stem(kernel_size: int) -> str:
    return {3: "cifar stem", 7: "imagenet stem"}.get(kernel_size, f"a {kernel_size}×{kernel_size} stem")


def _difference(theirs: State, ours: State, title: str) -> str:
    """Describes what the file holds and what was wanted; names the first tensor that differs if both look
    like the same architecture."""
    found, wanted = describe(theirs), describe(ours)
    prefix = _prefix(theirs)
    if prefix and any(name.removeprefix(prefix) in ours for name in theirs):
        return f"holds names that begin with {shown(prefix)}; save them without, for {wanted or title}"
    if found != wanted:
        return f"holds the weights of {found or 'no ResNet'}, but the encoder is {wanted or title}"
    left, right = _shapes(theirs), _shapes(ours)
    name = next(name for name in {**right, **left} if left.get(name) != right.get(name))
    shapes = [left.get(name), right.get(name)]
    there, here = ("is missing" if shape is None else f"has shape {shape}" for shape in shapes)
    return f"does not fit {wanted or title}: {name} {there} in the file and {here} in the encoder"


def _prefix(state: State) -> str:
    """What the names of all weights begin with, up to a dot, such as `module.`; empty for nothing."""
    first, *others = state
    pieces = first.split(".")[:-1]
    prefixes = [".".join(pieces[:count]) + "." for count in range(len(pieces), 0, -1)]
    shared = (prefix for prefix in prefixes if all(name.startswith(prefix) for name in others))
    return next(shared, "")


def _shapes(state: State) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in state.items() if not name.endswith(COUNTER)}
