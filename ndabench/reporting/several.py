"""Several sweeps: their arms in one table, and each arm from sweep to sweep.

Values are compared only where task, content of the data, metric, split and protocol agree, and are paired at
equal seeds. Where sweeps differ in a setting of the task or of the data, their arms stay apart: each carries
the name of its sweep, and is compared with the baseline of that sweep. `all_arms` and `arm_by_arm` are
`Frames` like those of one sweep, so that the numbers come from the same `comparisons`.
"""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from ndabench.claims import Controls
from ndabench.errors import UserError
from ndabench.records import RecordStore
from ndabench.reporting.frames import Frames, Group, Setting, decoded, load, with_first_names

LOCATIONS = frozenset({"path", "download", "stream", "decode_workers", "cache", "weights", "plugins"})
"""Keys that say where something is, and not what it is."""
CONTENT = ("task", "data", "evaluate")
Value = str
"""A setting's value as JSON; empty where it is not recorded."""


@dataclass(frozen=True)
class Difference:
    """A setting, a version or the like whose value is not the same in all sweeps."""

    what: str
    values: tuple[str, ...]
    """One for each sweep, empty where it is not recorded."""


@dataclass(frozen=True)
class Sweeps:
    """Two or more sweeps by name, in the order given."""

    names: tuple[str, ...]
    parts: tuple[Frames, ...]

    @cached_property
    def all_arms(self) -> Frames:
        """Every arm of every sweep, each compared with the baseline."""
        kinds = [_without_evaluations(_kind(part)) for part in self.parts]
        apart = any(part.sampled for part in self.parts)
        titles = [
            name if apart else " + ".join(self._of_kind(kinds, kind))
            for name, kind in zip(self.names, kinds, strict=True)
        ]
        titles = titles if len(set(titles)) > 1 else [""] * len(titles)
        return self._joined(titles, self._arm_names(titles), reference=None)

    @cached_property
    def arm_by_arm(self) -> Frames:
        """The arms that several sweeps have, each compared with the same in the first sweep."""
        return self._joined(self.names, [{} for _ in self.names], reference=self.names[0])

    @cached_property
    def differences(self) -> list[Difference]:
        """What differs: settings first, then data, code, versions and devices."""
        found = [_kind(part) | _circumstances(part.trials) for part in self.parts]
        rows = [
            Difference(key, values)
            for key in dict.fromkeys(key for one in found for key in one)
            if len(set(values := tuple(one.get(key, "") for one in found))) > 1
        ]
        others = {f"{row.what.partition('.')[0]}." for row in rows if row.what in ("task.name", "data.name")}
        return [  # the keys of another task say nothing, nor do those of what only one has measured
            row
            for row in rows
            if row.what in ("task.name", "data.name")
            or (
                not row.what.startswith((*others,))
                and ("" not in row.values or not row.what.startswith("evaluate."))
            )
        ]

    def _of_kind(self, kinds: Sequence[Mapping[str, Value]], kind: Mapping[str, Value]) -> list[str]:
        return [name for name, other in zip(self.names, kinds, strict=True) if other == kind]

    def _arm_names(self, titles: Sequence[str]) -> list[dict[str, str]]:
        """For each sweep the arms that need another name: equal names would hide another definition."""
        renamed: list[dict[str, str]] = []
        known: dict[tuple[str, str], Hashable] = {}
        for name, part, title in zip(self.names, self.parts, titles, strict=True):
            mine = {arm: _definition(part, arm) for arm in part.arms}
            renamed.append(
                {
                    arm: f"{arm} ({name})"
                    for arm, definition in mine.items()
                    if known.setdefault((title, arm), definition) != definition
                }
            )
        return renamed

    def _joined(
        self, titles: Sequence[str], arm_names: Sequence[Mapping[str, str]], reference: str | None
    ) -> Frames:
        names = _names_of_data(self.parts)
        moved = [
            _moved(part, name, title, renamed, names)
            for part, name, title, renamed in zip(self.parts, self.names, titles, arm_names, strict=True)
        ]
        groups = sorted(
            {group for part in moved for group in part.groups},
            key=lambda group: (group.task, group.dataset, group.dataset_hash),
        )
        baseline = next((part.baseline for part in moved if part.baseline is not None), None)
        arms = list(dict.fromkeys(arm for part in moved for arm in part.arms))
        arms.sort(key=lambda arm: arm != baseline)
        order = {title: place for place, title in enumerate(titles)}
        settings = sorted(
            {setting for part in moved for setting in part.settings},
            key=lambda one: (
                arms.index(one.arm),
                -1.0 if one.lambda_ is None else one.lambda_,
                one.parameters,
                order[one.sweep],
            ),
        )
        objectives, budgets = {part.objectives for part in self.parts}, {part.budget for part in self.parts}

        def all_of(table: Callable[[Frames], pd.DataFrame]) -> pd.DataFrame:
            return pd.concat([_placed(table(part), part, groups, settings) for part in moved])

        metrics = all_of(lambda part: part.metrics)
        for column in ("name", "protocol_json"):
            metrics[column] = metrics[column].astype(str).astype("category")
        metrics["protocol_json"] = with_first_names(metrics["protocol_json"], names)
        return Frames(
            trials=all_of(lambda part: part.trials),
            metrics=metrics,
            checks=all_of(lambda part: part.checks),
            artifacts=all_of(lambda part: part.artifacts),
            groups=groups,
            settings=settings,
            arms=arms,
            baseline=baseline,
            sweep_text="",
            objectives=objectives.pop() if len(objectives) == 1 else (),
            sampled=any(part.sampled for part in self.parts),
            budget=budgets.pop() if len(budgets) == 1 else "steps",
            claim=None,  # it was named for one sweep, whose own report decides it
            controls=Controls(),
            seeds=tuple(dict.fromkeys(seed for part in self.parts for seed in part.seeds)),
            reference=reference,
        )


def read_sweeps(stores: Sequence[RecordStore]) -> Sweeps:
    """The sweeps of these folders; `UserError` for a folder without records, or one that is given twice."""
    require_records(stores)
    parts = tuple(load(store) for store in stores)
    return Sweeps(_names(stores, parts), parts)


def require_records(stores: Sequence[RecordStore]) -> None:
    """Raises `UserError` for a folder without records, and for one that is given twice."""
    for place, store in enumerate(stores):
        if not store.without_retry().list("trials"):
            raise UserError(f"{store.root}: no records here; give the folder of a sweep")
        if store.root in [other.root for other in stores[:place]]:
            raise UserError(f"{store.root}: given twice")


def _names(stores: Sequence[RecordStore], parts: Sequence[Frames]) -> tuple[str, ...]:
    """The sweeps' names or, where two are equal, as much of the end of each folder's path as tells them
    apart."""
    own = tuple(", ".join(part.trials["sweep"].unique()) for part in parts)
    if len(set(own)) == len(own):
        return own
    paths = [store.root.rstrip("/").split("/") for store in stores]
    depth = next(
        depth
        for depth in range(1, 1 + max(map(len, paths)))
        if len({tuple(path[-depth:]) for path in paths}) == len(paths)
    )
    return tuple("/".join(path[-depth:]) for path in paths)


def _kind(part: Frames) -> dict[str, Value]:
    """The settings that the arms of a sweep share, by dotted key: those of the baseline's first trial.

    What is searched is no setting, nor is what says where something lies. A setting that an older version did
    not record is missing here, and so differs.
    """
    own = part.trials[~part.trials["external"]]
    if own.empty:
        return {}
    of_baseline = own[own["arm"] == part.baseline]
    first = (of_baseline if len(of_baseline) else own).iloc[0]
    searched = _searched(part)
    shared = {key: value for key, value in _content(first).items() if key not in searched}
    of_all = sorted(key for key in searched if not key.startswith("task.arms."))
    return {**shared, "budget": json.dumps(part.budget), "searched": json.dumps(of_all)}


def _searched(part: Frames) -> set[str]:
    """The dotted keys of the task that are searched."""
    return {f"task.{name}" for setting in part.settings for name, _ in setting.parameters}


def _content(trial: pd.Series) -> dict[str, Value]:
    config = decoded(trial["config_json"])
    config = config if isinstance(config, dict) else {}
    found: dict[str, Value] = {}
    for key in CONTENT:
        found |= _flat(key, config.get(key))
    return found | {"evaluate": json.dumps(_evaluations(config.get("evaluate")))}


def _evaluations(value: Any) -> list[str]:
    found = value if isinstance(value, list) else []
    return [str(one.get("as") or one.get("name")) for one in found if isinstance(one, dict)]


def _flat(key: str, value: Any) -> dict[str, Value]:
    """The leaves of nested mappings by dotted key; a list of evaluations by their names."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        value = dict(zip(_evaluations(value), value, strict=True))
    if isinstance(value, dict) and value:
        return {
            name: leaf
            for inner, one in value.items()
            if inner not in LOCATIONS
            for name, leaf in _flat(f"{key}.{inner}", one).items()
        }
    return {key: json.dumps(value, sort_keys=True, ensure_ascii=False)}


def _without_evaluations(kind: Mapping[str, Value]) -> dict[str, Value]:
    """What is measured does not keep arms apart: protocols do, value by value."""
    return {key: value for key, value in kind.items() if key.partition(".")[0] != "evaluate"}


def _definition(part: Frames, arm: str) -> Hashable:
    """What makes the arm what it is: its augmentations, and the settings that are its own."""
    trials = part.trials[part.trials["arm"] == arm]
    shared, searched = _kind(part), _searched(part)
    own = {
        (key, value)
        for key, value in _content(trials.iloc[0]).items()
        if key not in searched and shared.get(key, value) != value
    }
    return frozenset(zip(trials["negative"], trials["positive"], strict=True)), frozenset(own)


def _circumstances(trials: pd.DataFrame) -> dict[str, str]:
    """What a result may depend on besides the settings: data, code, versions, devices."""
    facts: dict[str, list[str]] = {
        "data": [
            f"{name} {content}".strip()
            for name, content in zip(trials["dataset"], trials["dataset_hash"], strict=True)
        ],
        "code (git commit)": list(trials["git_commit"]),
        "device": list(trials["device"]),
    }
    for text in trials["versions_json"]:
        versions = decoded(text)
        for name, version in versions.items() if isinstance(versions, dict) else ():
            facts.setdefault(name, []).append(str(version))
    return {name: "; ".join(dict.fromkeys(filter(None, values))) for name, values in facts.items()}


def _names_of_data(parts: Sequence[Frames]) -> dict[str, str]:
    """The first name that each content of data has: a folder may have another elsewhere."""
    names: dict[str, str] = {}
    for part in parts:
        for group in part.groups:
            if group.dataset_hash:
                names.setdefault(group.dataset_hash, group.dataset)
    return names


def _moved(
    part: Frames, name: str, title: str, renamed: Mapping[str, str], names: Mapping[str, str]
) -> Frames:
    """The sweep with names that are its own where another sweep is next to it."""

    def of_sweep(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(trial_id=[f"{name}/{one}" for one in frame["trial_id"].astype(str)])

    trials = part.trials.assign(arm=part.trials["arm"].map(lambda arm: renamed.get(arm, arm)))
    return replace(
        part,
        trials=trials.set_axis([f"{name}/{one}" for one in trials.index]).rename_axis("trial_id"),
        metrics=of_sweep(part.metrics),
        checks=of_sweep(part.checks),
        artifacts=of_sweep(part.artifacts),
        groups=[
            Group(group.task, names.get(group.dataset_hash, group.dataset), group.dataset_hash)
            for group in part.groups
        ],
        settings=[
            replace(setting, arm=renamed.get(setting.arm, setting.arm), sweep=title)
            for setting in part.settings
        ],
        arms=[renamed.get(arm, arm) for arm in part.arms],
    )


def _placed(
    frame: pd.DataFrame, part: Frames, groups: Sequence[Group], settings: Sequence[Setting]
) -> pd.DataFrame:
    """A table of a sweep with the positions in the lists of all sweeps."""
    at_group = {place: groups.index(group) for place, group in enumerate(part.groups)}
    at_setting = {place: settings.index(setting) for place, setting in enumerate(part.settings)}
    return frame.assign(
        group=frame["group"].map(at_group).astype("int64"),
        setting=frame["setting"].map(at_setting).astype("int64"),
    )
