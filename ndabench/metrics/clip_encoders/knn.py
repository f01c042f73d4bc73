"""`video_knn`: weighted k-nearest-neighbour classification of videos.

The rule is that of `image_encoders.knn` (Wu et al., CVPR 2018), on the features that `retrieval` searches:
the mean over a video's windows. In the test the bank consists of the training and validation videos.
"""

import torch

from ndabench.metrics.clip_encoders.config import VideoKnnConfig
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.metrics.clip_encoders.video_scores import video_measurement
from ndabench.metrics.clip_encoders.windows import VIDEO_FEATURE, Windows
from ndabench.metrics.features import Examples, full_precision
from ndabench.metrics.image_encoders.knn import knn_predict
from ndabench.metrics.probing import accuracy, scorings
from ndabench.metrics.results import Evaluated, by_name


def video_knn_accuracy(
    queries: Windows, bank: Windows, *, num_classes: int, neighbours: int, temperature: float
) -> float:
    """The percentage of the videos whose class is predicted; `neighbours` is at most the bank's videos."""
    predicted = knn_predict(
        queries.means(),
        Examples(bank.means(), bank.labels),
        num_classes=num_classes,
        neighbours=neighbours,
        temperature=temperature,
    )
    return accuracy(predicted, queries.labels)


def measure_video_knn(config: VideoKnnConfig, subject: ClipEncoderSubject, *, test: bool) -> Evaluated:
    """`val_video_knn`, and with `test` also `video_knn`. Nothing is random."""
    subject, clock = subject.on_data_of(config), subject.shared.clock
    measurements = []
    with torch.no_grad(), full_precision():
        for scoring in scorings(test=test):
            start = clock()
            bank = subject.windows(*scoring.fitted)
            voting = config.voting(len(bank.labels))
            percent = video_knn_accuracy(
                subject.windows(scoring.scored),
                bank,
                num_classes=len(subject.data.class_names),
                neighbours=voting["neighbours"],
                temperature=config.temperature,
            )
            settings = {**voting, "video_feature": VIDEO_FEATURE}
            measurements.append(
                video_measurement(
                    config.name,
                    percent,
                    scoring,
                    subject,
                    settings,
                    seconds=clock() - start,
                    metric=config.name,
                )
            )
    return Evaluated(by_name(measurements))
