"""Measures a subject from outside, and records it in the schema of trials, marked as external.

The folder may be that of a sweep: its report then shows the values next to those of the arms. A record is
named by a hash of what was measured, so that measuring it again replaces the row.
"""

import hashlib
import json
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from time import perf_counter
from typing import Any

import torch
from pydantic import TypeAdapter

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.evaluating import evaluate, prepare
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.results import Evaluated, merge
from ndabench.metrics.subjects import Preparation, Subject
from ndabench.records import SWEEP_FILE, RecordStore, TrialRow
from ndabench.tasks.registry import TASKS
from ndabench.trials.config import git_commit, versions

NAME = re.compile(r"[\w.:+ -]{1,60}")


@dataclass(frozen=True)
class External:
    """What was measured, for the record."""

    name: str
    """What tables call it."""
    kind: str
    """images, encoder, generator or discriminator."""
    content_hash: str
    details: Mapping[str, Any]
    """Other properties, plain data: the keys that matched, how inputs were normalised."""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UserError(
                f"--name: needs 1 to 60 letters, digits or . : + - _ and spaces, got {self.name!r}"
            )

    @property
    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, "sha256": self.content_hash, **self.details}


def require_same_data(store: RecordStore, data_hash: str) -> None:
    """`UserError` where the folder holds a sweep on other data, which could then not be resumed."""
    seen = {known for known in store.read_trials()["dataset_hash"].to_pylist() if known}
    if store.read_bytes(SWEEP_FILE) is not None and seen - {data_hash}:
        raise UserError(
            f"{store.root}: holds a sweep on other data (content hash {min(seen - {data_hash})[:10]}, here "
            f"{data_hash[:10]}); measure on its data, or give --out another folder"
        )


def measure(
    external: External,
    subject: Subject,
    data: Any,
    evaluations: Sequence[Evaluation],
    store: RecordStore,
    workers: Workers,
    *,
    sweep: str,
    config: Mapping[str, Any],
    told: Callable[[str], None] = lambda line: None,
    one_split: bool = False,
) -> Evaluated:
    """Measures the subject by `evaluations` on the validation and test splits, and records the results.

    `config` is kept as the record's configuration. With `one_split`, where the data have only one, the values
    of the validation split are left out. `UserError` before anything is written.
    """
    started, begin = datetime.now(timezone.utc), perf_counter()
    require_same_data(store, data.content_hash)
    prepare(evaluations, Preparation(data, workers.device))
    parts = []
    for news in evaluate(evaluations, subject, test=True):
        if isinstance(news, Evaluated):
            parts.append(news)
            told(f"{news.evaluation}: measured")
    found = merge(parts)
    if one_split:
        kept = {name: one for name, one in found.measurements.items() if one.split != "validation"}
        found = replace(found, measurements=kept)
    row = TrialRow(
        sweep=sweep,
        trial_id=_identity(external, data.content_hash),
        task=next(name for name, task in TASKS.items() if task.produces == subject.kind),
        dataset=data.name,
        dataset_hash=data.content_hash,
        arm=external.name,
        seed=0,
        config_json=json.dumps({"external": external.plain, **config}, sort_keys=True, default=str),
        status="finished",
        attempts=1,
        started=started,
        finished=datetime.now(timezone.utc),
        seconds=perf_counter() - begin,
        device=torch.cuda.get_device_name(workers.device) if workers.device.type == "cuda" else "cpu",
        hosts=(socket.gethostname(),),
        versions_json=json.dumps(versions(), sort_keys=True),
        git_commit=git_commit(),
        notes="; ".join((*external.notes, *found.notes)) or None,
        external_json=json.dumps(external.plain, sort_keys=True),
    )
    store.write_progress(sweep, row.trial_id, 0, found.measurements, found.artifacts)
    store.write_trial(row)
    return found


def _identity(external: External, data_hash: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", external.name.lower()).strip("-")[:24] or "external"
    content = json.dumps([external.name, external.plain, data_hash], sort_keys=True)
    return f"{slug}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"


def dumped(config: Any) -> Any:
    """A configuration as plain data, for `config_json`."""
    return TypeAdapter(Any).dump_python(config, mode="json", by_alias=True)
