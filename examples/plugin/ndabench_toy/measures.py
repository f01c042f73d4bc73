"""The toy extractor and the toy evaluation."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ndabench.data.sampling import in_order
from ndabench.measurement import Measurement
from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.metrics.results import Evaluated, by_name
from ndabench_toy import BrightnessConfig


def open_pixels(*, device: torch.device) -> Extractor:
    """Sixteen mean brightnesses of an image."""

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        features = F.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), 4).flatten(1)
        return features, features[:, :2]

    return Extractor(name="toy_pixels", weights_sha256="0" * 64, forward=forward)


def measure_brightness(config: BrightnessConfig, subject: GeneratorSubject, *, test: bool) -> Evaluated:
    """The difference of mean brightness, on validation images and for `test` on test images."""
    workers = subject.workers
    generated = workers.all_gather(subject.samples())[: config.num_samples].float().mean()
    measured = []
    for split in ("validation", "test") if test else ("validation",):
        real = getattr(subject.data, split)
        images, _ = next(iter(real.batches(in_order(len(real), len(real)))))
        measured.append(
            Measurement(
                float((generated - images.float().mean()).abs()),
                better="lower",
                kind="metric",
                metric="toy_brightness",
                split=split,
                protocol={
                    "num_samples": config.num_samples,
                    "data_hash": subject.data.content_hash,
                    "split": split,
                },
            )
        )
    return Evaluated(by_name(measured))
