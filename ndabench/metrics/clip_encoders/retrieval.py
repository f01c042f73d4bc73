"""`retrieval`: nearest neighbours of videos, without any training (as in Xu et al., CVPR 2019, VCOP).

A video's feature is the mean over its windows' features. The search finds the training videos that are most
similar to a video by cosine; R@k is the percentage of videos for which at least one of the first k has the
same class. In the test the gallery consists of the training and validation videos.
"""

import torch
from torch import Tensor

from ndabench.metrics.clip_encoders.config import RANKS, RetrievalConfig
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.metrics.clip_encoders.video_scores import video_measurement
from ndabench.metrics.clip_encoders.windows import VIDEO_FEATURE, Windows
from ndabench.metrics.features import full_precision
from ndabench.metrics.image_encoders.knn import nearest
from ndabench.metrics.probing import scorings
from ndabench.metrics.results import Evaluated, by_name


def recalls(queries: Windows, gallery: Windows) -> list[float]:
    """R@k in percent for every k of `RANKS`; where the gallery holds fewer videos, all of them count."""
    sought = min(max(RANKS), len(gallery.labels))
    _, rows = nearest(queries.means(), gallery.means(), sought)
    same: Tensor = gallery.labels[rows] == queries.labels[:, None]
    return [100.0 * float(same[:, :rank].any(1).double().mean()) for rank in RANKS]


def measure_retrieval(config: RetrievalConfig, subject: ClipEncoderSubject, *, test: bool) -> Evaluated:
    """`val_retrieval_r1`, `_r5`, `_r10`, and with `test` also those without `val_`; nothing is random."""
    subject, clock = subject.on_data_of(config), subject.shared.clock
    settings = {"similarity": "cosine", "video_feature": VIDEO_FEATURE}
    measurements = []
    with torch.no_grad(), full_precision():
        for scoring in scorings(test=test):
            start = clock()
            found = recalls(subject.windows(scoring.scored), subject.windows(*scoring.fitted))
            seconds = (clock() - start) / len(RANKS)
            measurements += [
                video_measurement(
                    config.name, percent, scoring, subject, settings, seconds=seconds, metric=one
                )
                for one, percent in zip(config.measures, found, strict=True)
            ]
    return Evaluated(by_name(measurements))
