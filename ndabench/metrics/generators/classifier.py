"""A small classifier that ndabench trains itself, so that generators can be measured without Inception.

Recipe `cnn64-1`. Four 3×3 convolutions with batch norm and ReLU, of 32, 64, 128 and 64 channels, the first
strided so that about 16×16 positions remain of any image size; the average over positions is the feature
vector (d = 64) and one linear layer gives the logits. Cross-entropy, batches of 64, SGD with Nesterov
momentum 0.9 and weight decay 5e-4, the learning rate rising to 0.1 over the first quarter and falling to
zero; four epochs of the training split, but at least 8,192 and at most 180,000 images. float32 on one CPU
thread, wherever the run itself is, and every draw from a seeded generator: one kind of machine always gives
the same weights.

Without labels (a single class) it learns which of the four quarter turns rotated an image (Gidaris et al.,
ICLR 2018, arXiv 1803.07728).

The weights are kept in the cache under the data's content hash. They are part of the protocol by their
hash, because another processor's arithmetic may give slightly different ones: to compare runs of several
kinds of machines, let them share the cache.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ndabench.data.images import ImageData, ImageSplit, to_float
from ndabench.data.sampling import in_order, shuffled_batches
from ndabench.errors import UserError
from ndabench.metrics.generators.extraction import Extractor, compute_once, read_computed

RECIPE = "cnn64-1"
"""Part of the cache's key and of the protocol: raise its number with any change that alters the weights."""
BATCH_SIZE = 64
PEAK_LEARNING_RATE = 0.1
NUM_EPOCHS = 4
FEWEST_IMAGES, MOST_IMAGES = 8_192, 180_000
SEED = 0
NUM_TURNS = 4


class Classifier(nn.Module):
    """The network of the recipe."""

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, dimension: int = 64) -> None:
        super().__init__()
        stride = max(1, round(image_size / 16))
        self.body = nn.Sequential(
            *_convolution(in_channels, 32, stride=stride, kernel_size=max(3, 2 * stride - 1)),
            *_convolution(32, 64, stride=2),
            *_convolution(64, 128, stride=2),
            *_convolution(128, dimension),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(dimension, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 `[B, C, H, W]` to features `[B, d]` and logits `[B, k]`."""
        features = self.body(to_float(images).contiguous(memory_format=torch.channels_last))
        return features, self.head(features)


def _convolution(inputs: int, outputs: int, *, stride: int = 1, kernel_size: int = 3) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel_size, stride, kernel_size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def open_classifier(data: ImageData, *, device: torch.device) -> Extractor:
    """The classifier of the data set, trained now if the cache does not have it."""
    key = f"{data.content_hash[:32]}-{RECIPE}"
    return _load(compute_once("classifiers", key, partial(train_classifier, data)), device)


@lru_cache(maxsize=2)
def _load(entry: Path, device: torch.device) -> Extractor:
    kept = read_computed(entry)
    network = Classifier(**kept["sizes"]).to(device).to(memory_format=torch.channels_last)
    network.load_state_dict(kept["weights"])
    network.requires_grad_(False).eval()
    return Extractor(
        name="classifier",
        weights_sha256=weights_digest(kept["weights"]),
        forward=network,
        details={
            "recipe": RECIPE,
            "trained_on": kept["trained_on"],
            "validation_accuracy": kept["validation_accuracy"],
        },
    )


def train_classifier(data: ImageData) -> dict[str, Any]:
    """`sizes` to build it, `weights`, `trained_on` ("labels" or "rotations") and `validation_accuracy`.

    Raises `UserError` for unlabelled images that are not square.
    """
    channels, height, width = data.image_shape
    rotations = len(data.class_names) < 2
    if rotations and height != width:
        raise UserError(
            f"{data.name}: the classifier learns from rotations where there are no labels, and needs square "
            f"images for it, got {width}×{height}; set image_size"
        )
    sizes = {
        "in_channels": channels,
        "image_size": min(height, width),
        "num_classes": NUM_TURNS if rotations else len(data.class_names),
    }
    generator = Generator().manual_seed(SEED)
    network = _initialised(sizes, generator)
    batch_size = min(BATCH_SIZE, len(data.train))
    num_images = min(max(NUM_EPOCHS * len(data.train), FEWEST_IMAGES), MOST_IMAGES)
    num_steps = num_images // batch_size
    batches = islice(shuffled_batches(len(data.train), batch_size, seed=SEED), num_steps)
    examples = _examples(data.train, batches, rotations, generator)
    with one_thread(), torch.enable_grad():
        _fit(network, examples, num_steps)
        accuracy = _accuracy(network, data.validation, rotations)
    return {
        "sizes": sizes,
        "weights": network.state_dict(),
        "trained_on": "rotations" if rotations else "labels",
        "validation_accuracy": accuracy,
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs the block on one thread: the order of sums, and so the weights, depends on the number of
    threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _initialised(sizes: dict[str, int], generator: Generator) -> Classifier:
    """He-normal convolutions, a head of zeros: all from `generator`, nothing from global random state."""
    with torch.device("meta"):
        network = Classifier(**sizes)
    network = network.to_empty(device="cpu").to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    return network


def _examples(
    split: ImageSplit, batches: Iterator[Tensor], rotations: bool, generator: Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in split.batches(batches):
        yield _rotated(images.cpu(), generator) if rotations else (images.cpu(), labels.cpu())


def _rotated(images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Every square image turned by a random number of quarter turns, and those numbers."""
    turns = torch.randint(NUM_TURNS, (len(images),), generator=generator)
    every_turn = torch.stack([images.rot90(k, (2, 3)) for k in range(NUM_TURNS)])
    return every_turn[turns, torch.arange(len(images))], turns


def _fit(network: Classifier, examples: Iterator[tuple[Tensor, Tensor]], num_steps: int) -> None:
    optimiser = torch.optim.SGD(
        network.parameters(), lr=PEAK_LEARNING_RATE, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    network.train()
    for step, (images, labels) in enumerate(examples):
        progress = (step + 1) / (num_steps + 1)
        optimiser.param_groups[0]["lr"] = PEAK_LEARNING_RATE * min(4 * progress, (1 - progress) * 4 / 3)
        loss = F.cross_entropy(network(images)[1], labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@torch.no_grad()
def _accuracy(network: Classifier, split: ImageSplit, rotations: bool) -> float:
    network.eval()
    examples = _examples(split, in_order(len(split), 500), rotations, Generator().manual_seed(SEED))
    correct = sum(int((network(images)[1].argmax(1) == labels).sum()) for images, labels in examples)
    return round(correct / len(split), 4)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Hex SHA-256 of the weights on a CPU, whatever the file that they come from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
