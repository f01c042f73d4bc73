"""`linear_probe`: logistic regression on the features of the windows of videos, extracted once.

A window has the label of its video, and J (see `image_encoders/linear_probe_lbfgs.py`) is the mean over all
windows. The mean softmax over a video's windows decides on its class. A probe with each penalty of the grid
is fitted on the training videos and scored on the validation videos; the best one (the strongest of equally
good ones) gives the validation value. With that penalty the probe is fitted once more, on both, and scored
once on the test videos.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ndabench.distributed import Workers
from ndabench.metrics.clip_encoders.config import ClipLinearProbeConfig
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.metrics.clip_encoders.video_scores import classified, mean_softmax, top_accuracy
from ndabench.metrics.clip_encoders.windows import Windows
from ndabench.metrics.features import full_precision
from ndabench.metrics.image_encoders.config import CONVERGENCE
from ndabench.metrics.image_encoders.linear_probe_lbfgs import (
    LinearClassifier,
    fit_logistic,
    stopped_early,
)
from ndabench.metrics.probing import TESTING, VALIDATING, Scoring, chosen_setting, probe_file
from ndabench.metrics.results import Evaluated, by_name, merge


def probe_scores(
    penalties: Sequence[float],
    fitted: Windows,
    scored: Windows,
    *,
    num_classes: int,
    max_iterations: int,
    workers: Workers,
) -> tuple[Tensor, list[float], list[LinearClassifier]]:
    """The class scores `[P, N, k]` of the videos of `scored` by the probe of each penalty, the largest
    gradients `[P]` where the fits ended, and the probes that this worker fitted; see `accuracies` of images.
    """
    probes = []
    scores = torch.zeros(
        len(penalties), len(scored.labels), num_classes, dtype=torch.float64, device=workers.device
    )
    gradients = torch.zeros(len(penalties), dtype=torch.float64, device=workers.device)
    for place in range(workers.rank, len(penalties), workers.world_size):
        classifier = fit_logistic(
            fitted.examples(),
            num_classes=num_classes,
            penalty=penalties[place],
            max_iterations=max_iterations,
        )
        scores[place] = mean_softmax(scored._replace(values=classifier.logits(scored.values)))
        gradients[place] = classifier.largest_gradient
        probes.append(classifier)
    return workers.all_reduce_sum(scores), workers.all_reduce_sum(gradients).tolist(), probes


def measure_clip_linear_probe(
    config: ClipLinearProbeConfig, subject: ClipEncoderSubject, *, test: bool
) -> Evaluated:
    """`val_linear_probe`, `linear_probe_penalty`, with `test` also `linear_probe`; top-5 and confusion."""
    subject, clock = subject.on_data_of(config), subject.shared.clock
    settings = {
        **config.settings(),
        "features": "of windows, standardised by those that the probe was fitted on",
        "penalty": "the best on the validation split, of fits on the training split",
        **CONVERGENCE,
    }
    notes: list[str] = []
    files: dict[str, bytes] = {}

    def scores(penalties: Sequence[float], scoring: Scoring) -> Tensor:
        found, gradients, probes = probe_scores(
            penalties,
            subject.windows(*scoring.fitted),
            subject.windows(scoring.scored),
            num_classes=len(subject.data.class_names),
            max_iterations=config.max_iterations,
            workers=subject.workers,
        )
        notes.extend(stopped_early(config.name, penalties, gradients))
        if scoring == TESTING and subject.workers.is_main:
            files.update(probe_file(config.name, probes[0].state(), subject.data.class_names))
        return found

    def result(found: Tensor, scoring: Scoring, start: float) -> Evaluated:
        return classified(config, found, scoring, subject, settings, seconds=clock() - start)

    with torch.no_grad(), full_precision():
        start = clock()
        tried = scores(config.penalties, VALIDATING)
        labels = subject.windows("validation").labels
        percents = [top_accuracy(one, labels, 1) for one in tried]
        _, penalty, place = max(zip(percents, config.penalties, range(len(percents)), strict=True))
        parts = [
            result(tried[place], VALIDATING, start),
            Evaluated(by_name([chosen_setting(f"{config.name}_penalty", penalty)])),
        ]
        if test:
            start = clock()
            [best] = scores([penalty], TESTING)
            parts.append(result(best, TESTING, start))
    return replace(merge([*parts, Evaluated({}, files)]), notes=tuple(notes))
