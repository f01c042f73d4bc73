"""Records as data frames, with what tables and figures need: groups, settings and final values."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import pandas as pd

from ndabench.claims import BASELINE, ClaimFamily, Controls
from ndabench.config import Config, parse
from ndabench.errors import UserError
from ndabench.foreign_text import escaped
from ndabench.measurement import displayed_name
from ndabench.records import PLAN_FILE, SWEEP_FILE, RecordStore
from ndabench.records.damage import DamagedError, require_intact
from ndabench.records.schema import NAME_PARTS
from ndabench.yaml_reading import parse_yaml

SETTING_KEY = ["arm", "negative", "positive", "lambda", "parameters_json", "external"]
PLANNED = {"claim": "the claim", "controls": "the controls", "seeds": "the seeds", "search": "the search"}
"""Keys of the sweep that must be as they were before the first training step, or a claim is exploratory."""
COMPARISON_KEY = ["group", *NAME_PARTS, "protocol_json"]
"""The columns in which values must agree to be compared."""
METRICS_GONE = "metrics gone"
"""The status here of a finished trial whose metrics file is no longer there; the records still say finished.
"""
EXTERNAL = " (external)"
"""Ends the arm's name of what was trained elsewhere and only measured here."""
SAMPLING_KEYS = frozenset({"weights", "batch_norm", "batch_size"})
"""The keys of a protocol that say how a generator was sampled, which is not known of external pictures."""
ConfigT = TypeVar("ConfigT", bound=Config)
METRIC_COLUMNS = [
    *("trial_id", "step", "kind", *NAME_PARTS, "value", "better", "unit", "protocol_json"),
    *("measured", "measured_by"),
]


@dataclass(frozen=True)
class Group:
    """The trials that may be compared: one task on one data set (of the same content, not only name)."""

    task: str
    dataset: str
    dataset_hash: str

    @property
    def label(self) -> str:
        return f"{self.task} on {self.dataset}"


@dataclass(frozen=True)
class Setting:
    """An arm at one λ and one choice of the other searched parameters. Its repeats differ in the seed."""

    arm: str
    lambda_: float | None
    negative: str
    positive: str
    parameters: tuple[tuple[str, str], ...]
    """Name and JSON value: exact, so that settings that differ only in hidden digits stay separate."""
    external: bool = False
    """Whether it was trained elsewhere: it is shown next to the arms and never tested."""
    sweep: str = ""
    """The sweep it belongs to, where several are shown that differ in more than their arms."""

    @property
    def shown_parameters(self) -> dict[str, str]:
        return {name: _compact(decoded(value)) for name, value in self.parameters}

    @property
    def label(self) -> str:
        """`jigsaw at λ = 0.25, learning_rate = 0.0002`, of several sweeps with `in second` after it."""
        details = [] if self.lambda_ is None else [f"λ = {self.lambda_:g}"]
        details += [f"{name} = {value}" for name, value in self.shown_parameters.items()]
        label = f"{self.arm} at {', '.join(details)}" if details else self.arm
        return f"{label} in {self.sweep}" if self.sweep else label


@dataclass(frozen=True)
class Frames:
    """One sweep's records, or those of several (`several.py`).

    `trials` is indexed by trial id and carries `group` and `setting`, positions in `groups` and `settings`;
    `metrics` carries both, `seed`, and each value's displayed `name`. Both lists are in the order of the
    report: the baseline first, then the arms as in the sweep file.
    """

    trials: pd.DataFrame
    metrics: pd.DataFrame
    checks: pd.DataFrame
    """What `benchmarks/gpu` measured, in the columns of `metrics`."""
    artifacts: pd.DataFrame
    groups: list[Group]
    settings: list[Setting]
    arms: list[str]
    baseline: str | None
    sweep_text: str
    objectives: tuple[str, ...]
    """The names, on the test split, of the metrics that the search looked at on the validation split."""
    sampled: bool
    """Whether the settings come from a random or TPE search, and not from a grid."""
    budget: str
    """What trials have equally much of: `steps` or `compute`."""
    claim: ClaimFamily | None = None
    controls: Controls = field(default_factory=Controls)
    replanned: tuple[str, ...] = ()
    """What of the plan changed after the first training step."""
    seeds: tuple[int, ...] = ()
    """The seeds of the sweep file."""
    arms_left: tuple[str, ...] = ()
    """Arms in the records that the sweep file no longer has; tables show them."""
    all_seeds: bool = False
    """Whether seeds that the sweep file no longer names count as repeats."""
    search_seed: int | None = None
    """The seed of a sampled search; None for a grid, and where the file does not name it."""
    sampler: str = ""
    """What sampled the settings of a search; empty for a grid, and where the file does not name it."""
    searched: tuple[str, ...] = ()
    """The keys that the sweep file searches."""
    reference: str | None = None
    """The sweep that each setting's others are compared with; None: arms are compared with the baseline."""

    @property
    def objective(self) -> str | None:
        """The first of the `objectives`."""
        return next(iter(self.objectives), None)

    @property
    def measure(self) -> str | None:
        """The name of the primary measure on the test split."""
        return (self.claim.measure if self.claim is not None else None) or self.objective

    def colour(self, setting: Setting) -> int:
        return self.arms.index(setting.arm)

    @cached_property
    def finals(self) -> pd.DataFrame:
        """One row per finished trial, metric and protocol, measured at the trial's last step.

        If two finished trials share setting and seed (their configurations differ elsewhere), the one that
        finished last counts. `repeat` is False for trials of the search's own seed.
        """
        done = self.trials[self.trials["status"] == "finished"].drop(self.left_out.index)
        metrics = self.metrics[self.metrics["trial_id"].isin(done.index)]
        last = metrics.groupby("trial_id", observed=True)["step"].transform("max")
        metrics = metrics[(metrics["step"] == last) & (metrics["kind"] == "metric")]
        details = done[["finished", "repeat", "config_json"]]
        finals = metrics.join(details, on="trial_id").sort_values("finished", kind="stable")
        return finals.drop_duplicates([*COMPARISON_KEY, "setting", "seed"], keep="last")

    @cached_property
    def lost(self) -> pd.DataFrame:
        """The repeats that have not finished, unless another trial with that setting and seed has."""
        repeats = self.trials[self.trials["repeat"]]
        repeats = repeats.sort_values("status", key=lambda status: status != "finished", kind="stable")
        repeats = repeats.drop_duplicates(["group", "setting", "seed"])
        return repeats[repeats["status"] != "finished"]

    @cached_property
    def left_out(self) -> pd.DataFrame:
        """The finished trials of seeds that the sweep file no longer names, and that no search used."""
        trials = self.trials
        if self.sampled and self.search_seed is None:  # any other seed may be the search's
            return trials.iloc[:0]
        named = trials["repeat"] | (trials["seed"] == self.search_seed)
        return trials[(trials["status"] == "finished") & ~named]

    @cached_property
    def doubled(self) -> int:
        """How many finished trials are left out because a later one has the same setting and seed."""
        done = self.trials[self.trials["status"] == "finished"]
        return int(done.duplicated(["group", "setting", "seed"]).sum())


def load(store: RecordStore, *, all_seeds: bool = False) -> Frames:
    """Everything recorded so far; works at any moment of a sweep, and on an empty folder.

    With `all_seeds` also seeds that the sweep file no longer names count as repeats.
    """
    content = store.read_bytes(SWEEP_FILE)
    text = (content or b"").decode(errors="replace")
    sweep: dict[str, Any] = {}
    if content is not None:
        sweep, problems = _read_sweep(content)
        for problem in problems:
            store.note(f"{store.local_path(SWEEP_FILE)}: damaged ({problem})")
    claim = _part(store, sweep, "claim", ClaimFamily)
    controls = _part(store, sweep, "controls", Controls) or Controls()
    rows = store.read_trials()
    trials = rows.to_pandas().set_index("trial_id")
    gone = trials.index.isin(store.without_metrics(rows))
    trials.loc[gone, "status"] = METRICS_GONE
    trials.loc[gone, "error"] = "it finished, but its metrics file is gone; --resume runs it again"
    trials = trials.sort_values(["started", "seed"], kind="stable")
    for column in ("dataset_hash", "negative", "positive", "error", "device", "git_commit", "lambda_meaning"):
        trials[column] = trials[column].fillna("")
    trials = _escaped(trials.reset_index()).set_index("trial_id")
    names = trials[trials["dataset_hash"] != ""].groupby("dataset_hash", sort=False)["dataset"].first()
    own = zip(trials["dataset_hash"], trials["dataset"], strict=True)
    trials["dataset"] = [names.get(content, name) for content, name in own]
    trials["external"] = trials["external_json"].notna()
    trials.loc[trials["external"], "arm"] += EXTERNAL
    baseline = _baseline(trials)
    written = [str(_arm_name(arm)) for arm in sweep.get("arms") or []]
    arms = _arm_order(trials, written, baseline)
    search_seed = _search_seed(sweep)
    named = trials["seed"].isin(sweep["seeds"]) if sweep.get("seeds") and not all_seeds else True
    trials["repeat"] = trials["external"] | named & (trials["seed"] != search_seed)
    groups, trials["group"] = _groups(trials)
    settings, trials["setting"] = _settings(trials, arms)
    measured = _with_names(_escaped(store.read_metrics(METRIC_COLUMNS).to_pandas()))
    of_checks = measured["kind"] == "check"
    metrics, checks = measured[~of_checks].copy(), measured[of_checks]
    metrics["protocol_json"] = with_first_names(
        metrics["protocol_json"], {str(key): str(name) for key, name in names.items()}
    )
    metrics["protocol_json"] = _next_to_arms(metrics, trials)
    artifacts = store.read_artifacts().to_pandas()
    artifacts["trial_id"] = artifacts["trial_id"].astype(str).map(escaped)
    return Frames(
        trials,
        _of_known_trials(metrics, trials),
        _of_known_trials(checks, trials),
        _of_known_trials(artifacts, trials),
        groups,
        settings,
        arms,
        baseline,
        "\n".join(map(escaped, text.split("\n"))),
        _objectives(sweep),
        _is_sampled(sweep),
        "compute" if sweep.get("budget") == "compute" else "steps",
        claim,
        controls,
        _replanned(store, sweep) if claim is not None else (),
        tuple(sweep.get("seeds") or ()),
        tuple(arm for arm in arms if arm not in written and not arm.endswith(EXTERNAL)) if written else (),
        all_seeds,
        search_seed,
        *_search(sweep),
    )


def _part(store: RecordStore, sweep: dict[str, Any], key: str, kind: type[ConfigT]) -> ConfigT | None:
    """The sweep's claim or controls; None without them, or if they cannot be read, with a line."""
    if sweep.get(key) is None:
        return None
    try:
        return parse(kind, sweep[key], key)
    except UserError as error:
        store.note(f"{store.local_path(SWEEP_FILE)}: damaged ({error})")
        return None


def _replanned(store: RecordStore, sweep: dict[str, Any]) -> tuple[str, ...]:
    """What differs from the plan, in words. Without a plan no claim is known to precede the run."""
    content = store.read_bytes(PLAN_FILE)
    if content is None:
        return (f"the plan ({PLAN_FILE} is missing)",)
    try:
        require_intact(content)
        plan = parse_yaml(content.decode())
    except ValueError:
        return (f"the plan ({PLAN_FILE} is damaged)",)
    plan = plan if isinstance(plan, dict) else {}
    return tuple(words for key, words in PLANNED.items() if plan.get(key) != sweep.get(key))


def _escaped(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the characters that act (see `foreign_text`) made visible in its texts.

    Records may come from elsewhere: an escape would reach the terminal, a control character in a unit would
    end the library that draws. JSON columns are escaped where they are `decoded`.
    """
    for column in frame.columns:
        if column.endswith("_json") or column == "hosts":
            continue
        texts = [text for text in frame[column].unique() if isinstance(text, str)]
        if any(escaped(text) != text for text in texts):
            values = frame[column].astype(object)
            frame[column] = values.map(lambda text: escaped(text) if isinstance(text, str) else text)
    return frame


def _with_names(metrics: pd.DataFrame) -> pd.DataFrame:
    """The metrics with a column `name`, the displayed one."""
    number = metrics.groupby(NAME_PARTS, observed=True, dropna=False).ngroup()
    first = metrics.loc[~number.duplicated(), NAME_PARTS]
    names = [displayed_name(*map(str, parts)) for parts in first.itertuples(index=False, name=None)]
    values = number.map(dict(zip(number[first.index], names, strict=True)))
    metrics["name"] = pd.Categorical(values, categories=list(dict.fromkeys(names)))
    return metrics


def with_first_names(protocols: pd.Series, names: dict[str, str]) -> pd.Series:
    """The protocols with the first name that each content of data had.

    The name of a folder may be its path's: a folder that moves between a sweep and its `--resume` would split
    the sweep's values into two protocols.
    """
    renamed = {}
    for text in protocols.unique():
        protocol = decoded(text)
        name = names.get(str(protocol.get("data_hash"))) if isinstance(protocol, dict) else None
        if name is not None and protocol.get("data") not in (None, name):
            renamed[text] = json.dumps({**protocol, "data": name}, sort_keys=True)
    return protocols.astype(str).replace(renamed).astype("category") if renamed else protocols


def _next_to_arms(metrics: pd.DataFrame, trials: pd.DataFrame) -> pd.Series:
    """The protocols, where those of external values are replaced by the arms' own.

    An arm's protocol must be the only one that is equal in all but the `SAMPLING_KEYS`.
    """
    external = metrics["trial_id"].isin(trials.index[trials["external"]])
    if not external.any():
        return metrics["protocol_json"]
    texts = metrics["protocol_json"].astype(str)
    of_arms: dict[str, set[str]] = {}
    for text in texts[~external].unique():
        of_arms.setdefault(_without_sampling(text), set()).add(text)
    renamed = {
        text: next(iter(found))
        for text in texts[external].unique()
        if len(found := of_arms.get(_without_sampling(text), set())) == 1
    }
    return texts.where(~external, texts.replace(renamed)).astype("category")


def _without_sampling(text: str) -> str:
    protocol = decoded(text)
    kept = {key: value for key, value in protocol.items() if key not in SAMPLING_KEYS}
    return json.dumps(kept, sort_keys=True)


def decoded(text: Any) -> Any:
    """The value in a JSON column, or an empty mapping if there is none or it cannot be read."""
    try:
        return _escaped_value(json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return {}


def _escaped_value(value: Any) -> Any:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, list):
        return [_escaped_value(item) for item in value]
    if isinstance(value, dict):
        return {escaped(key): _escaped_value(item) for key, item in value.items()}
    return value


def _of_known_trials(frame: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The rows whose trial has a row, with the trial's group, setting and seed as columns."""
    place = pd.Series(range(len(trials)), index=trials.index, dtype="int64")
    ids = frame["trial_id"].astype("category").cat
    rows = place.reindex(ids.categories, fill_value=-1).to_numpy()[ids.codes]
    known, rows = frame[rows >= 0].copy(), rows[rows >= 0]
    for column in ("group", "setting", "seed"):
        known[column] = trials[column].to_numpy()[rows]
    return known


def _read_sweep(content: bytes) -> tuple[dict[str, Any], list[str]]:
    """The keys of the sweep's file that can be used, and what is wrong with it."""
    problems = []
    try:
        require_intact(content)
    except DamagedError as error:
        problems.append(str(error))
    try:
        data = parse_yaml(content.decode())
    except ValueError:
        return {}, ["it is not valid YAML"]
    if not isinstance(data, dict):
        return {}, ["it is no mapping of keys to values"]
    seeds, arms = data.get("seeds", []), data.get("arms", [])
    if not isinstance(seeds, list) or not all(isinstance(seed, int) for seed in seeds):
        problems.append("seeds is no list of numbers")
        del data["seeds"]
    if not isinstance(arms, list) or not all(isinstance(_arm_name(arm), str) for arm in arms):
        problems.append("an arm has no name")
        del data["arms"]
    return data, problems


def _arm_name(arm: Any) -> Any:
    return arm.get("name") if isinstance(arm, dict) else arm


def _objectives(sweep: dict[str, Any]) -> tuple[str, ...]:
    objective = sweep.get("objective")
    metric = objective.get("metric") if isinstance(objective, dict) else None
    names = metric if isinstance(metric, list) else [metric]
    return tuple(name for name in names if isinstance(name, str))


def _is_sampled(sweep: dict[str, Any]) -> bool:
    search = sweep.get("search")
    return isinstance(search, dict) and search.get("sampler", "grid") != "grid"


def _search(sweep: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """What sampled the settings of a search, and over which keys."""
    if not _is_sampled(sweep):
        return "", ()
    sampler, searched = sweep["search"]["sampler"], sweep["search"].get("dimensions")
    name = sampler.get("name") if isinstance(sampler, dict) else sampler
    return escaped(str(name)), tuple(map(str, searched)) if isinstance(searched, dict) else ()


def _search_seed(sweep: dict[str, Any]) -> int | None:
    """The seed with which a sampled search tries settings; the repeats do not use it."""
    seed = sweep["search"].get("seed") if _is_sampled(sweep) else None
    return seed if isinstance(seed, int) else None


def _baseline(trials: pd.DataFrame) -> str | None:
    """The arm with the baseline's name, else the first one without any augmentation."""
    trials = trials[~trials["external"]]
    if (trials["arm"] == BASELINE).any():
        return BASELINE
    plain = trials[(trials["negative"] == "") & (trials["positive"] == "")]
    return None if plain.empty else str(plain["arm"].iloc[0])


def _arm_order(trials: pd.DataFrame, written: list[str], baseline: str | None) -> list[str]:
    place = {name: position for position, name in enumerate(written)}
    seen = [str(arm) for arm in trials["arm"].unique()]
    return sorted(seen, key=lambda arm: (arm != baseline, place.get(arm, len(place)), arm))


def _groups(trials: pd.DataFrame) -> tuple[list[Group], pd.Series]:
    """The groups, and the position of each trial's.

    A trial that ended before it saw its data has no hash; if only one hash is known, it joins that group.
    """
    hashes = trials["dataset_hash"].where(trials["dataset_hash"] != "")
    names = [trials["task"], trials["dataset"]]
    only = hashes.groupby(names).transform(
        lambda known: known.dropna().iloc[0] if known.nunique() == 1 else ""
    )
    keys = pd.Series(
        [Group(*key) for key in zip(trials["task"], trials["dataset"], hashes.fillna(only), strict=True)],
        index=trials.index,
        dtype=object,
    )
    groups = sorted(keys.unique(), key=lambda group: (group.task, group.dataset, group.dataset_hash))
    return groups, keys.map({group: position for position, group in enumerate(groups)}).astype("int64")


def _settings(trials: pd.DataFrame, arms: list[str]) -> tuple[list[Setting], pd.Series]:
    keys = pd.Series(
        [_setting(*row) for row in trials[SETTING_KEY].itertuples(index=False)],
        index=trials.index,
        dtype=object,
    )
    unique = list(keys.unique())
    unique.sort(key=lambda s: (arms.index(s.arm), -1.0 if s.lambda_ is None else s.lambda_, s.parameters))
    return unique, keys.map({setting: position for position, setting in enumerate(unique)}).astype("int64")


def _setting(
    arm: str, negative: str, positive: str, weight: float | None, parameters: str, external: bool
) -> Setting:
    """The setting of a trial. Without a negative, λ is that of the plain objective and is left out."""
    searched = decoded(parameters)
    searched = searched if isinstance(searched, dict) else {}
    shown = tuple(sorted((str(k), json.dumps(v)) for k, v in searched.items() if k != "lambda"))
    meaningless = weight is None or pd.isna(weight) or negative == ""
    return Setting(arm, None if meaningless else float(weight or 0.0), negative, positive, shown, external)


def _compact(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
