"""Where the numbers come from: protocols, versions, machines and data."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ndabench.records import RECORDED, SCHEMA_VERSION, RecordStore
from ndabench.reporting.formatting import count, mebibytes
from ndabench.reporting.frames import Frames, decoded
from ndabench.reporting.specs import Cell, CodeSpec, Column, TableSpec

CONTENTS = {
    "trials": "tables",
    "metrics": "tables",
    "artifacts": "tables",
    "files": "pictures and other files",
    "checkpoints": "checkpoints",
    "logs": "logs",
    "tensorboard": "logs",
}
"""What the folders of `RECORDED` hold."""


def protocols(frames: Frames) -> list[CodeSpec]:
    """Every protocol, with the names of the values measured under it."""
    pairs = frames.metrics[["protocol_json", "name"]].drop_duplicates()
    metrics: dict[str, list[str]] = {}
    for text, name in pairs.astype(str).itertuples(index=False, name=None):
        if decoded(text):
            metrics.setdefault(text, []).append(name)
    ordered = sorted(metrics.items(), key=lambda item: sorted(item[1]))
    return [
        CodeSpec(f"protocol-{place}", ", ".join(sorted(names)), pretty(text))
        for place, (text, names) in enumerate(ordered, start=1)
    ]


def pretty(text: str) -> str:
    return json.dumps(decoded(text), indent=2, sort_keys=True, ensure_ascii=False)


def provenance_table(frames: Frames) -> TableSpec:
    """What ran, where, on what; if trials differ, each value with its number of trials."""
    trials = frames.trials
    versions = [decoded(text) for text in trials["versions_json"]]
    libraries = sorted({name for version in versions if isinstance(version, dict) for name in version})
    facts = {
        "records' schema version": _tally(str(version) for version in trials["schema_version"]),
        "code (git commit)": _tally(trials["git_commit"]),
        **{name: _tally(str(version.get(name, "")) for version in versions) for name in libraries},
        **_plugins(trials["plugins_json"]),
        "device": _tally(trials["device"]),
        "machines": _tally(
            host for hosts in trials["hosts"] for host in (hosts if hosts is not None else ())
        ),
        "data": _tally(trials["dataset"] + " " + trials["dataset_hash"]),
        "notes": _tally(str(note or "") for note in trials["notes"].fillna("")),
    }
    rows = [
        [Cell(name, name), Cell(value or ("none" if name == "notes" else "not recorded"), value)]
        for name, value in facts.items()
    ]
    note = f"This report reads records up to schema version {SCHEMA_VERSION}."
    return TableSpec(
        "provenance-table", "What ran, and where", [Column("what"), Column("value")], rows, [note]
    )


def sizes_table(store: RecordStore) -> TableSpec:
    """How much room the records take, by what they hold; the largest first. Opens no file."""
    files: dict[str, list[int]] = {}
    for folder in RECORDED:
        files.setdefault(CONTENTS[folder], []).extend(store.sizes(folder).values())
    largest = sorted(files.items(), key=lambda part: -sum(part[1]))
    parts = [*largest, ("all", [size for part in files.values() for size in part])]
    rows = [
        [
            Cell(name, name),
            Cell(mebibytes(sum(sizes)), sum(sizes)),
            Cell(f"{len(sizes):,}", len(sizes)),
        ]
        for name, sizes in parts
        if sizes
    ]
    columns = [Column("what"), Column("size", numeric=True), Column("files", numeric=True)]
    note = "`ndabench clean DIR` deletes checkpoints that nothing needs any more; see the key keep."
    return TableSpec("sizes", "What the records take", columns, rows, [note])


def _plugins(texts: Iterable[Any]) -> dict[str, str]:
    """For each plugin: the versions and the beginnings of the hashes of its code."""
    of_trials = [found for text in texts if isinstance(found := decoded(text), dict)]
    return {
        f"plugin {name}": _tally(_version(found[name]) for found in of_trials if name in found)
        for name in sorted({name for found in of_trials for name in found})
    }


def _version(plugin: Any) -> str:
    facts = plugin if isinstance(plugin, dict) else {}
    return f"{facts.get('version') or 'no version'}, code {str(facts.get('sha256'))[:10]}"


def _tally(values: Iterable[str]) -> str:
    counts = Counter(value.strip() for value in values if value.strip())
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({count(number, 'trial')})" for value, number in counts.most_common())
