"""`python -m ndabench.rerun PACK --cell ARM,SEED`: trains one trial of a pack again, and compares."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndabench.command_line import JSON, OUT, print_json, results_folder, run
from ndabench.errors import UserError, first_of, listed
from ndabench.interruption import EXIT_CODE
from ndabench.log_level import logged
from ndabench.training_alone import say_diverged, start_workers, take, train_and_show

if TYPE_CHECKING:
    from ndabench.records import RecordStore, TrialRow
    from ndabench.trials.config import TrialConfig

PACK = typer.Argument(help="An archive that `ndabench pack` wrote.")
CELL = typer.Option(metavar="ARM,SEED|TRIAL", help="Which trial; its id where the arm has several settings.")
SET = typer.Option("--set", metavar="KEY=VALUE", help="Where its data are here, e.g. data.path=DIR.")
Values = dict[str, tuple[float, str]]
"""Value and protocol by displayed name."""


def rerun(
    pack: Annotated[Path, PACK],
    cell: Annotated[str, CELL],
    set_: Annotated[list[str] | None, SET] = None,
    out: Annotated[str | None, OUT] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Train one trial of a pack again, without Ray, and compare every value with the packed one."""
    with _nothing_printed() if json_ else contextlib.nullcontext():
        facts = _repeat(pack, cell, set_ or [], out)
    if facts is None:
        return
    if json_:
        print_json(facts)
    if not facts["equal"]:
        sys.exit(1)


@contextlib.contextmanager
def _nothing_printed() -> Iterator[None]:
    """What a training prints goes nowhere; errors go where they do."""
    with (
        logged(logging.WARNING),
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        yield


def _repeat(pack: Path, cell: str, assignments: list[str], out: str | None) -> dict[str, Any] | None:
    """Trains the trial, prints how its values compare, and returns that as JSON has it; None in all but
    the main process."""
    # late: --help must not wait for torch
    import torch

    from ndabench.ownership import recorded_sweep
    from ndabench.planning.later_evaluations import read_later, value_names
    from ndabench.records import RecordStore
    from ndabench.records.pack_file import unpack
    from ndabench.scratch import scratch_folder
    from ndabench.tasks.task import DivergedError
    from ndabench.trials.config import Provenance, git_commit
    from ndabench.trials.measuring_later import measure_later

    with scratch_folder() as folder:
        unpack(pack, folder)
        packed = RecordStore(str(folder))
        config = recorded_sweep(packed)
        row = _row(packed, cell)
        trial = _trial(row, assignments)
        store = RecordStore(results_folder(out, f"{config.name}-rerun"))
        workers = start_workers()
        cautions = list(_otherwise(row, trial, workers.world_size))
        for line in cautions:
            print(f"caution: {line}")
        torch.set_num_threads(max(1, int(config.resources.cpus_per_worker)))  # to the same bits
        try:
            if workers.is_main:
                take(trial, store, config, workers, resume=True, data_hash=row.dataset_hash)
            workers.barrier()
            train_and_show(trial, store, Provenance(config.name, git_commit()), workers)
            workers.barrier()  # the main process has recorded all of it
            wanted, later = _values(packed, trial), read_later(packed)
            if repeated := [one for one in later if value_names(one) & {*wanted}]:
                measure_later(trial, repeated, store, workers)
        except DivergedError as error:
            say_diverged(error, workers)
            sys.exit(1)
        except KeyboardInterrupt:
            line = f"interrupted: {trial.label}; the same command continues from its checkpoint"
            print(line, file=sys.stderr)
            sys.exit(EXIT_CODE)
        if not workers.is_main:
            return None
        values = list(_compared(wanted, _values(store, trial), _spreads(packed, row)))
        equal = sum(one.verdict == "equal" for one in values)
        for one in values:
            print(one)
        verdict = "equal to the bit" if equal == len(values) else "not equal"
        print(f"{trial.label}: {verdict}, {equal} of {len(values)} values")
        return {
            "trial": trial.trial_id,
            "equal": equal == len(values),
            "values": [one.plain() for one in values],
            "cautions": cautions,
            "records": store.root,
        }


def _row(packed: "RecordStore", cell: str) -> "TrialRow":
    """The finished trial that `ARM,SEED` or an id means; `UserError` where it is none, or several."""
    finished = [row for row in packed.trial_rows() if row.status == "finished" and row.external_json is None]
    arm, _, seed = cell.rpartition(",")
    found = [
        row for row in finished if row.trial_id == cell or (row.arm, str(row.seed)) == (arm, seed.strip())
    ]
    if not found:
        cells = sorted({f"{row.arm},{row.seed}" for row in finished})
        raise UserError(f"--cell: no finished trial {cell!r}{listed(cells)}")
    if len(found) > 1:
        ids = first_of([f"{row.trial_id} (λ={row.lambda_:g} {row.parameters_json})" for row in found])
        raise UserError(f"--cell: {cell!r} has several settings; name one: {ids}")
    return found[0]


def _trial(row: "TrialRow", assignments: list[str]) -> "TrialConfig":
    """The trial with other places for its data; `UserError` where it would be another trial."""
    # late: --help must not wait for pydantic
    from ndabench.config import override, parse
    from ndabench.trials.config import TrialConfig

    trial = parse(TrialConfig, override(json.loads(row.config_json), assignments), "--set")
    if trial.trial_id != row.trial_id:
        raise UserError(f"--set: makes {row.trial_id} another trial; only where its data are can be set")
    return trial


def _otherwise(row: "TrialRow", trial: "TrialConfig", num_workers: int) -> Iterator[str]:
    """What is not as it was and may change values."""
    # late: --help must not wait for torch
    from ndabench.distributed import usual_device
    from ndabench.trials.config import Provenance, git_commit, planned_row, versions

    before, now = json.loads(row.versions_json), versions()
    changed = [
        f"{name} {now[name]} instead of {old}" for name, old in before.items() if now.get(name, old) != old
    ]
    if changed:
        yield f"here is {', '.join(changed)}"
    if row.git_commit and row.git_commit != git_commit():
        yield f"the code was commit {row.git_commit}"
    plugins = planned_row(trial, Provenance(row.sweep)).plugins_json
    if plugins != row.plugins_json:
        yield f"the plugins were {row.plugins_json}"
    if row.device not in (None, "1 × cpu") or usual_device().type != "cpu" or num_workers > 1:
        yield f"it was trained on {row.device}; only on one CPU worker is a repetition equal to the bit"


def _values(store: "RecordStore", trial: "TrialConfig") -> Values:
    """What was measured at the trial's last step."""
    from ndabench.measurement import displayed_name  # late: --help need not wait for it

    return {
        displayed_name(row["metric"], row["split"], row["label"]): (row["value"], row["protocol_json"])
        for row in store.read_metrics().to_pylist()
        if (row["trial_id"], row["step"], row["kind"]) == (trial.trial_id, trial.task.num_steps, "metric")
    }


def _spreads(packed: "RecordStore", row: "TrialRow") -> dict[str, float]:
    """The standard deviation of each value over the seeds of the trial's setting, where there are two."""
    from ndabench.measurement import displayed_name  # late: --help need not wait for it

    trials = packed.read_trials().to_pylist()
    same = {
        one["trial_id"]
        for one in trials
        if (one["arm"], one["lambda"], one["parameters_json"]) == (row.arm, row.lambda_, row.parameters_json)
    }
    last: dict[str, dict[str, float]] = {}  # sorted by trial and step
    for one in packed.read_metrics().to_pylist():
        if one["trial_id"] in same and one["kind"] == "metric":
            name = displayed_name(one["metric"], one["split"], one["label"])
            last.setdefault(name, {})[one["trial_id"]] = one["value"]
    return {name: stdev(values.values()) for name, values in last.items() if len(values) > 1}


@dataclass(frozen=True)
class Repeated:
    """A packed value, and what the repetition gave."""

    name: str
    verdict: str
    """`equal` to the bit, `differs`, `other protocol` or `missing`."""
    was: float
    now: float | None = None
    deviations: float | None = None
    """The size of the difference, in standard deviations between the seeds."""

    def __str__(self) -> str:
        if self.now is None:
            return f"missing  {self.name}: was {self.was:.6g}"
        if self.verdict == "equal":
            return f"equal    {self.name}: {self.was:.6g}"
        changed = f"differs  {self.name}: was {self.was:.6g}, now {self.now:.6g}"
        if self.verdict != "differs":
            return f"{changed}, under another protocol"
        share = f", {self.deviations:.2g} of the deviation between seeds" if self.deviations else ""
        return f"{changed} ({self.now - self.was:+.3g}{share})"

    def plain(self) -> dict[str, Any]:
        """As JSON has it: null where a value is not finite."""
        return {
            key: None if isinstance(value, float) and not isfinite(value) else value
            for key, value in asdict(self).items()
        }


def _compared(wanted: Values, found: Values, spreads: dict[str, float]) -> Iterator[Repeated]:
    """One for each packed value."""
    for name, (was, protocol) in wanted.items():
        now, how = found.get(name, (None, None))
        if now is None:
            yield Repeated(name, "missing", was)
        elif how != protocol:
            yield Repeated(name, "other protocol", was, now)
        elif _same(was, now):
            yield Repeated(name, "equal", was, now)
        else:
            spread = spreads.get(name)
            yield Repeated(name, "differs", was, now, abs(now - was) / spread if spread else None)


def _same(one: Any, other: Any) -> bool:
    """Whether two numbers are equal, two NaN included."""
    return one == other or (one != one and other != other)


if __name__ == "__main__":
    run(rerun)
