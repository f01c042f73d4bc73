"""How well whole videos are classified: the keys and the values that measures of action recognition share.

A video's class scores are the mean over its windows of each window's softmax. No listed video is left out.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ndabench.data.registry import VideoDataConfig
from ndabench.data.videos.clips import ClipData
from ndabench.measurement import Measurement
from ndabench.metrics.clip_features import EncodedVideos, Windows
from ndabench.metrics.confusion import confusion_counts, confusion_json, confusion_picture
from ndabench.metrics.probing import Evaluated, ProbeConfig, Scoring, probe_measurement

TOP = 5


class RecognitionConfig(ProbeConfig):
    """The keys that all measures of action recognition share."""

    data: VideoDataConfig | None = None
    """Another data set to be measured on; None: the one that the encoder was trained on."""

    def settings(self) -> dict[str, Any]:
        """The keys that say how it is measured, as plain data."""
        return self.model_dump(mode="json", exclude={"name", "every", "as_", "data"})


class ClassifierConfig(RecognitionConfig):
    """The keys of those that classify videos."""

    @property
    def measures(self) -> tuple[str, ...]:
        """The second one only where there are more than five classes."""
        return (self.name, f"{self.name}_top{TOP}")


def mean_softmax(logits: Windows) -> Tensor:
    """The class scores of each video, float64 `[N, k]`, of its windows' logits."""
    return logits._replace(values=logits.values.softmax(1)).means()


def top_accuracy(scores: Tensor, labels: Tensor, count: int) -> float:
    """Percent of the labels `[N]` that are among the `count` highest of `scores` `[N, k]`; NaN where a score
    is none."""
    if not scores.isfinite().all():
        return float("nan")
    return 100.0 * float((scores.topk(count).indices == labels[:, None]).any(1).double().mean())


def video_measurement(
    name: str, percent: float, scoring: Scoring, encoded: EncodedVideos, settings: Mapping[str, Any]
) -> Measurement:
    """A percentage of the videos under the protocol `name`."""
    settings = {**encoded.sampling.protocol(encoded.data), **settings}
    return probe_measurement(name, percent, scoring, encoded.data, settings, seconds=0.0)


def classified(
    config: ClassifierConfig,
    scores: Tensor,
    scoring: Scoring,
    encoded: EncodedVideos,
    settings: Mapping[str, Any],
    *,
    seconds: float,
) -> Evaluated:
    """Top-1, top-5 where there are more than five classes, and in the test the confusion of the classes.

    `scores` `[N, k]` are of the videos of the split that `scoring` scores.
    """
    data = encoded.data
    labels = getattr(data, scoring.scored).labels.to(scores.device)
    counts = {"": 1} | ({f"_top{TOP}": TOP} if len(data.class_names) > TOP else {})
    settings = {"decision": "mean softmax over a video's windows", **settings}
    measured = {
        f"{scoring.prefix}{config.name}{suffix}": video_measurement(
            config.name, top_accuracy(scores, labels, count), scoring, encoded, settings
        )
        for suffix, count in counts.items()
    }
    measured = {name: replace(one, seconds=seconds / len(measured)) for name, one in measured.items()}
    if scoring.scored != "test" or not encoded.workers.is_main:
        return Evaluated(measured)
    return Evaluated(measured, confusion_files(config.name, scores.argmax(1), labels, data))


def confusion_files(name: str, predicted: Tensor, labels: Tensor, data: ClipData) -> dict[str, bytes]:
    """The counts of true and predicted classes as a picture and as numbers."""
    counts = confusion_counts(predicted, labels, len(data.class_names))
    return {
        f"confusion_{name}.png": confusion_picture(counts, data.class_names),
        f"confusion_{name}.json": confusion_json(counts, data.class_names),
    }
