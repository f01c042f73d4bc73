"""The model card of exported networks: a YAML header as hubs read it, then the same for people.

The header follows Hugging Face's model cards: `model-index` has each value with the data that it was measured
on, and its protocol in `args`. The key `ndabench` has what made the networks. Nothing here imports torch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ndabench.foreign_text import escaped
from ndabench.measurement import displayed_name
from ndabench.metrics.subjects import CLIP_ENCODER, GENERATOR, IMAGE_ENCODER, TRANSLATOR
from ndabench.records import RecordStore, TrialRow
from ndabench.tasks.registry import TASKS
from ndabench.trials.config import without_locations
from ndabench.version import __version__

HUB_TASKS: Mapping[str, str] = {
    GENERATOR: "unconditional-image-generation",
    TRANSLATOR: "image-to-image",
    IMAGE_ENCODER: "image-feature-extraction",
    CLIP_ENCODER: "video-classification",
}
"""What Hugging Face calls the task of a network, by the kind of subject that it is here."""
UNKNOWN_LICENSE = "unknown"


@dataclass(frozen=True)
class Listed:
    """An exported network in the card."""

    name: str
    takes: str
    gives: str
    files: Sequence[str]


def final_values(store: RecordStore, trial_id: str, step: int) -> list[dict[str, Any]]:
    """What evaluations measured at `step`, rows of the table of metrics."""
    rows = store.read_metrics().to_pylist()
    return [row for row in rows if (row["trial_id"], row["step"], row["kind"]) == (trial_id, step, "metric")]


def model_card(
    row: TrialRow, step: int, values: Sequence[Mapping[str, Any]], networks: Sequence[Listed], license: str
) -> str:
    """The text of README.md. `values` are rows of the table of metrics."""
    header = {
        "license": license,
        "tags": ["ndabench", "negative-data-augmentation", row.task],
        "datasets": [row.dataset],
        "ndabench": _made_by(row, step),
        "model-index": [{"name": row.trial_id, "results": _results(row, values)}],
    }
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=110)}---",
        f"# {_plain(row.trial_id)}",
        f"Trained by ndabench {__version__} on {_plain(row.dataset)}: task {row.task}, arm {_plain(row.arm)}"
        f"{_augmented(row)}, seed {row.seed}, {step:,} steps.",
    ]
    if license == UNKNOWN_LICENSE:
        parts.append(
            "No licence was chosen; the terms of the data may limit what the weights may be used for."
        )
    if networks:
        parts += ["## Networks", _table(("network", "takes", "gives", "files"), map(_of_network, networks))]
    if any(file.endswith(".pt2") for one in networks for file in one.files):
        program = next(file for one in networks for file in one.files if file.endswith(".pt2"))
        parts.append(
            "A `.pt2` holds the network with its weights and needs torch alone; a `.safetensors` holds the "
            f"weights by the network's own names.\n\n```python\nimport torch\n\nnetwork = "
            f'torch.export.load("{program}").module()\n```'
        )
    parts += ["## Values", _table(("value", "unit", "split", "protocol"), map(_of_value, values))]
    config = yaml.safe_dump(without_locations(json.loads(row.config_json)), allow_unicode=True, width=110)
    return "\n\n".join([*parts, "## Configuration", f"```yaml\n{config}```"]) + "\n"


def _made_by(row: TrialRow, step: int) -> dict[str, Any]:
    found = {
        "version": __version__,
        "sweep": row.sweep,
        "trial": row.trial_id,
        "task": row.task,
        "data": row.dataset,
        "data_hash": row.dataset_hash,
        "arm": row.arm,
        "negative": row.negative or None,
        "positive": row.positive or None,
        "lambda": row.lambda_,
        "lambda_meaning": row.lambda_meaning,
        "seed": row.seed,
        "step": step,
        "status": row.status,
        "versions": json.loads(row.versions_json),
        "git_commit": row.git_commit or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _results(row: TrialRow, values: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    produces = TASKS[row.task].produces if row.task in TASKS else ""
    results = []
    for split in dict.fromkeys(one["split"] for one in values):
        measured = [
            {
                "type": one["metric"],
                "name": displayed_name(one["metric"], one["split"], one["label"]),
                "value": one["value"],
                "args": json.loads(one["protocol_json"]),
            }
            for one in values
            if one["split"] == split
        ]
        data = {"type": row.dataset, "name": row.dataset, "split": split, "revision": row.dataset_hash}
        task = {"type": HUB_TASKS.get(produces, "other"), "name": row.task}
        results.append({"task": task, "dataset": data, "metrics": measured})
    return results


def _augmented(row: TrialRow) -> str:
    negative = f", negative {_plain(row.negative)} at λ = {row.lambda_:g}" if row.negative else ""
    return negative + (f", positive {_plain(row.positive)}" if row.positive else "")


def _of_network(one: Listed) -> tuple[str, ...]:
    return one.name, one.takes, one.gives, ", ".join(f"`{file}`" for file in one.files)


def _of_value(one: Mapping[str, Any]) -> tuple[str, ...]:
    name = displayed_name(one["metric"], one["split"], one["label"])
    return f"{name} {one['value']:.6g}", one["unit"], one["split"], f"`{one['protocol_json']}`"


def _table(heads: Sequence[str], rows: Any) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)


def _plain(text: str | None) -> str:
    """Text from outside as one cell of Markdown."""
    return escaped(text or "").replace("|", "\\|").replace("<", "&lt;")
