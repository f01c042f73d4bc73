"""Published networks for clips as bodies of encoders: `[N, 3, T, H, W] -> [N, dimension, t, h, w]`.

torchvision or pytorchvideo builds each of them, and their names of parameters and buffers are kept; the layer
that classifies is left out. Building one imports its library and draws from the global random state.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn


def r3d_18() -> nn.Module:
    """ResNet-18 of 3D convolutions (Tran et al., arXiv 1711.11248)."""
    return _torchvision("r3d_18")


def r2plus1d_18() -> nn.Module:
    """R(2+1)D-18 (Tran et al., arXiv 1711.11248)."""
    return _torchvision("r2plus1d_18")


def s3d() -> nn.Module:
    """S3D (Xie et al., arXiv 1712.04851), for clips of at least 5 frames of 17×17 pixels.

    Its first convolution over time pads its frames beforehand, by its padding mode. If torch 2.15 pads inside
    the convolution, the gradient of a kernel of 7 at stride 2 over 5 to 7 frames is wrong on CPUs, and memory
    outside the tensor is overwritten.
    """
    body: Any = _torchvision("s3d")
    body.features[0][1][0].padding_mode = "constant"
    network: nn.Module = body
    return network


def _torchvision(name: str) -> nn.Sequential:
    from torchvision.models import video  # late: as pytorchvideo, only if a body of it is built

    layers = getattr(video, name)().named_children()
    return nn.Sequential(
        OrderedDict((name, layer) for name, layer in layers if name not in ("avgpool", "fc", "classifier"))
    )


def slow(*, depth: int = 50, width: int = 64) -> nn.Module:
    """SlowFast's slow pathway alone (Feichtenhofer et al., arXiv 1812.03982); its stem sees single frames."""
    body: nn.Module = _builder("resnet")(
        model_depth=depth, stem_dim_out=width, stem_conv_kernel_size=(1, 7, 7), head=None
    )
    return body


def csn(*, depth: int = 50, width: int = 64) -> nn.Module:
    """ir-CSN (Tran et al., arXiv 1904.02811); the pooling after its stem is the published one's."""
    return _without_head(_builder("csn")(model_depth=depth, stem_dim_out=width, stem_pool=nn.MaxPool3d))


def r2plus1d(*, depth: int = 50, width: int = 64) -> nn.Module:
    """R(2+1)D with bottlenecks (Tran et al., arXiv 1711.11248)."""
    return _without_head(_builder("r2plus1d")(model_depth=depth, stem_dim_out=width))


def x3d(*, width_factor: float = 2.0, depth_factor: float = 2.2, dimension: int = 2048) -> nn.Module:
    """X3D (Feichtenhofer, arXiv 2004.04730); XS, S and M are one network for different clips.

    Its features are what its classifier sees: the last maps pass one layer before their mean is taken, and
    another after it. So the maps here have a single position.
    """
    network: Any = _builder("x3d")(
        width_factor=width_factor,
        depth_factor=depth_factor,
        head_dim_out=dimension,
        inner_act=nn.SiLU,  # the same as their own, which asks PyTorch for what is deprecated
    )
    head = network.blocks[-1]
    head.dropout = head.proj = head.activation = head.output_pool = None
    head.pool.pool = nn.AdaptiveAvgPool3d(1)
    return network


class SlowFast(nn.Module):
    """SlowFast (Feichtenhofer et al., arXiv 1812.03982), `[N, 3, T, H, W] -> [N, 9/8 * 32 * width, 1, 1, 1]`.

    The fast pathway sees all frames, the slow one every fourth, beginning with the first: those that the
    convolutions from fast to slow are centred on. Clips may have any number of frames.
    """

    FRAMES_PER_SLOW_FRAME = 4

    def __init__(self, *, depth: int = 50, width: int = 64) -> None:
        """`width`, a multiple of 8, is that of the slow pathway; the fast one has an eighth of it."""
        super().__init__()
        self.blocks = _builder("slowfast")(
            model_depth=depth,
            stem_dim_outs=(width, width // 8),
            slowfast_fusion_conv_kernel_size=(5 if depth == 101 else 7, 1, 1),  # as published
            slowfast_fusion_conv_stride=(self.FRAMES_PER_SLOW_FRAME, 1, 1),
            head=None,
            head_pool=nn.AdaptiveAvgPool3d,
        ).blocks

    def forward(self, clips: Tensor) -> Tensor:
        pathways: Any = [clips[:, :, :: self.FRAMES_PER_SLOW_FRAME], clips]
        for block in self.blocks:
            pathways = block(pathways)
        features: Tensor = pathways
        return features


def _without_head(network: Any) -> nn.Module:
    network.blocks = network.blocks[:-1]
    body: nn.Module = network
    return body


def _builder(name: str) -> Callable[..., Any]:
    """pytorchvideo's builder, imported without a warning that TorchScript is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = import_module(f"pytorchvideo.models.{name}")
    build: Callable[..., Any] = getattr(module, f"create_{name}")
    return build


BODIES: Mapping[str, Callable[..., nn.Module]] = {
    "r3d_18": r3d_18,
    "r2plus1d_18": r2plus1d_18,
    "s3d": s3d,
    "slow": slow,
    "csn": csn,
    "r2plus1d": r2plus1d,
    "slowfast": SlowFast,
    "x3d": x3d,
}
"""The bodies from libraries; `resnet2d3d.py` is our own."""
