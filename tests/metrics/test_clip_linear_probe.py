"""The linear probe of videos against scikit-learn's logistic regression and a loop over videos."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.clip_encoders.config import ClipLinearProbeConfig
from ndabench.metrics.clip_encoders.linear_probe import probe_scores
from ndabench.metrics.clip_encoders.video_scores import mean_softmax, top_accuracy
from ndabench.metrics.clip_encoders.windows import Windows

CLASSES = 4


def windows(num_videos: int, seed: int) -> Windows:
    """Overlapping classes; videos have one to three windows, which differ."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(CLASSES, (num_videos,), generator=generator)
    videos = torch.arange(num_videos).repeat_interleave(torch.arange(num_videos) % 3 + 1)
    return Windows(centres[labels][videos] + torch.randn(len(videos), 6, generator=generator), videos, labels)


def test_scores_are_those_of_scikit_learn_averaged_by_hand() -> None:
    fitted, scored, penalties = windows(300, 1), windows(200, 2), [1e-3, 1e-1]
    found, *_ = probe_scores(
        penalties, fitted, scored, num_classes=CLASSES, max_iterations=5000, workers=Workers()
    )
    for penalty, scores in zip(penalties, found, strict=True):
        scaler = StandardScaler().fit(fitted.values.double().numpy())
        theirs = LogisticRegression(C=1 / (penalty * len(fitted.values)), tol=1e-8, max_iter=10_000)
        theirs.fit(scaler.transform(fitted.values.double().numpy()), fitted.labels[fitted.videos].numpy())
        each = theirs.predict_proba(scaler.transform(scored.values.double().numpy()))
        expected = [each[(scored.videos == video).numpy()].mean(0) for video in range(200)]
        np.testing.assert_allclose(scores.numpy(), np.stack(expected), atol=1e-4)
        percent = 100 * np.mean(np.argmax(expected, 1) == scored.labels.numpy())
        assert 40 < percent < 95
        assert top_accuracy(scores, scored.labels, 1) == pytest.approx(percent)


def test_workers_share_the_penalties() -> None:
    fitted, scored, penalties = windows(60, 1), windows(20, 2), [1e-3, 1e-2, 1e-1]

    class Unsummed(Workers):
        def all_reduce_sum(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor

    def scores(workers: Workers) -> torch.Tensor:
        found, *_ = probe_scores(
            penalties, fitted, scored, num_classes=CLASSES, max_iterations=50, workers=workers
        )
        return found

    first, second = scores(Unsummed(0, 2)), scores(Unsummed(1, 2))
    assert torch.equal(first + second, scores(Workers()))
    assert first[1].count_nonzero() == second[0].count_nonzero() == 0


def test_a_video_is_decided_on_by_the_mean_of_its_softmax_and_not_of_its_logits() -> None:
    logits = torch.tensor([[9.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [2.0, 1.0]])
    means = mean_softmax(Windows(logits, torch.tensor([0, 0, 0, 0, 1]), torch.tensor([1, 0])))
    assert means.argmax(1).tolist() == [1, 0]
    torch.testing.assert_close(means.sum(1), torch.ones(2, dtype=torch.float64))


def test_top_accuracies_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(50, 8, generator=generator)
    labels = torch.randint(8, (50,), generator=generator)
    for count in (1, 5):
        hits = sum(int(label) in scores[row].argsort()[-count:] for row, label in enumerate(labels))
        assert top_accuracy(scores, labels, count) == 100 * hits / 50
    scores[3, 2] = torch.nan
    assert np.isnan(top_accuracy(scores, labels, 1))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="penalties: must not be empty"):
        parse(ClipLinearProbeConfig, {"penalties": []}, "evaluate")
