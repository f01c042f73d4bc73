"""`python -m ndabench.pack DIR`: one archive of a sweep for a paper's appendix."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndabench.command_line import run
from ndabench.errors import UserError, first_of
from ndabench.version import __version__

if TYPE_CHECKING:
    from ndabench.records import RecordStore, TrialRow

FOLDER = typer.Argument(help="The folder of a sweep, e.g. reports/quickstart.")
OUT = typer.Option(help="The archive; default <name>.ndabench.zip.")
LOCK = "requirements.lock"
TABLES = ("trials", "metrics", "artifacts")


def pack(folder: Annotated[str, FOLDER], out: Annotated[Path | None, OUT] = None) -> None:
    """Write a sweep's file, versions, data hashes, records, report and model cards as one archive."""
    # late: --help must not wait for pandas
    from ndabench.ownership import recorded_sweep
    from ndabench.records import LATER_FILE, PLAN_FILE, SWEEP_FILE, RecordStore
    from ndabench.records.pack_file import write_pack
    from ndabench.reporting.page import REPORT_FILE, write_report
    from ndabench.reporting.several import require_records

    store = RecordStore(folder)
    config = recorded_sweep(store)
    require_records([store])
    rows = store.trial_rows()
    write_report(store)
    named = (SWEEP_FILE, PLAN_FILE, LATER_FILE, REPORT_FILE)
    paths = [*named, *(path for table in TABLES for path in store.list(table))]
    files = {path: content for path in paths if (content := store.read_bytes(path)) is not None}
    files[LOCK] = "".join(f"{line}\n" for line in _installed()).encode()
    files |= dict(_cards(store, rows))
    target = out or Path(f"{config.name}.ndabench.zip")
    write_pack(target, files, _facts(config.name, rows))
    print(f"packed   {target} ({target.stat().st_size / 2**20:,.1f} MiB, {len(files):,} files)")
    if unfinished := [row.trial_id for row in rows if row.status in ("running", "stopped", "failed")]:
        print(f"caution: not finished: {first_of(unfinished, 3)}")
    for line in _moved(rows):
        print(f"caution: {line}; {LOCK} has what is installed here")


def _installed() -> list[str]:
    """`name==version` of every package here, as pip reads it."""
    found = {(one.metadata["Name"], one.version) for one in metadata.distributions()}
    return sorted((f"{name}=={version}" for name, version in found if name), key=str.lower)


def _moved(rows: "list[TrialRow]") -> Iterator[str]:
    """A line for each package whose version here is not that of the trials."""
    # late: --help must not wait for pydantic
    from ndabench.trials.config import versions

    for name, here in versions().items():
        recorded = sorted({json.loads(row.versions_json).get(name, here) for row in rows} - {here})
        if recorded:
            yield f"trials ran with {name} {first_of(recorded)}, and {here} is here"


def _cards(store: "RecordStore", rows: "list[TrialRow]") -> Iterator[tuple[str, bytes]]:
    """The model card of every finished trial: its values, protocols, versions and configuration.

    One whose configuration this version cannot read has none, and a line in the log says so.
    """
    # late: --help must not wait for pydantic
    from ndabench.records.damage import warn_once
    from ndabench.trials.config import recorded_configuration
    from ndabench.trials.model_card import UNKNOWN_LICENSE, model_card

    values: dict[str, list[dict[str, Any]]] = {}
    for value in store.read_metrics().to_pylist():
        if value["kind"] == "metric":
            values.setdefault(value["trial_id"], []).append(value)
    for row in rows:
        if row.status == "finished" and row.external_json is None:
            try:
                recorded_configuration(store, row.trial_id, row.config_json)
            except UserError as error:
                warn_once(str(error))
                continue
            of_trial = values.get(row.trial_id, [])
            step = max((value["step"] for value in of_trial), default=0)
            last = [value for value in of_trial if value["step"] == step]
            card = model_card(row, step, last, (), UNKNOWN_LICENSE)
            yield f"cards/{row.trial_id}.md", card.encode()


def _facts(sweep: str, rows: "list[TrialRow]") -> dict[str, Any]:
    """What the manifest says of the sweep, apart from its files."""
    data = {row.dataset_hash: row.dataset for row in rows if row.dataset_hash}
    negatives = {text for row in rows if (text := row.negative_data_json)}
    return {
        "sweep": sweep,
        "packed_by": f"ndabench {__version__}",
        "data": [{"name": data[content], "content_hash": content} for content in sorted(data)],
        "negative_data": [json.loads(text) for text in sorted(negatives)],
        "git_commits": sorted({row.git_commit for row in rows if row.git_commit}),
        "versions": [json.loads(text) for text in sorted({row.versions_json for row in rows})],
    }


if __name__ == "__main__":
    run(pack)
