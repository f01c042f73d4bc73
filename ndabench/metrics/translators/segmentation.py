"""Are the classes of a label map where the map says, in the picture that was made from it?

A segmenter that was trained on real pairs looks at the translation and names the class of each pixel; the
label map says what is right. From one confusion matrix over all pixels of a split follow, as for Cityscapes
(Long et al., CVPR 2015), with n_ij pixels of class i taken for j and t_i = Σ_j n_ij,

    pixel accuracy  Σ_i n_ii / Σ_i t_i
    class accuracy  mean of n_ii / t_i over the classes that occur
    mean IoU        mean of n_ii / (t_i + Σ_j n_ji − n_ii) over the classes that occur or are named

Recipe `unet16-1` of our own segmenter: the U-Net of `models/pix2pix.py` with width 16 and without dropout;
cross-entropy without the ignored pixels; batches of 8 real training targets, half of them mirrored; Adam, the
learning rate falling from 2e-3 to zero along a cosine; eight epochs, but at least 4,800 and at most 60,000
pictures. float32, on one CPU thread, every draw from a seeded generator. The weights are kept in the cache
under the data's content hash, and are part of the protocol by their hash, with what they score on the real
targets of the split: no translation is expected to score more.
"""

import math
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ndabench.data.images import to_float
from ndabench.data.pairs.pairs import PairedData
from ndabench.data.pairs.source import Palette
from ndabench.data.sampling import shuffled_batches
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.metrics.features import frozen
from ndabench.metrics.generators.classifier import one_thread, weights_digest
from ndabench.metrics.generators.extraction import compute_once, read_computed
from ndabench.metrics.results import Evaluated, by_name
from ndabench.metrics.subjects import Preparation
from ndabench.metrics.translators.config import SegmentationConfig
from ndabench.metrics.translators.measures import measured_splits, pairs_protocol
from ndabench.metrics.translators.subject import TranslatorSubject
from ndabench.models.pix2pix import UNet
from ndabench.models.weight_files import read_state

RECIPE = "unet16-1"
"""Part of the cache's key and of the protocol: raise its number with any change that alters the weights."""
WIDTH, BATCH_SIZE, PEAK_LEARNING_RATE, NUM_EPOCHS, SEED = 16, 8, 2e-3, 8, 0
FEWEST_PICTURES, MOST_PICTURES = 4_800, 60_000
EVALUATION_BATCH = 16
IGNORED = -1
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def prepare_segmentation(config: SegmentationConfig, preparation: Preparation) -> None:
    """Trains the segmenter where it is needed and not cached yet, or reads the weights."""
    open_segmenter(config, preparation.data, preparation.device)


def measure_segmentation(config: SegmentationConfig, subject: TranslatorSubject, *, test: bool) -> Evaluated:
    """The three scores of translations, in percent, as `val_…` and, with `test`, also of the test split."""
    palette = required_palette(subject.data)
    segmenter, details = open_segmenter(config, subject.data, subject.workers.device)
    measurements = []
    for split in measured_splits(test):
        start = subject.shared.clock()
        inputs, targets, translations = subject.pairs(split)
        classes = class_map(inputs, palette)
        found = scores(confusion(segmenter, translations, classes, len(palette.colours)))
        real = scores(confusion(segmenter, targets, classes, len(palette.colours)))
        seconds = (subject.shared.clock() - start) / len(found)
        for name, value in found.items():
            protocol = {
                **pairs_protocol(subject, split),
                **details,
                "classes": len(palette.colours),
                "of_real_targets": round(real[name], 3),
            }
            measurements.append(
                Measurement(
                    value,
                    better=config.better,
                    unit="%",
                    protocol=protocol,
                    seconds=seconds,
                    kind="metric",
                    metric=f"{name}_{config.segmenter}",
                    split=split,
                )
            )
    return Evaluated(by_name(measurements))


def required_palette(data: PairedData) -> Palette:
    """The classes of the inputs; `UserError` where these are no label maps."""
    if data.palette is None:
        raise UserError(
            f"segmentation: the inputs of {data.name} are no label maps with known colours; set "
            "data.direction, or name label_map and colours of a paired_folder"
        )
    return data.palette


def class_map(label_maps: Tensor, palette: Palette) -> Tensor:
    """The class of each pixel: uint8 `[N, 3, H, W]` to int64 `[N, H, W]`, `IGNORED` where it has none."""
    known = torch.tensor([*palette.colours.values(), *palette.ignored], device=label_maps.device)
    nearest = []
    for one in label_maps.movedim(1, -1).int():
        distances = (one.unsqueeze(-2) - known).square().sum(-1)
        nearest.append(distances.argmin(-1))
    classes = torch.stack(nearest)
    return torch.where(classes < len(palette.colours), classes, IGNORED)


def confusion(segmenter: nn.Module, pictures: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """int64 `[K, K]`: how many pixels of each class (rows) the segmenter takes for each class (columns)."""
    counts = torch.zeros(num_classes**2, dtype=torch.int64, device=pictures.device)
    batches = zip(pictures.split(EVALUATION_BATCH), classes.split(EVALUATION_BATCH), strict=True)
    with frozen(segmenter):
        for images, wanted in batches:
            found, counted = segmenter(to_float(images)).argmax(1), wanted != IGNORED
            cells = wanted[counted] * num_classes + found[counted]
            counts += torch.bincount(cells, minlength=num_classes**2)
    return counts.view(num_classes, num_classes).cpu()


def scores(counts: Tensor) -> dict[str, float]:
    """The scores, in percent, of a confusion matrix `[K, K]`."""
    matrix = counts.double()
    right, wanted, found = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    return {
        "mean_iou": 100 * (right / (wanted + found - right)).nanmean().item(),
        "pixel_accuracy": 100 * (right.sum() / wanted.sum()).item(),
        "class_accuracy": 100 * (right / wanted).nanmean().item(),
    }


def open_segmenter(
    config: SegmentationConfig, data: PairedData, device: torch.device
) -> tuple[nn.Module, dict[str, Any]]:
    """Float pictures in [-1, 1], `[N, 3, S, S]`, to logits `[N, K, S, S]`; and its part of the protocol.

    Raises `UserError` where the inputs are no label maps, and for weights that do not fit.
    """
    palette = required_palette(data)
    if config.weights is not None:
        network = open_torchvision(config.segmenter, config.weights, len(palette.colours)).to(device)
        digest = weights_digest({name: tensor.cpu() for name, tensor in network.state_dict().items()})
        return network, {"segmenter": config.segmenter, "weights_sha256": digest}
    key = f"{data.content_hash[:32]}-{RECIPE}"
    return _load(compute_once("segmenters", key, partial(train_segmenter, data, palette)), device)


@lru_cache(maxsize=2)
def _load(entry: Path, device: torch.device) -> tuple[nn.Module, dict[str, Any]]:
    kept = read_computed(entry)
    network = UNet(**kept["sizes"], generator=Generator())
    network.load_state_dict(kept["weights"])
    network.requires_grad_(False).eval()
    details = {"segmenter": "unet", "recipe": RECIPE, "weights_sha256": weights_digest(kept["weights"])}
    return network.to(device), details


def train_segmenter(data: PairedData, palette: Palette) -> dict[str, Any]:
    """`sizes` to build it, and `weights`."""
    generator = Generator().manual_seed(SEED)
    sizes = {
        "size": data.image_shape[-1],
        "in_channels": 3,
        "out_channels": len(palette.colours),
        "width": WIDTH,
    }
    network = UNet(**sizes, generator=generator)
    batch_size = min(BATCH_SIZE, len(data.train))
    num_pictures = min(max(NUM_EPOCHS * len(data.train), FEWEST_PICTURES), MOST_PICTURES)
    num_steps = num_pictures // batch_size
    order = list(islice(shuffled_batches(len(data.train), batch_size, seed=SEED), num_steps))
    examples = zip(data.train.batches(order), data.inputs["train"].batches(order), strict=True)
    optimiser = torch.optim.Adam(network.parameters())
    with one_thread(), torch.enable_grad():
        for step, ((targets, _), (inputs, _)) in enumerate(examples):
            optimiser.param_groups[0]["lr"] = (
                PEAK_LEARNING_RATE * math.cos(math.pi / 2 * step / num_steps) ** 2
            )
            pictures, wanted = to_float(targets.cpu()), class_map(inputs.cpu(), palette)
            mirrored = torch.rand(batch_size, generator=generator) < 0.5
            pictures[mirrored], wanted[mirrored] = pictures[mirrored].flip(-1), wanted[mirrored].flip(-1)
            loss = F.cross_entropy(network(pictures), wanted, ignore_index=IGNORED)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return {"sizes": sizes, "weights": network.state_dict()}


class Torchvision(nn.Module):
    """A segmenter of torchvision, which sees pictures normalised as ImageNet's are."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.network(((pictures + 1) / 2 - self.mean) / self.std)["out"]
        return logits


def open_torchvision(name: str, weights: Path, num_classes: int) -> nn.Module:
    """torchvision's segmenter of that name with the weights in a file; `UserError` where they do not fit."""
    from torchvision.models import segmentation  # late: importing torchvision takes two seconds

    network = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=num_classes)
    state = read_state(weights)
    try:
        network.load_state_dict(
            {key: value for key, value in state.items() if not key.startswith("aux_classifier.")}
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{weights}: no weights of a {name} for {num_classes} classes ({reason})") from None
    return Torchvision(network).requires_grad_(False).eval()
