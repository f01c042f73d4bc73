"""The first real numbers: short trainings on CIFAR-10, marked unconverged at the step where they end."""

from itertools import count
from typing import Any

import torch

from benchmarks.gpu import packed
from benchmarks.gpu.results import Bench
from ndabench.augmentations.registry import implementations
from ndabench.data.digits import DigitsConfig
from ndabench.data.image_parquet import ImageParquetConfig
from ndabench.data.images import ImageData
from ndabench.data.registry import load_data
from ndabench.distributed import Workers
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.generators.config import FrechetConfig
from ndabench.metrics.image_encoders.config import KnnConfig
from ndabench.metrics.subjects import Preparation
from ndabench.tasks.averaging import EmaConfig
from ndabench.tasks.contrastive.config import ImageContrastiveConfig
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import build_trainer

DATA_NOTE = "CIFAR-10, every image re-encoded as JPEG: not comparable with published numbers"


def gan_none(bench: Bench) -> None:
    """A GAN without negatives on CIFAR-10 for as long as it may: the curve of its Fréchet distance."""
    _gan(bench, "none", 1.0)


def gan_jigsaw(bench: Bench) -> None:
    """The same with jigsaw negatives at λ = 0.25."""
    _gan(bench, "jigsaw", 0.25)


def _gan(bench: Bench, arm: str, lambda_: float) -> None:
    data = _data(bench)
    every = bench.sized(500, 1)
    evaluation = FrechetConfig(extractor="classifier", num_samples=bench.sized(10_000, 128), every=every)
    config = GanConfig(
        width=bench.sized(64, 2),
        batch_size=bench.sized(64, 8),
        num_steps=bench.sized(10**6, 2),
        learning_rate=2e-4,
        log_every=every,
        checkpoint_every=10**6,
        sample_every=every,
        ema=EmaConfig(decay=0.999, start=bench.sized(1000, 1)),
        precision=bench.sized("bf16", "fp32"),
    )
    prepare([evaluation], Preparation(data, bench.device, 1, None))
    trainer = build_trainer(
        TrialSetup(
            config,
            data,
            negative=None if arm == "none" else implementations("corrected")[arm],
            lambda_=lambda_,
            horizontal_flip=True,
            evaluations=[evaluation],
            workers=Workers(device=bench.device),
        )
    )
    _train(bench, trainer, {"arm": arm, "lambda": lambda_, "width": config.width}, f"gan_{arm}.png")


def moco_none(bench: Bench) -> None:
    """MoCo without NDA keys on CIFAR-10 for as long as it may: the accuracy of nearest neighbours."""
    data = _data(bench)
    every = bench.sized(1000, 1)
    config = ImageContrastiveConfig.model_validate(
        {
            "method": {"name": "moco", "queue_size": bench.sized(4096, 32), "batch_norm_splits": 2},
            "encoder": {"name": "resnet", "width": bench.sized(64, 2)},
            "batch_size": bench.sized(512, 16),
            "num_steps": bench.sized(10**5, 2),
            "log_every": every,
            "checkpoint_every": 10**6,
            "precision": "bf16",
        }
    )
    evaluation = KnnConfig(every=every, neighbours=bench.sized(200, 5))
    trainer = build_trainer(
        TrialSetup(config, data, evaluations=[evaluation], workers=Workers(device=bench.device))
    )
    _train(bench, trainer, {"arm": "none", "method": "moco"}, "")


def _train(bench: Bench, trainer: Any, protocol: dict[str, Any], picture: str) -> None:
    """Writes every evaluation as a line until the time is nearly up; the last picture is kept."""
    longest = 0.0
    for number in count():
        before = bench.left
        progress = next(run := trainer.run(), None) if number == 0 else next(run, None)
        if progress is None:
            return
        for name, one in progress.metrics.items():
            if one.kind != "metric":
                continue
            protocol = {**protocol, **one.protocol, "step": progress.step, "images": progress.num_images}
            bench.measured(
                f"{name} at step {progress.step}", one.value, one.unit, protocol=protocol,
                note=f"unconverged; {DATA_NOTE}",
            )  # fmt: skip
        if picture and "samples.png" in progress.artifacts:
            bench.keep(picture, progress.artifacts["samples.png"])
        longest = max(longest, before - bench.left)
        if bench.left < 1.5 * longest + 2:
            return


def _data(bench: Bench) -> ImageData:
    """CIFAR-10 from its Parquet files; in a rehearsal the digits."""
    if bench.rehearse:
        data: ImageData = load_data(DigitsConfig(image_size=16), torch.device("cpu"))
        return data
    folder = packed.cifar10()
    if folder is None:
        raise RuntimeError("the CIFAR-10 Parquet files are neither packed nor in NDABENCH_DATA")
    return load_data(ImageParquetConfig(path=folder), bench.device)
