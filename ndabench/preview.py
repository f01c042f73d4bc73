"""`python -m ndabench.preview`: a PNG sheet of a data set's images or of a clip, a row for each negative."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndabench.command_line import SET, run
from ndabench.errors import UserError

if TYPE_CHECKING:
    from ndabench.augmentations.compose import Augmentation
    from ndabench.planning.sweep_file import SweepConfig


def preview(
    file: Annotated[Path, typer.Argument(help="The sweep file whose data and arms to show.")] = Path(
        "sweeps/quickstart.yaml"
    ),
    set_: Annotated[list[str] | None, SET] = None,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("preview.png"),
    images: Annotated[int, typer.Option(min=2, max=64, help="Images, or frames of a clip, in a row.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The seed of what the negatives draw.")] = 0,
) -> None:
    """Write a PNG sheet of a data set's images, or of a clip, with the arms' negatives and all others."""
    # late: --help must not wait for torch
    import torch

    from ndabench.data.previews import labelled_sheet
    from ndabench.data.registry import MODALITIES, load_data, modality_of
    from ndabench.planning.sweep_file import read_sweep
    from ndabench.registry import load
    from ndabench.tasks.registry import build_negative
    from ndabench.trials.negative_changes import shares_on

    config = read_sweep(file, set_ or [])
    data: Any = load_data(config.data, torch.device("cpu"))
    drawn_by = MODALITIES[modality_of(config.data)].preview
    assert drawn_by is not None, "no task learns from scenes"
    shape = config.task.shown_shape(data.image_shape)
    shown = load(drawn_by)(data, negatives_to_show(config, data), shape, count=images, seed=seed)
    try:
        out.write_bytes(labelled_sheet(shown.rows))
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from None
    for arm in config.arms:
        if (negative := build_negative(config.task, arm.negative, data)) is not None:
            print(f"{arm.name}: {shares_on(data, config.task, negative)}")
    count = len(shown.rows["real"])
    print(f"{out}: {count} {shown.what} of {data.name}, each with {shown.num_negatives} negatives")


def negatives_to_show(config: "SweepConfig", data: Any) -> "dict[str, Augmentation]":
    """The augmentations of a sweep's arms, then every other negative, by the names that tables use."""
    # late: --help must not wait for it
    from ndabench.tasks.registry import all_negatives, augmentation_label, build_negative, build_positive

    of_arms = {}
    for arm in config.arms:
        for build, spec in ((build_positive, arm.positive), (build_negative, arm.negative)):
            if (augmentation := build(config.task, spec, data)) is not None:
                of_arms[augmentation_label(config.task, spec)] = augmentation
    return of_arms | all_negatives(config.task, data)


if __name__ == "__main__":
    run(preview)
