"""`retrieval`: nearest neighbours of videos, without any training (as in Xu et al., CVPR 2019, VCOP).

A video's feature is the mean over its windows' features. For every video the most similar ones by cosine are
sought among the training videos; R@k is the share of videos that have one of their own class among the first
k, in percent. In the test the gallery is training and validation videos.
"""

from dataclasses import replace
from time import perf_counter
from typing import Literal

import torch
from torch import Tensor

from ndabench.metrics.clip_features import EncodedVideos, Windows
from ndabench.metrics.extractor import full_precision
from ndabench.metrics.knn import nearest
from ndabench.metrics.probing import Evaluated, scorings
from ndabench.metrics.video_scores import RecognitionConfig, video_measurement

RANKS = (1, 5, 10)


class RetrievalConfig(RecognitionConfig):
    """`retrieval`: cheap, nothing random."""

    name: Literal["retrieval"] = "retrieval"

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_r{rank}" for rank in RANKS)


def recalls(queries: Windows, gallery: Windows) -> list[float]:
    """R@k in percent for every k of `RANKS`; where the gallery holds fewer videos, all of them count."""
    sought = min(max(RANKS), len(gallery.labels))
    _, rows = nearest(queries.means(), gallery.means(), sought)
    same: Tensor = gallery.labels[rows] == queries.labels[:, None]
    return [100.0 * float(same[:, :rank].any(1).double().mean()) for rank in RANKS]


def measure_retrieval(config: RetrievalConfig, encoded: EncodedVideos, *, test: bool, seed: int) -> Evaluated:
    """`val_retrieval_r1`, `_r5`, `_r10`, and with `test` also those without `val_`."""
    settings = {"similarity": "cosine", "video_feature": "mean over a video's windows"}
    measured = {}
    with torch.no_grad(), full_precision():
        for scoring in scorings(test=test):
            start = perf_counter()
            found = recalls(encoded.windows(scoring.scored), encoded.windows(*scoring.fitted))
            seconds = (perf_counter() - start) / len(RANKS)
            for name, percent in zip(config.measures, found, strict=True):
                one = video_measurement(config.name, percent, scoring, encoded, settings)
                measured[scoring.prefix + name] = replace(one, seconds=seconds)
    return Evaluated(measured)
