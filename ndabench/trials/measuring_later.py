"""Measures a finished trial once more: its networks are restored, and the values added to its records."""

from collections.abc import Sequence
from dataclasses import replace

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.evaluating import evaluate
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.results import Evaluated
from ndabench.records import RecordStore
from ndabench.tasks.trainer import next_result
from ndabench.trials.config import TrialConfig
from ndabench.trials.run import restored
from ndabench.version import __version__


def measure_later(
    trial: TrialConfig, evaluations: Sequence[Evaluation], store: RecordStore, workers: Workers
) -> dict[str, float]:
    """Measures the trial at its last step on both splits, and records each evaluation once it is done.

    The networks, the weights and the random streams are those of its own measurements at that step. Returns
    the values by displayed name. `UserError` where its networks cannot be restored.
    """
    row = store.read_trial(trial.trial_id)
    trainer = restored(trial, store, workers)
    if row is None or trainer.step != trial.task.num_steps:
        raise UserError(
            f"{trial.trial_id}: its newest checkpoint is of step {trainer.step}, not of its last step"
        )
    news = evaluate(evaluations, trainer.task.subject(trainer.step), test=True)
    done: list[Evaluated] = []
    while (one := next_result(news, evaluations, len(done))) is not None:
        if not isinstance(one, Evaluated):
            continue
        done.append(one)
        if not workers.is_main:
            continue
        store.add_measurements(
            row.sweep, trial.trial_id, trainer.step, one.measurements, one.artifacts, version=__version__
        )
        said = row.notes or ""
        if new := "; ".join(note for note in one.notes if note not in said):
            row = replace(row, notes=f"{said}; {new}" if said else new)
            store.write_trial(row)
    return {name: value.value for part in done for name, value in part.measurements.items()}
