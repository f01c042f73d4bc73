"""Encoders of clips: any network of 3D convolutions, of ours or of a library, made ready for pre-training.

Whatever the body, its batch norms can be split and shared by workers, its weights depend on one generator
only, and its features are the mean of its last maps over time and space. The bodies are in `clip_bodies.py`.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.models.resnet2d3d import DeepConv3d
from ndabench.models.split_batch_norm import SplitBatchNorm3d

SOUGHT = range(1, 65)
"""Numbers of frames, and of pixels a side, among which an error looks for the smallest that would do."""


class ClipEncoder(nn.Module):
    """Clips to features, `[N, C, T, H, W]` float in [-1, 1] -> `[N, dimension]` float32."""

    def __init__(
        self, body: nn.Module, dimension: int, memory_format: torch.memory_format = torch.contiguous_format
    ) -> None:
        """`body` makes maps `[N, dimension, t, h, w]` of clips."""
        super().__init__()
        self.body, self.dimension, self.memory_format = body, dimension, memory_format
        self.to(memory_format=memory_format)

    def forward(self, clips: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """`generator` is there for features modules with dropout inside; this one has none."""
        maps: Tensor = self.body(clips.contiguous(memory_format=self.memory_format))
        return maps.mean((2, 3, 4), dtype=torch.float32)


def clip_encoder(
    make_body: Callable[[], nn.Module],
    clip_shape: tuple[int, int, int, int],
    *,
    title: str,
    batch_norm_splits: int = 1,
    workers: Workers | None = None,
    generator: torch.Generator,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> ClipEncoder:
    """The encoder over what `make_body` makes, on the CPU, with weights that `generator` alone decides.

    `batch_norm_splits` and `workers` are those of `SplitBatchNorm3d`. Raises `UserError`, which calls the
    body by its `title`, where the body cannot take clips of `clip_shape`, (C, T, H, W).
    """

    def replaced(module: nn.Module) -> nn.Module:
        if isinstance(module, nn.BatchNorm3d) and not isinstance(module, SplitBatchNorm3d):
            return _split_norm(module, batch_norm_splits, workers)
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1:
            return module if isinstance(module, DeepConv3d) else _deep_convolution(module)
        return module

    body = with_modules_replaced(drawn(make_body, generator), replaced)
    dimension = tried(body, clip_shape, title=title)[0]
    return ClipEncoder(body, dimension, memory_format)


def drawn(make: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """Calls `make` with the global random state seeded from `generator`, and restores that state afterwards.

    Libraries initialise networks from nowhere else.
    """
    seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device).item()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed))
        return make()


def with_modules_replaced(network: nn.Module, replaced: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """`network` with every module inside it changed for `replaced(module)`, in place."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            setattr(parent, name, replaced(child))
    return network


def tried(body: nn.Module, clip_shape: tuple[int, int, int, int], *, title: str) -> tuple[int, ...]:
    """The shape of the maps `[dimension, t, h, w]` that `body` makes of such a clip; it computes nothing.

    Raises `UserError` where it makes none, with the smallest clip it would take.
    """
    try:
        return _shape_of_maps(body, clip_shape)
    except RuntimeError as error:
        smallest = _smallest(body, clip_shape[0])
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"the encoder {title} cannot take clips of {list(clip_shape)} (channels, frames, height, width): "
            + (f"it takes {smallest} or more" if smallest else reason)
        ) from error


def _smallest(body: nn.Module, channels: int) -> str | None:
    """The least number of frames and of pixels that will do, or None where none do."""

    def fits(frames: int, side: int) -> bool:
        try:
            return bool(_shape_of_maps(body, (channels, frames, side, side)))
        except RuntimeError:
            return False

    most = SOUGHT[-1]
    if not fits(most, most):
        return None
    frames = SOUGHT[bisect_left(SOUGHT, True, key=lambda frames: fits(frames, most))]
    side = SOUGHT[bisect_left(SOUGHT, True, key=lambda side: fits(most, side))]
    return f"{frames} frames of {side}×{side} pixels"


def _shape_of_maps(body: nn.Module, clip_shape: tuple[int, int, int, int]) -> tuple[int, ...]:
    """Found with tensors that have a shape but no content; the moments of a batch need more than one clip."""
    state = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in [*body.named_parameters(), *body.named_buffers()]
    }
    training = body.training
    body.eval()
    try:
        with torch.no_grad():
            maps: Tensor = functional_call(body, state, (torch.empty(1, *clip_shape, device="meta"),))
    finally:
        body.train(training)
    return tuple(maps.shape[1:])


def _split_norm(norm: nn.BatchNorm3d, splits: int, workers: Workers | None) -> SplitBatchNorm3d:
    """A split batch norm with the same state; momentum and eps differ between the libraries' networks."""
    split = SplitBatchNorm3d(norm.num_features, splits=splits, workers=workers)
    split.load_state_dict(norm.state_dict())
    assert norm.momentum is not None  # none of the libraries' networks asks for a plain mean
    split.eps, split.momentum = norm.eps, norm.momentum
    return split


def _deep_convolution(convolution: nn.Conv3d) -> DeepConv3d:
    """The same convolution over time, with the same parameters, safe in bfloat16 on CPUs."""
    names = ("kernel_size", "stride", "padding", "dilation")
    sizes: dict[str, Any] = {name: getattr(convolution, name) for name in names}  # of three numbers each
    deep = DeepConv3d(
        convolution.in_channels,
        convolution.out_channels,
        **sizes,
        groups=convolution.groups,
        bias=convolution.bias is not None,
        device="meta",
    )
    deep.weight, deep.bias = convolution.weight, convolution.bias
    deep.padding_mode = convolution.padding_mode
    return deep
