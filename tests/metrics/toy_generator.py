"""A generator whose images are given, as a subject to measure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.measurement import Measurement, displayed_name
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generators.subject import GeneratorSubject
from tests.metrics.measuring import evaluate_all


class ToySampler:
    """Gives out what `draw` makes of the number of images."""

    def __init__(self, draw: Callable[[int], Tensor]) -> None:
        self.draw = draw

    def sample(self, num_images: int, *, stream: str, weights: str, batch_norm: str) -> Tensor:
        return self.draw(num_images)

    def protocol(self, *, weights: str, batch_norm: str) -> Mapping[str, Any]:
        return {"weights": weights, "batch_norm": batch_norm}


class ConditionalToySampler(ToySampler):
    """Also gives out the classes."""

    def __init__(self, draw: Callable[[int], Tensor], draw_labels: Callable[[int], Tensor]) -> None:
        super().__init__(draw)
        self.draw_labels = draw_labels

    def labels(self, num_images: int, *, stream: str) -> Tensor:
        return self.draw_labels(num_images)


def subject(
    draw: Callable[[int], Tensor],
    data: ImageData,
    workers: Workers | None = None,
    labels: Callable[[int], Tensor] | None = None,
) -> GeneratorSubject:
    return GeneratorSubject(
        ToySampler(draw) if labels is None else ConditionalToySampler(draw, labels),
        None,
        data,
        seed=0,
        stream="x",
        num_classes=1 if labels is None else len(data.class_names),
        workers=workers or Workers(),
    )


def measure(
    evaluations: Sequence[Evaluation],
    draw: Callable[[int], Tensor],
    data: ImageData,
    split: str = "test",
    workers: Workers | None = None,
    labels: Callable[[int], Tensor] | None = None,
) -> dict[str, Measurement]:
    """The measurements against one split, by the names that they have in the test."""
    found = evaluate_all(evaluations, subject(draw, data, workers, labels), test=True).measurements
    assert list(found) == [displayed_name(one.metric, one.split, one.label) for one in found.values()]
    return {displayed_name(one.metric, label=one.label): one for one in found.values() if one.split == split}
