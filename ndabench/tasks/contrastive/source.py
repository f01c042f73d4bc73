"""The source of the batches of a contrastive training, and the subject by which its encoder is measured."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from torch import Tensor, nn

from ndabench.metrics.subjects import Subject
from ndabench.tasks.exports import Exported


class Source(Protocol):
    """Images or videos, and the encoder for them."""

    @property
    def encoder(self) -> nn.Module: ...

    def batches(self, start: int) -> Iterator[Tensor]:
        """Global batches in uint8 without end, from that of step `start` on."""
        ...

    def example(self) -> Tensor:
        """Zeros in the shape of what the encoder embeds in a step."""
        ...

    def shown(self) -> Tensor:
        """A few training images or clips in uint8, for sheets."""
        ...

    def subject(self, features: nn.Module) -> Subject:
        """What evaluations look at: `features`, and the data that they are measured on."""
        ...

    def exported(self, features: nn.Module) -> Exported:
        """`features`, with the shape of what evaluations show it, for others."""
        ...

    def exports(self) -> Mapping[str, nn.Module]:
        """The encoder by file name, where it has weights."""
        ...
