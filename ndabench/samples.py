"""`python -m ndabench.samples DIR/TRIAL --out FOLDER`: images from the generator of a trial, as files."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ndabench.command_line import TRIAL, run, trial_of
from ndabench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

NUM = typer.Option(min=1, max=10**7, help="How many images.")
OUT = typer.Option(help="A new folder for PNGs, or a new file .npz with one uint8 array [N, H, W, C].")


def samples(
    trial: Annotated[str, TRIAL],
    out: Annotated[Path, OUT],
    num: Annotated[int, NUM] = 50_000,
) -> None:
    """Draw images from the generator of a trial, the same that its evaluations looked at."""
    # late: --help must not wait for torch
    from ndabench.trials.trained import samples_of

    if out.exists():
        raise UserError(f"--out: {out} exists; name a new folder, or a new file .npz")
    store, trial_id = trial_of(trial)
    images, step = samples_of(store, trial_id, num)
    _write(images, out)
    print(f"{num:,} images of {trial_id} at {step}: {out}")


def _write(images: "Tensor", out: Path) -> None:
    """Writes uint8 `[N, C, H, W]`, whole or not at all."""
    # late: --help must not wait for them
    import numpy as np
    from PIL import Image

    pixels = images.permute(0, 2, 3, 1).numpy()
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        if out.suffix.lower() == ".npz":
            out.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                np.savez(file, arr_0=pixels)
        else:
            for number, one in enumerate(pixels):
                file_name = unfinished / f"{number // 1000:05d}" / f"img{number:08d}.png"
                file_name.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one).save(file_name)
        unfinished.rename(out)
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written ({error.strerror or error})") from error


if __name__ == "__main__":
    run(samples)
