"""`python -m ndabench.export_networks DIR/TRIAL --out FOLDER`: the networks of a trial, for others."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndabench.command_line import TRIAL, run, trial_of
from ndabench.errors import UserError

if TYPE_CHECKING:
    from ndabench.records import RecordStore
    from ndabench.tasks.exports import Exported
    from ndabench.trials.model_card import Listed

OUT = typer.Option(help="A new folder.")
LICENSE = typer.Option(help="The licence in the model card, such as mit or cc-by-4.0.")
CARD = "README.md"
PROBE_SUFFIX = ".safetensors"


def export_networks(
    trial: Annotated[str, TRIAL],
    out: Annotated[Path, OUT],
    license: Annotated[str, LICENSE] = "unknown",
) -> None:
    """Write a trial's encoder, generator, discriminator and probe for others, with a model card."""
    # late: --help must not wait for torch
    import torch

    from ndabench.trials.model_card import final_values, model_card
    from ndabench.trials.trained import networks_of, rebuilt

    if out.exists():
        raise UserError(f"--out: {out} exists; name a new folder")
    if not re.fullmatch(r"[A-Za-z0-9.+-]{1,40}", license):
        raise UserError(f"--license: needs a short name such as mit or cc-by-4.0, got {license!r}")
    store, trial_id = trial_of(trial)
    row, trainer = rebuilt(store, trial_id, torch.device("cpu"))
    networks = networks_of(trainer)
    probes = list(_probes(store, row.trial_id, trainer.step))
    if not networks and not probes:
        raise UserError(f"{row.trial_id}: trains no network")
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        listed = [_written(unfinished, name, network, row.trial_id) for name, network in networks.items()]
        for one, content in probes:
            (unfinished / one.files[0]).write_bytes(content)
            listed.append(one)
        values = final_values(store, row.trial_id, trainer.step)
        card = model_card(row, trainer.step, values, listed, license)
        (unfinished / CARD).write_text(card, encoding="utf-8")
        unfinished.rename(out)
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written ({error.strerror or error})") from error
    for one in listed:
        print(f"{one.name}: {', '.join(str(out / file) for file in one.files)}")
    print(f"model card: {out / CARD}")


def _written(folder: Path, name: str, network: "Exported", trial_id: str) -> "Listed":
    """Writes the weights, and the program if torch can trace the network."""
    # late: --help must not wait for torch
    from ndabench.tasks.exports import PROGRAM, program_file, weights_file
    from ndabench.trials.model_card import Listed

    files = {f"{name}.safetensors": weights_file(network.network)}
    if network.inputs:
        try:
            files[name + PROGRAM] = program_file(network, trial=trial_id)
        except Exception as error:  # what torch raises depends on what it cannot trace
            reason = " ".join(str(error).split())[:150]
            print(f"{name}: no program, its weights alone: torch cannot trace it ({reason})")
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return Listed(name, network.takes, network.gives, tuple(files))


def _probes(store: "RecordStore", trial_id: str, step: int) -> "Iterator[tuple[Listed, bytes]]":
    """What linear probes learned, as their evaluations at `step` recorded it."""
    # late: --help must not wait for it
    from ndabench.trials.model_card import Listed

    for row in store.read_artifacts().to_pylist():
        if (row["trial_id"], row["step"]) != (trial_id, step) or not row["path"].endswith(PROBE_SUFFIX):
            continue
        content: Any = store.read_artifact(row["path"], row["sha256"])
        if content is not None:
            name = PurePosixPath(row["path"]).name.partition("-")[2]
            yield Listed(row["kind"], "features of the encoder", "logits of the classes", (name,)), content


if __name__ == "__main__":
    run(export_networks)
