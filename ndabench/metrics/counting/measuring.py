"""Whether a generator keeps to the number of objects in its training images (Zhao et al., NeurIPS 2018; the
paper's numerosity experiment).

Of `num_samples` generated images these shares are measured, in percent:

- `count_wrong`: images whose number of objects is none of those that the training data's classes name, or
  that hold something that is no object;
- `count_wrong_clear`: the wrong numbers among the images that hold nothing but objects; 100 without any;
- `count_unclear`: images that hold something that is no object;
- `count_wrong_trained`: wrong numbers by a second counter, a classifier of numbers trained on `counter`,
  which gives every image one of the numbers that it knows.

The first three are by the exact counter of `blobs.py`. Every protocol has the error of its counter on the
real images of the split: those whose number it gets wrong, in percent. A conditional generator is measured as
a whole: its images may have the number of any class.
"""

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ndabench.data.images import ImageData, ImageSplit
from ndabench.data.registry import load_data
from ndabench.errors import UserError
from ndabench.measurement import MeasuredSplit, Measurement
from ndabench.metrics.counting.blobs import BlobCounter, Counts, Integers
from ndabench.metrics.counting.config import CountConfig, numbers_of
from ndabench.metrics.features import BATCH_SIZE
from ndabench.metrics.generators.classifier import open_classifier
from ndabench.metrics.generators.extraction import Extractor, extract
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.metrics.results import Evaluated, by_name
from ndabench.metrics.subjects import Preparation

MOST_FITTED = 2000
"""Training images that the exact counter is fitted to."""


def prepare_counters(config: CountConfig, preparation: Preparation) -> None:
    """Fits the exact counter, and trains the second one where it is not cached yet."""
    fit_counter(preparation.data)
    if config.counter is not None:
        TrainedCounter(config, preparation.data, preparation.device)


def fit_counter(data: ImageData) -> BlobCounter:
    """The exact counter of objects like those in the training images; `UserError` where there are none."""
    if not any(numbers_of(data)):
        raise UserError(f"count: images of {data.name} hold no object; name a count above 0")
    return BlobCounter.fit(_all_images(data.train, MOST_FITTED).cpu().numpy())


class TrainedCounter:
    """A classifier of numbers of objects."""

    def __init__(self, config: CountConfig, data: ImageData, device: torch.device) -> None:
        """`UserError` for images that are not like those of `data`, or that lack one of its numbers."""
        assert config.counter is not None
        self.learned_from: ImageData = load_data(config.counter, device)
        self.numbers = np.array(numbers_of(self.learned_from))
        name = self.learned_from.name
        if self.learned_from.image_shape != data.image_shape:
            have, need = ("×".join(map(str, one.image_shape)) for one in (self.learned_from, data))
            raise UserError(f"count: images of the counter's {name} are {have}, those of {data.name} {need}")
        if missing := sorted(set(numbers_of(data)) - set(self.numbers.tolist())):
            raise UserError(f"count: the counter's {name} has no images of {missing[0]} objects")
        self.extractor: Extractor = open_classifier(self.learned_from, device=device)

    def count(self, images: Tensor) -> Integers:
        """The numbers of objects in uint8 images `[N, C, H, W]`, `[N]`."""
        _, logits = extract(self.extractor, images.split(BATCH_SIZE))
        found: Integers = self.numbers[logits.argmax(1).cpu().numpy()]
        return found

    @property
    def protocol(self) -> dict[str, Any]:
        learned_from = {
            "trained_on": self.learned_from.name,
            "trained_on_hash": self.learned_from.content_hash,
        }
        return {"counter": "trained", **self.extractor.protocol, **learned_from}


def measure_count(config: CountConfig, subject: GeneratorSubject, *, test: bool) -> Evaluated:
    """The shares of wrong counts; with `test` also the histogram, as the file `counts.json`."""
    data, device = subject.data, subject.workers.device
    start = subject.shared.clock()
    images = subject.workers.all_gather(subject.samples())[: config.num_samples]
    exact = fit_counter(data)
    trained = None if config.counter is None else TrainedCounter(config, data, device)
    wanted = np.array(numbers_of(data))
    counts = exact.count(images.cpu().numpy())
    shares = wrong_shares(counts, wanted)
    by_trained = None if trained is None else trained.count(images)
    if by_trained is not None:
        shares["count_wrong_trained"] = 100 * float(np.mean(~np.isin(by_trained, wanted)))
    measurements, files = [], {}
    splits: tuple[MeasuredSplit, ...] = ("validation", "test") if test else ("validation",)
    for split in splits:
        real, numbers = _real(data, split)
        of_real = exact.count(real.cpu().numpy())
        own_error = {
            "counter": "exact",
            "counter_error": _percent(of_real.unclear | (of_real.objects != numbers)),
        }
        protocols = dict.fromkeys(shares, own_error)
        if trained is not None:
            error = _percent(trained.count(real) != numbers)
            protocols["count_wrong_trained"] = {**trained.protocol, "counter_error": error}
        shared = {
            "data": data.name,
            "data_hash": data.content_hash,
            "num_samples": len(images),
            "wanted": wanted.tolist(),
            "reference_split": split,
            "reference_size": len(real),
            **subject.sampling,
        }
        measurements += [
            Measurement(
                value,
                better="lower",
                unit="%",
                protocol={**shared, **protocols[name]},
                seconds=0.0,
                kind="metric",
                metric=name,
                split=split,
            )
            for name, value in shares.items()
        ]
        if split == "test" and subject.workers.is_main:
            histogram = {
                "wanted": wanted.tolist(),
                "generated": _histogram(counts),
                "trained": None if by_trained is None else _frequencies(by_trained),
                "real": _histogram(of_real),
            }
            files["counts.json"] = json.dumps(histogram, indent=1).encode()
    return Evaluated(by_name(measurements), files).longer_by(subject.shared.clock() - start)


def wrong_shares(counts: Counts, wanted: Integers) -> dict[str, float]:
    """The shares by the exact counter, in percent, by the metrics' names."""
    right = np.isin(counts.objects, wanted)
    clear = ~counts.unclear
    return {
        "count_wrong": _percent(~(right & clear)),
        "count_wrong_clear": _percent(~right[clear]) if clear.any() else 100.0,
        "count_unclear": _percent(counts.unclear),
    }


def _percent(found: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    return 100 * float(found.mean())


def _histogram(counts: Counts) -> dict[str, Any]:
    return {**_frequencies(counts.objects[~counts.unclear]), "unclear": int(counts.unclear.sum())}


def _frequencies(numbers: Integers) -> dict[str, int]:
    found, frequency = np.unique(numbers, return_counts=True)
    return {str(number): int(times) for number, times in zip(found, frequency, strict=True)}


def _real(data: ImageData, split: MeasuredSplit) -> tuple[Tensor, Integers]:
    """The images of a split, and the number of objects in each."""
    images: ImageSplit = getattr(data, split)
    return _all_images(images, len(images)), np.array(numbers_of(data))[images.labels.cpu().numpy()]


def _all_images(split: ImageSplit, most: int) -> Tensor:
    rows = torch.arange(min(most, len(split))).split(BATCH_SIZE)
    return torch.cat([images for images, _ in split.batches(rows)])
