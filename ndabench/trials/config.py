"""The configuration of a trial: an arm at one setting and one seed, its id, and the first row of its record.

The id is a hash of the resolved configuration, so that a resumed or extended sweep knows what it already has.
Nothing here imports torch.
"""

import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import Field, model_validator

from ndabench.augmentations.specification import NegativeSpec, configurations
from ndabench.config import Config, Seed, parse, without
from ndabench.data.registry import DataConfig
from ndabench.errors import UserError
from ndabench.metrics.registry import EvaluationConfig
from ndabench.plugins import plugins_first, used_plugins
from ndabench.records import RecordStore, TrialRow
from ndabench.tasks.registry import TASKS, AnyTaskConfig, augmentation_label, require_negative


class TrialConfig(Config):
    """Everything that decides a trial's result."""

    arm: str
    plugins: tuple[str, ...] = ()
    task: AnyTaskConfig
    data: DataConfig
    negative: NegativeSpec | None = None
    positive: NegativeSpec | None = None
    lambda_: float = Field(ge=0, le=1e6, alias="lambda")
    """Its range and meaning depend on the task; see its `lambda_rule`."""
    seed: Seed = 0
    evaluate: tuple[EvaluationConfig, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    """The searched values other than λ, as they were set in `task`; tables show them separately."""

    @model_validator(mode="before")
    @classmethod
    def _plugins_first(cls, value: Any) -> Any:
        return plugins_first(value)

    @model_validator(mode="after")
    def _augmentations_are_the_tasks(self) -> "TrialConfig":
        for spec in (self.negative, self.positive):
            if spec is not None:
                require_negative(self.task, spec)
        for config in configurations(self.positive):
            raise UserError(
                f"positive: {config.label} replaces the training images; it can only be a negative"
            )
        return self

    @classmethod
    def from_json(cls, text: str) -> "TrialConfig":
        """Undoes `to_json`; `UserError` in one line for the text of another version, and where a plugin is
        not installed here."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise UserError("trial: not JSON") from None
        return parse(cls, value, "trial")

    def to_json(self) -> str:
        """The canonical text of the configuration: the same configuration, the same text."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)

    @property
    def trial_id(self) -> str:
        """`<arm>-<hash>`: stable across machines and runs, safe as a file name.

        The hash is that of the configuration, not of the data's content: a dry run, which opens no data, must
        know it, and two sets in two folders may share ids. The trial's row has the hash of the content, and
        `take_ownership` compares it.
        """
        slug = re.sub(r"[^a-z0-9]+", "-", self.arm.lower()).strip("-")[:24] or "arm"
        content = json.dumps(without_locations(json.loads(self.to_json())), sort_keys=True)
        return f"{slug}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"

    @property
    def label(self) -> str:
        """`jigsaw λ=0.25 learning_rate=0.0002 seed 1`, for progress lines."""
        parts = [self.arm]
        if self.negative is not None:
            parts.append(f"λ={self.lambda_:g}")
        parts += [
            f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in self.parameters.items()
        ]
        return " ".join([*parts, f"seed {self.seed}"])


def recorded_configuration(store: RecordStore, trial_id: str, config_json: str) -> TrialConfig:
    """The configuration in a trial's row; `UserError`, naming the file, where this version cannot read it."""
    try:
        return TrialConfig.from_json(config_json)
    except UserError as error:
        path = store.local_path(f"trials/{trial_id}.parquet")
        why = f"its configuration is not of this version ({str(error)[:200]})"
        raise UserError(f"{path}: row 1: {why}") from None


LOCATION_KEYS = frozenset({"path", "download", "stream", "decode_workers", "cache", "weights"})
"""Keys of data and evaluations that say where something is, not what it is: a sweep may move.

Folders inside a `path` are not among them, since `split_lists` of another name may list other videos. Nor is
the `decoder` of videos, since each decoder rounds colours differently.
"""


def without_locations(config: Mapping[str, Any]) -> dict[str, Any]:
    """A dumped configuration without the `LOCATION_KEYS` of its data, evaluations and negatives.

    Also left out: the path of the weights that its task starts from, since the configuration holds their
    hash, and the `plugins`, since other arms may need more of them.
    """
    return {
        **without({"plugins"}, config),
        "task": without({"path"}, config["task"]),
        "data": without(LOCATION_KEYS, config["data"]),
        "evaluate": [without(LOCATION_KEYS, part) for part in config["evaluate"]],
        **{key: negative_without_locations(config[key]) for key in AUGMENTATIONS if config.get(key)},
        **({"arms": [_arm_without_locations(arm) for arm in config["arms"]]} if "arms" in config else {}),
    }


AUGMENTATIONS = ("negative", "positive")


def negative_without_locations(dumped: Any) -> Any:
    """A dumped negative without the `LOCATION_KEYS` of the data sets that parts of it are drawn from."""
    if isinstance(dumped, list):
        return [negative_without_locations(part) for part in dumped]
    if not isinstance(dumped, Mapping):
        return dumped
    return {
        key: without(LOCATION_KEYS, value) if key == "data" else negative_without_locations(value)
        for key, value in dumped.items()
    }


def _arm_without_locations(arm: Any) -> Any:
    return {**arm, **{key: negative_without_locations(arm[key]) for key in AUGMENTATIONS if arm.get(key)}}


class Cost(NamedTuple):
    """What one trial of an arm takes."""

    arm: str
    num_steps: int
    seconds_per_step: float
    seconds_measuring: float
    """Of all its measurements."""
    checkpoint_bytes: int
    memory_bytes: int
    """Of its process or, on a GPU, of the device."""

    @property
    def seconds(self) -> float:
        return self.num_steps * self.seconds_per_step + self.seconds_measuring


class Prepared(NamedTuple):
    """What preparing a sweep's trials found out, for a driver that opens no data itself."""

    data_hash: str
    """The content hash of the training data."""
    checked: int = 0
    """How many combinations of settings took training steps."""
    notes: tuple[str, ...] = ()
    """Lines for the user: how many outputs of each negative equal their input, what the evaluations say."""
    negative_data: Mapping[str, Sequence[str]] = MappingProxyType({})
    """The content hashes of the data sets that the negative of each arm is drawn from, if any."""
    counts: str = ""
    """How many examples the data have, by split and class, a line for the user."""
    costs: Sequence[Cost] = ()
    """What a trial of each arm takes, where that was timed."""


@dataclass(frozen=True)
class Provenance:
    """Facts that the sweep's driver knows and a worker on another machine may not know."""

    sweep: str
    git_commit: str = ""


def git_commit() -> str:
    """The commit of the code that runs, with `-dirty` after it where it was changed; empty if unknown."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # an installed copy may be inside another repository
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def planned_row(trial: TrialConfig, provenance: Provenance) -> TrialRow:
    """The row of a trial before it begins, with the versions of the code that will run it here."""
    plugins = used_plugins(trial.model_dump(mode="json", by_alias=True))
    return TrialRow(
        sweep=provenance.sweep,
        trial_id=trial.trial_id,
        task=trial.task.name,
        dataset=trial.data.name,
        arm=trial.arm,
        negative=augmentation_label(trial.task, trial.negative),
        positive=augmentation_label(trial.task, trial.positive),
        lambda_=trial.lambda_,
        lambda_meaning=TASKS[trial.task.name].lambda_rule.meaning,
        seed=trial.seed,
        parameters_json=json.dumps(trial.parameters, sort_keys=True),
        config_json=trial.to_json(),
        status="running",
        versions_json=json.dumps(versions(), sort_keys=True),
        plugins_json=json.dumps(plugins) if plugins else None,
        git_commit=provenance.git_commit,
    )


def versions() -> dict[str, str]:
    """The versions of what a result depends on, by package."""
    found = {"python": platform.python_version()}
    for package in ("ndabench", "torch", "torchvision", "ray", "optuna", "numpy", "torchmetrics"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
