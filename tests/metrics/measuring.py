"""Measuring without a stop."""

from collections.abc import Sequence

from ndabench.metrics.evaluating import evaluate
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.results import Evaluated, merge
from ndabench.metrics.subjects import Subject


def evaluate_all(evaluations: Sequence[Evaluation], subject: Subject, *, test: bool) -> Evaluated:
    """The results of all evaluations, for callers that never stop in between."""
    news = evaluate(evaluations, subject, test=test)
    return merge([one for one in news if isinstance(one, Evaluated)])
