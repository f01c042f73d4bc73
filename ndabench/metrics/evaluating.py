"""Measuring a subject by a list of evaluations: the one entry point that every task uses.

    subject = ImageEncoderSubject(encoder, data, seed=seed, workers=workers)
    for news in evaluate(evaluations, subject, test=True, done=finished):
        if isinstance(news, Evaluated):
            finished.append(news.evaluation)  # and keep news.measurements

All workers of a trial iterate in step and get equal values; files are given on the main worker only. The
results of an evaluation are plain data (`Evaluated.to_plain`), so that a checkpoint can hold them and a
trial that was stopped between two evaluations does not measure the first one again.
"""

import inspect
import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.registry import EVALUATIONS
from ndabench.metrics.results import Evaluated, EvaluationProgress
from ndabench.metrics.subjects import Preparation, Subject
from ndabench.registry import load

_log = logging.getLogger(__name__)


def evaluate(
    evaluations: Sequence[Evaluation],
    subject: Subject,
    *,
    test: bool,
    done: Sequence[str] = (),
    resume_from: EvaluationProgress | None = None,
) -> Iterator[Evaluated | EvaluationProgress]:
    """Yields the results of each evaluation in turn, and the progress of those that take long.

    Every evaluation gives `val_<metric>` from the validation split; `test` allows the test split to be used,
    and gives `<metric>` as well. Evaluations whose keys are in `done` are skipped, and the one that
    `resume_from` belongs to continues from its state, with results equal to those of one that was never
    stopped (bit for bit on a CPU). Seconds include an equal part of the work that evaluations share.
    """
    subject.shared.plan(evaluations)
    subject.plan(evaluations)
    for evaluation in evaluations:
        if evaluation.key in done:
            continue
        entry = EVALUATIONS[evaluation.name]
        assert entry.measures(subject.kind), f"{evaluation.name} measures a {entry.subject}"
        measure = load(entry.measure)
        if inspect.isgeneratorfunction(measure):
            here = resume_from is not None and resume_from.evaluation == evaluation.key
            state = resume_from.state if resume_from is not None and here else None
            found = yield from _named(evaluation.key, measure(evaluation, subject, test=test, state=state))
        else:
            found = measure(evaluation, subject, test=test)
        found = found.longer_by(subject.shared.seconds_of(evaluation)).renamed(evaluation)
        yield replace(found, evaluation=evaluation.key)


def _named(
    key: str, running: Generator[EvaluationProgress, None, Evaluated]
) -> Generator[EvaluationProgress, None, Evaluated]:
    """The same generator; its progress says which evaluation it belongs to."""
    while True:
        try:
            progress = next(running)
        except StopIteration as end:
            found: Evaluated = end.value
            return found
        yield replace(progress, evaluation=key)


def prepare(evaluations: Sequence[Evaluation], preparation: Preparation) -> None:
    """Fetches and fits what the evaluations need, and finds what could stop them later, before any training.

    Raises `UserError` for missing files or weights, and for evaluations that the data, the number of workers
    or the device do not allow. Slow work (training a classifier, a download) comes last.
    """
    for evaluation in evaluations:
        evaluation.check(preparation.data)
    for evaluation in evaluations:
        entry = EVALUATIONS[evaluation.name]
        if entry.prepare is not None:
            _log.info("preparing %s", evaluation.key)
            load(entry.prepare)(evaluation, preparation)
