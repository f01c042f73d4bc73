"""`linear_probe`: logistic regression on the features of the windows of videos, extracted once.

A window has the label of its video, and J (see `linear_probe.py`) is the mean over all windows. A video is
decided on by the mean softmax over its windows. Every penalty of the grid is fitted on the training videos
and scored on the validation videos; the best one, at a draw the strongest, gives the validation value. With
that penalty the probe is fitted once more, on both, and scored once on the test videos.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ndabench.distributed import Workers
from ndabench.measurement import Measurement
from ndabench.metrics.clip_features import EncodedVideos, Windows
from ndabench.metrics.extractor import full_precision
from ndabench.metrics.linear_probe import LARGEST_GRADIENT, fit_logistic
from ndabench.metrics.probing import TESTING, VALIDATING, Evaluated, together
from ndabench.metrics.video_scores import ClassifierConfig, classified, mean_softmax, top_accuracy


class ClipLinearProbeConfig(ClassifierConfig):
    """`linear_probe`: seconds a penalty, nothing random."""

    name: Literal["linear_probe"] = "linear_probe"
    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field((1e-5, 1e-4, 1e-3, 1e-2, 1e-1), min_length=1)
    max_iterations: int = Field(1000, ge=1)


def probe_scores(
    penalties: Sequence[float],
    fitted: Windows,
    scored: Windows,
    *,
    num_classes: int,
    max_iterations: int,
    workers: Workers,
) -> Tensor:
    """The class scores `[P, N, k]` of the videos of `scored` by the probe of each penalty; alike on every
    worker. The workers share the penalties, not the rows of one fit."""
    scores = torch.zeros(
        len(penalties), len(scored.labels), num_classes, dtype=torch.float64, device=workers.device
    )
    for place in range(workers.rank, len(penalties), workers.world_size):
        classifier = fit_logistic(
            fitted.examples(),
            num_classes=num_classes,
            penalty=penalties[place],
            max_iterations=max_iterations,
        )
        scores[place] = mean_softmax(scored._replace(values=classifier.logits(scored.values)))
    return workers.all_reduce_sum(scores)


def measure_clip_linear_probe(
    config: ClipLinearProbeConfig, encoded: EncodedVideos, *, test: bool, seed: int
) -> Evaluated:
    """`val_linear_probe`, `linear_probe_penalty`, with `test` also `linear_probe`; top-5 and confusion."""
    settings = {
        **config.settings(),
        "features": "of windows, standardised by those that the probe was fitted on",
        "penalty": "the best on the validation split, of fits on the training split",
        "largest_gradient": LARGEST_GRADIENT,
    }

    def scores(penalties: Sequence[float], fitted: Windows, scored: Windows) -> Tensor:
        return probe_scores(
            penalties,
            fitted,
            scored,
            num_classes=len(encoded.data.class_names),
            max_iterations=config.max_iterations,
            workers=encoded.workers,
        )

    with torch.no_grad(), full_precision():
        start = perf_counter()
        validation = encoded.windows("validation")
        tried = scores(config.penalties, encoded.windows(*VALIDATING.fitted), validation)
        found = [top_accuracy(one, validation.labels, 1) for one in tried]
        _, penalty, place = max(zip(found, config.penalties, range(len(found)), strict=True))
        parts = [
            classified(config, tried[place], VALIDATING, encoded, settings, seconds=perf_counter() - start),
            Evaluated({f"{config.name}_penalty": Measurement(penalty)}),
        ]
        if test:
            start = perf_counter()
            [best] = scores([penalty], encoded.windows(*TESTING.fitted), encoded.windows("test"))
            parts.append(classified(config, best, TESTING, encoded, settings, seconds=perf_counter() - start))
    return together(parts)
