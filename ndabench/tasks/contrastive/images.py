"""Contrastive learning on images: batches of a data set, an image encoder, and its evaluations."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ndabench.data.feeding import global_batches
from ndabench.data.images import ImageData
from ndabench.data.sampling import shuffled_batches
from ndabench.data.sheets import COLUMNS
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.random_streams import stream_seed
from ndabench.tasks.contrastive.build_encoders import build_encoder
from ndabench.tasks.contrastive.config import ImageContrastiveConfig
from ndabench.tasks.contrastive.encoders import ENCODERS
from ndabench.tasks.contrastive.task import ContrastiveTask
from ndabench.tasks.exports import Exported, exported_encoder
from ndabench.tasks.setup import TrialSetup, check_batch


def image_contrastive(setup: TrialSetup) -> ContrastiveTask:
    """The task at step 0; `UserError` for settings that do not fit together."""
    check_batch(setup, "images")
    return ContrastiveTask(setup, Images(setup))


class Images:
    """Images and an encoder of them; see `Source`."""

    def __init__(self, setup: TrialSetup) -> None:
        self.setup, self.workers = setup, setup.workers
        self.config: ImageContrastiveConfig = setup.config
        self.data: ImageData = setup.data
        self.encoder = build_encoder(
            self.config.encoder,
            self.data.image_shape,
            batch_norm_splits=self.config.method.batch_norm_splits,
            channels_last=self.config.channels_last,
            generator=setup.stream("encoder"),
            workers=setup.workers,
        )

    def batches(self, start: int) -> Iterator[Tensor]:
        split, order = self.data.train, stream_seed(self.setup.seed, "data order")
        indices = shuffled_batches(len(split), self.config.batch_size, seed=order, start=start)
        return (images for images, _ in global_batches(split, indices, self.workers))

    def example(self) -> Tensor:
        size = self.config.batch_size // self.workers.world_size
        return torch.zeros(size, *self.config.shown_shape(self.data.image_shape), device=self.workers.device)

    def shown(self) -> Tensor:
        indices = torch.arange(min(2 * COLUMNS, len(self.data.train)))
        images, _ = next(iter(self.data.train.batches([indices])))
        return images

    def subject(self, features: nn.Module) -> ImageEncoderSubject:
        return ImageEncoderSubject(features, self.data, seed=self.setup.seed, workers=self.workers)

    def exported(self, features: nn.Module) -> Exported:
        return exported_encoder(features, "images", self.data.image_shape)

    def exports(self) -> Mapping[str, nn.Module]:
        return {"encoder.pt": self.encoder} if ENCODERS[self.config.encoder.name].trainable else {}
