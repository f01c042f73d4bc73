"""How well whole videos are classified: what the evaluations by action recognition share.

A video's class scores are the mean over its windows of each window's softmax. No listed video is left out.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ndabench.data.registry import load_data
from ndabench.data.videos.clips import ClipData
from ndabench.measurement import Measurement
from ndabench.metrics.clip_encoders.config import TOP, ClipEncoderEvaluation, VideoClassificationConfig
from ndabench.metrics.clip_encoders.confusion import confusion_counts, confusion_json
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.metrics.clip_encoders.windows import Windows
from ndabench.metrics.probing import Scoring, probe_measurement
from ndabench.metrics.results import Evaluated, by_name
from ndabench.metrics.subjects import Preparation


def prepare_videos(config: ClipEncoderEvaluation, preparation: Preparation) -> ClipData:
    """The data set that `config` measures on, scanned; `UserError` where it does not fit."""
    data: ClipData = preparation.data
    if config.data is not None:
        data = load_data(config.data, preparation.device)
        config.check_classes(data)
    if preparation.sampling is not None:
        config.of(preparation.sampling).check(data)
    return data


def mean_softmax(logits: Windows) -> Tensor:
    """The class scores of each video, float64 `[N, k]`, from its windows' logits."""
    return logits._replace(values=logits.values.softmax(1)).means()


def top_accuracy(scores: Tensor, labels: Tensor, count: int) -> float:
    """Percentage of the labels `[N]` that are among the `count` highest of `scores` `[N, k]`; NaN where a
    score is not finite."""
    if not scores.isfinite().all():
        return float("nan")
    return 100.0 * float((scores.topk(count).indices == labels[:, None]).any(1).double().mean())


def video_measurement(
    name: str,
    percent: float,
    scoring: Scoring,
    subject: ClipEncoderSubject,
    settings: Mapping[str, Any],
    *,
    seconds: float,
    metric: str,
) -> Measurement:
    """A percentage of the videos under the protocol `name`."""
    settings = {**subject.sampling.protocol(subject.data), **settings}
    return probe_measurement(name, percent, scoring, subject.data, settings, seconds=seconds, metric=metric)


def classified(
    config: VideoClassificationConfig,
    scores: Tensor,
    scoring: Scoring,
    subject: ClipEncoderSubject,
    settings: Mapping[str, Any],
    *,
    seconds: float,
) -> Evaluated:
    """Top-1, top-5 where there are more than five classes, and in the test the confusion of the classes.

    `scores` `[N, k]` are of the videos of the split that `scoring` scores.
    """
    data = subject.data
    labels = getattr(data, scoring.scored).labels.to(scores.device)
    counts = {config.name: 1} | ({f"{config.name}_top{TOP}": TOP} if len(data.class_names) > TOP else {})
    settings = {"decision": "mean softmax over a video's windows", **settings}
    measurements = [
        video_measurement(
            config.name,
            top_accuracy(scores, labels, count),
            scoring,
            subject,
            settings,
            seconds=seconds / len(counts),
            metric=metric,
        )
        for metric, count in counts.items()
    ]
    files = {}
    if scoring.scored == "test" and subject.workers.is_main:
        files = confusion_files(config.name, scores.argmax(1), labels, data)
    return Evaluated(by_name(measurements), files)


def confusion_files(name: str, predicted: Tensor, labels: Tensor, data: ClipData) -> dict[str, bytes]:
    """The counts of true and predicted classes, which the report draws."""
    counts = confusion_counts(predicted, labels, len(data.class_names))
    return {f"confusion_{name}.json": confusion_json(counts, data.class_names)}
