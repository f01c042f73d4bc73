"""The columns of the three tables of records. Each field carries its description in its Parquet metadata."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pyarrow as pa

SCHEMA_VERSION = 2
"""Raised when a column changes its meaning. A new nullable column needs no new version.

Version 2 keeps a metric's split, label and kind in columns, where version 1 kept them in its name and
protocol, and gives pruned trials a status. `schema_1.py` reads version 1.
"""

Status = Literal["running", "finished", "pruned", "stopped", "diverged", "failed"]
ENDED: tuple[Status, ...] = ("finished", "pruned", "stopped", "diverged", "failed")


def _column(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


_TEXT, _NUMBER, _INTEGER = pa.string(), pa.float64(), pa.int64()
_REPEATED = pa.dictionary(pa.int32(), pa.string())
"""In memory each text is held once; in the files it is a string like any other."""
_TIME = pa.timestamp("us", tz="UTC")

TRIALS = pa.schema(
    [
        _column("schema_version", pa.int32(), "version of this table's layout"),
        _column("sweep", _TEXT, "name of the sweep"),
        _column("trial_id", _TEXT, "the arm and a hash of the trial's resolved configuration"),
        _column("task", _TEXT, "what is trained, for example gan"),
        _column("dataset", _TEXT, "name of the data set"),
        _column("dataset_hash", _TEXT, "hash of the decoded data and their preparation", nullable=True),
        _column("arm", _TEXT, "name of the arm; none is the baseline"),
        _column("negative", _TEXT, "the negative augmentation's label; empty without one", nullable=True),
        _column(
            "negative_data_json",
            _TEXT,
            "titles and content hashes of the data sets that negatives are drawn from, JSON pairs",
            nullable=True,
        ),
        _column("positive", _TEXT, "the positive augmentation's label; empty without one", nullable=True),
        _column(
            "lambda",
            _NUMBER,
            "weight that the task gives to the negatives or, in a GAN, to the generated fakes",
            nullable=True,
        ),
        _column("lambda_meaning", _TEXT, "what lambda weighs in this task, in words", nullable=True),
        _column("seed", _INTEGER, "seed of the repeat"),
        _column("parameters_json", _TEXT, "the other search parameters of the trial, a JSON object"),
        _column("config_json", _TEXT, "the whole resolved configuration, a JSON object"),
        _column(
            "status",
            _TEXT,
            "running, finished, pruned (by the scheduler), stopped (by the user), diverged or failed",
        ),
        _column("error", _TEXT, "why the trial did not finish, as text for people", nullable=True),
        _column("attempts", pa.int32(), "how often the trial was started or resumed", nullable=True),
        _column("started", _TIME, "when the trial first started (UTC)", nullable=True),
        _column("finished", _TIME, "when the trial ended (UTC)", nullable=True),
        _column("seconds", _NUMBER, "wall time spent in the trial, over all its attempts", nullable=True),
        _column(
            "images_per_second",
            _NUMBER,
            "real images (or clips) that all workers together train on per second",
            nullable=True,
        ),
        _column(
            "images_judged",
            _INTEGER,
            "images (or clips, or in DPC blocks) that the discriminator judged in its own steps, or that the "
            "encoders embedded, over the whole training",
            nullable=True,
        ),
        _column(
            "device",
            _TEXT,
            "the device that trained the model, for example cpu or NVIDIA H200",
            nullable=True,
        ),
        _column("hosts", pa.list_(_TEXT), "names of the machines that took part", nullable=True),
        _column("versions_json", _TEXT, "versions of ndabench and of its libraries, a JSON object"),
        _column(
            "plugins_json",
            _TEXT,
            "version and code hash of each plugin that the trial uses, a JSON object; null without any",
            nullable=True,
        ),
        _column(
            "git_commit",
            _TEXT,
            "commit of the code, with -dirty after it when the tree was not clean",
            nullable=True,
        ),
        _column(
            "notes",
            _TEXT,
            "what happened without ending the trial, such as a damaged checkpoint",
            nullable=True,
        ),
        _column(
            "external_json",
            _TEXT,
            "what was measured that no trial made, with its content hash, a JSON object; null for a trial",
            nullable=True,
        ),
    ]
)

METRICS = pa.schema(
    [
        _column("schema_version", pa.int32(), "version of this table's layout"),
        _column("sweep", _REPEATED, "name of the sweep"),
        _column("trial_id", _REPEATED, "the trial measured"),
        _column("step", _INTEGER, "training steps done when it was measured"),
        _column(
            "kind",
            _REPEATED,
            "curve (of the training), metric (the result of an evaluation) or check (of a machine)",
        ),
        _column("metric", _REPEATED, "name of the curve or metric, for example fd_classifier"),
        _column("split", _REPEATED, "validation or test; empty for a curve"),
        _column("label", _REPEATED, "what `as` in the sweep file adds to the name; empty without it"),
        _column("value", _NUMBER, "the value measured; may be NaN"),
        _column("better", _REPEATED, "lower, higher or neither"),
        _column("unit", _REPEATED, "unit of the value; empty when it has none"),
        _column("protocol_json", _REPEATED, "how it was measured, a JSON object with sorted keys"),
        _column("seconds", _NUMBER, "wall time of the measurement itself"),
        _column(
            "measured",
            _TIME,
            "when it was measured, if that was after the trial's end (UTC); null for what the trial measured",
            nullable=True,
        ),
        _column(
            "measured_by", _REPEATED, "version of the ndabench that measured it then, or null", nullable=True
        ),
    ]
)

ARTIFACTS = pa.schema(
    [
        _column("schema_version", pa.int32(), "version of this table's layout"),
        _column("sweep", _TEXT, "name of the sweep"),
        _column("trial_id", _TEXT, "the trial that made the file"),
        _column("step", _INTEGER, "training steps done when it was made"),
        _column("kind", _TEXT, "what it shows: the file name without its suffix, for example samples"),
        _column("path", _TEXT, "the file, relative to the folder of the sweep"),
        _column("sha256", _TEXT, "SHA-256 of the file, in hexadecimal digits", nullable=True),
    ]
)


NAME_PARTS = ["metric", "split", "label"]
"""The columns of `metrics` that `displayed_name` makes one name of, in its order."""


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One row of `trials`. `TRIALS` describes the columns; `lambda_` is the column `lambda`."""

    sweep: str
    trial_id: str
    task: str
    dataset: str
    arm: str
    seed: int
    config_json: str
    status: Status
    dataset_hash: str | None = None
    negative: str | None = None
    negative_data_json: str | None = None
    positive: str | None = None
    lambda_: float | None = None
    lambda_meaning: str | None = None
    parameters_json: str = "{}"
    error: str | None = None
    attempts: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    images_judged: int | None = None
    device: str | None = None
    hosts: tuple[str, ...] = ()
    versions_json: str = "{}"
    plugins_json: str | None = None
    git_commit: str | None = None
    notes: str | None = None
    external_json: str | None = None
    schema_version: int = SCHEMA_VERSION
