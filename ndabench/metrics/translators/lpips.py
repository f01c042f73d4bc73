"""LPIPS (Zhang et al., CVPR 2018, arXiv 1801.03924), version 0.1 with AlexNet: how differently do people see
two pictures?

Both pictures pass through the five convolutional stages of torchvision's AlexNet. With f_l and g_l their
features at a position of stage l, each divided by its length over channels, and the weights w_l that were
fitted to people's judgements,

    d = Σ_l mean over positions of w_l · (f_l − g_l)²

The weights are read from two files: `weights`, the state dict of AlexNet (torchvision's `alexnet-owt-…pth`),
and `heads`, the w_l (`alex.pth` of the package lpips).
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from ndabench.data.images import to_float
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.metrics.features import frozen
from ndabench.metrics.generators.classifier import weights_digest
from ndabench.metrics.results import Evaluated, by_name
from ndabench.metrics.subjects import Preparation
from ndabench.metrics.translators.config import LpipsConfig
from ndabench.metrics.translators.measures import measured_splits, pairs_protocol
from ndabench.metrics.translators.subject import TranslatorSubject
from ndabench.models.weight_files import read_state

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""How AlexNet's input is normalised, for pictures in [-1, 1]."""
STAGES = (1, 4, 7, 9, 11)
"""The ReLUs among AlexNet's layers whose outputs are compared."""
CHANNELS = (64, 192, 384, 256, 256)
SMALLEST = 32
"""Side in pixels that AlexNet's pooling needs."""
EPSILON = 1e-10
BATCH_SIZE = 32


def prepare_lpips(config: LpipsConfig, preparation: Preparation) -> None:
    """Reads the weights."""
    if preparation.data.image_shape[-1] < SMALLEST:
        raise UserError(f"lpips: needs pictures of {SMALLEST} pixels or more; set data.image_size")
    open_lpips(config.weights, config.heads)


def measure_lpips(config: LpipsConfig, subject: TranslatorSubject, *, test: bool) -> Evaluated:
    """The mean distance of translations to their targets, as `val_lpips_alex` and, with `test`,
    `lpips_alex`."""
    network = open_lpips(config.weights, config.heads).to(subject.workers.device)
    digest = weights_digest({name: tensor.cpu() for name, tensor in network.state_dict().items()})
    measurements = []
    for split in measured_splits(test):
        start = subject.shared.clock()
        _, targets, translations = subject.pairs(split)
        with frozen(network):
            distances = [
                network(to_float(ours), to_float(theirs))
                for ours, theirs in zip(
                    translations.split(BATCH_SIZE), targets.split(BATCH_SIZE), strict=True
                )
            ]
        measurements.append(
            Measurement(
                torch.cat(distances).double().mean().item(),
                better=config.better,
                protocol={**pairs_protocol(subject, split), "lpips": "0.1, alex", "weights_sha256": digest},
                seconds=subject.shared.clock() - start,
                kind="metric",
                metric="lpips_alex",
                split=split,
            )
        )
    return Evaluated(by_name(measurements))


class Lpips(nn.Module):
    """Two batches of pictures `[N, 3, H, W]` in [-1, 1] to their distances `[N]`."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import alexnet  # late: importing torchvision takes two seconds

        with torch.random.fork_rng(devices=[]):  # its first weights, which none of ours depends on
            self.layers: nn.Sequential = alexnet(weights=None).features[: STAGES[-1] + 1]
        self.heads = nn.ParameterList(torch.zeros(channels) for channels in CHANNELS)
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1))

    def forward(self, ours: Tensor, theirs: Tensor) -> Tensor:
        features = (torch.cat([ours, theirs]) - self.shift) / self.scale
        total = torch.zeros(len(ours), device=ours.device)
        for number, layer in enumerate(self.layers):
            features = layer(features)
            if number in STAGES:
                unit = features / (features.square().sum(1, keepdim=True).sqrt() + EPSILON)
                first, second = unit.chunk(2)
                weights = self.heads[STAGES.index(number)].view(1, -1, 1, 1)
                total = total + (weights * (first - second).square()).sum(1).mean((1, 2))
        return total


def open_lpips(weights: Path, heads: Path) -> Lpips:
    """The network with weights from files; `UserError` if one is missing or does not fit."""
    network = Lpips()
    alexnet, judgements = read_state(weights), read_state(heads)
    try:
        layers = {
            key.removeprefix("features."): tensor
            for key, tensor in alexnet.items()
            if key.startswith("features.") and key.removeprefix("features.") in network.layers.state_dict()
        }
        network.layers.load_state_dict(layers)
    except (RuntimeError, AttributeError):
        raise UserError(f"{weights}: not the weights of torchvision's alexnet") from None
    try:
        with torch.no_grad():
            for stage, parameter in enumerate(network.heads):
                parameter.copy_(judgements[f"lin{stage}.model.1.weight"].view(-1))
    except (KeyError, RuntimeError, AttributeError):
        raise UserError(f"{heads}: not the heads of lpips 0.1 for alexnet") from None
    return network.requires_grad_(False).eval()
