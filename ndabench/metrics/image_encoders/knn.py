"""Weighted k-nearest-neighbour classification of features (Wu et al., CVPR 2018, arXiv 1805.01978).

With s_i the cosine similarities of an image's features to those of its k nearest labelled images, every
class has the score

    v_c = Σ_{i among the k nearest} exp(s_i / τ) [y_i = c]

and the largest one is the prediction. k = 200 and τ = 0.1 are those of the paper and of MoCo's notebook,
which uses the 128 outputs of the projection; here the features are the backbone's, as in lightly.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ndabench.data.images import ConcatImages
from ndabench.data.sheets import COLUMNS, sheet
from ndabench.metrics.features import Examples, full_precision, in_shares
from ndabench.metrics.image_encoders.config import KnnConfig
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.probing import TESTING, Scoring, accuracy, probe_measurement, scorings
from ndabench.metrics.results import Evaluated, by_name

LARGEST_CHUNK = 2**24
"""Similarities in memory at a time (64 MiB)."""
SHEET_ROWS = 8


def nearest(queries: Tensor, bank: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Cosine similarities and rows of the nearest of `bank`, `[m, d], [n, d] -> [m, count]` twice.

    The nearest comes first; `count` is at most n.
    """
    directions = F.normalize(bank).T
    chunks = F.normalize(queries).split(max(1, LARGEST_CHUNK // len(bank)))
    similarities, rows = zip(*((chunk @ directions).topk(count) for chunk in chunks), strict=True)
    return torch.cat(similarities), torch.cat(rows)


def knn_predict(
    queries: Tensor, bank: Examples, *, num_classes: int, neighbours: int, temperature: float
) -> Tensor:
    """The predicted classes of features `[m, d]`, int64 `[m]`; `neighbours` is at most the bank's size."""
    similarities, rows = nearest(queries, bank.features, neighbours)
    # A factor that a query's classes share changes no prediction, and keeps exp in range at any temperature.
    weights = ((similarities - similarities[:, :1]) / temperature).exp()
    votes = weights.new_zeros(len(queries), num_classes)
    return votes.scatter_add_(1, bank.labels[rows], weights).argmax(1)


def measure_knn(config: KnnConfig, subject: ImageEncoderSubject, *, test: bool) -> Evaluated:
    """`val_knn`, and with `test` also `knn` and the sheet `neighbours.png`. Nothing is random."""
    clock, measurements = subject.shared.clock, []
    with torch.no_grad(), full_precision():
        for scoring in scorings(test=test):
            start = clock()
            percent, settings = _score(config, subject, scoring)
            measurements.append(
                probe_measurement(
                    config.name, percent, scoring, subject.data, settings, seconds=clock() - start
                )
            )
        sheets = {"neighbours.png": neighbour_sheet(subject)} if test and subject.workers.is_main else {}
    return Evaluated(by_name(measurements), sheets)


def _score(config: KnnConfig, subject: ImageEncoderSubject, scoring: Scoring) -> tuple[float, dict[str, Any]]:
    bank, scored = subject.examples(*scoring.fitted), subject.examples(scoring.scored)
    voting = config.voting(len(bank.labels))

    def predict(rows: Tensor) -> Tensor:
        return knn_predict(
            scored.features[rows.to(scored.features.device)],
            bank,
            num_classes=len(subject.data.class_names),
            neighbours=voting["neighbours"],
            temperature=config.temperature,
        )

    predicted = in_shares(len(scored.labels), predict, subject.workers)
    return accuracy(predicted, scored.labels), voting


def neighbour_sheet(subject: ImageEncoderSubject) -> bytes:
    """A PNG file: in every row a test image, followed by the nearest images that the test bank holds.

    The test images are evenly spaced over their split.
    """
    data, bank = subject.data, subject.examples(*TESTING.fitted)
    shown = torch.linspace(0, len(data.test) - 1, min(SHEET_ROWS, len(data.test))).long()
    queries = subject.features("test")[shown.to(bank.features.device)]
    _, rows = nearest(queries, bank.features, COLUMNS - 1)
    [(asked, _)] = data.test.batches([shown])
    [(found, _)] = ConcatImages(data.train, data.validation).batches([rows.flatten().cpu()])
    pictures = torch.cat([asked[:, None], found.unflatten(0, rows.shape)], dim=1)
    return sheet(pictures.flatten(0, 1))
