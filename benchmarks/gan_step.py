"""Real images a second of a whole NDA-GAN training step, compared with the released model and step.

    python benchmarks/gan_step.py [--released CHECKOUT] [--batch-size 64] [--rounds 5] [--device cuda]

One step is the paper's: four discriminator steps on real, generated and jigsaw images at λ = 0.25, one
generator step, the moving average; BigGAN for 32×32 at width 64, unconditional. Ours goes through
`GanTask.run`, the released one through its own training function, which is imported from CHECKOUT, a copy of
github.com/ermongroup/NDA. All contestants take turns in one process: a round times each once, in a new
order. Figures are medians over the rounds with their quartiles.
"""

import contextlib
import importlib
import io
import sys
import types
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks.racing import Steps, race_of_steps, random_images, steps_of
from ndabench.augmentations.registry import implementations
from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import build_trainer

NEGATIVES = implementations("corrected")

RIVAL = "released"
NUM_DISCRIMINATOR_STEPS = 4
LAMBDA = 0.25

VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {"channels_last": False},
    "fp32 channels_last": {},
    "bf16": {"precision": "bf16", "channels_last": False},
    "bf16 channels_last": {"precision": "bf16"},
    "fp32 channels_last compiled": {"compile": True},
    "bf16 channels_last compiled": {"precision": "bf16", "compile": True},
}
"""Settings of `GanConfig`; what they leave out keeps its default."""

RELEASED_SETTINGS: dict[str, Any] = {
    "dim_z": 128,
    "resolution": 32,
    "n_classes": 1,
    "conditional": False,
    "G_shared": False,
    "G_attn": "0",
    "D_attn": "0",
    "G_init": "N02",
    "D_init": "N02",
    "SN_eps": 1e-8,
    "BN_eps": 1e-5,
    "G_lr": 2e-4,
    "D_lr": 2e-4,
    "loss_type": "hinge",
    "num_D_steps": NUM_DISCRIMINATOR_STEPS,
    "num_D_accumulations": 1,
    "num_G_accumulations": 1,
    "alpha": LAMBDA,
    "beta": 1 - LAMBDA,
    "D_ortho": 0.0,
    "G_ortho": 0.0,
    "curriculum_baseline": False,
    "split_D": False,
    "toggle_grads": True,
    "ema": True,
}
"""What train_C10.sh and the parser's defaults set, as far as the networks and the step read it."""


def ours(
    settings: dict[str, Any],
    *,
    batch_size: int,
    width: int,
    steps: int,
    device: torch.device,
    data: ImageData | None = None,
) -> Steps:
    config = GanConfig(
        width=width,
        batch_size=batch_size,
        num_discriminator_steps=NUM_DISCRIMINATOR_STEPS,
        num_steps=10**9,
        log_every=steps,
        checkpoint_every=10**9,
        **settings,
    )
    workers = Workers(device=device)
    setup = TrialSetup(
        config, data or random_images(device), negative=NEGATIVES["jigsaw"], lambda_=LAMBDA, workers=workers
    )
    return steps_of(build_trainer(setup))


def released(checkout: Path, *, batch_size: int, width: int, steps: int, device: torch.device) -> Steps:
    """The training function of train_fns_aug.py (its jigsaw) on the networks of BigGAN_new.py."""
    sys.path.insert(0, str(checkout))
    for unused in ("h5py", "tqdm", "dataset_utils", "animal_hash"):
        with contextlib.suppress(ImportError):
            importlib.import_module(unused)
        sys.modules.setdefault(unused, _stand_in(unused))
    networks, training, extras = (
        importlib.import_module(name) for name in ("BigGAN_new", "train_fns_aug", "utils")
    )
    sizes = {"G_ch": width, "D_ch": width, "batch_size": batch_size}
    config = RELEASED_SETTINGS | sizes
    with contextlib.redirect_stdout(io.StringIO()):
        generator = networks.Generator(**config).to(device)
        discriminator = networks.Discriminator(**config).to(device)
        average = networks.Generator(**{**config, "skip_init": True, "no_optim": True}).to(device)
        ema = extras.ema(generator, average, 0.9999, 1000)
    both = networks.G_D(generator, discriminator, False)
    noise, labels = extras.prepare_z_y(batch_size, 128, 1, device=device)
    state = {"itr": 0, "epoch": 0}
    train = training.GAN_training_function(generator, discriminator, both, noise, labels, ema, state, config)
    images = 2 * torch.rand(NUM_DISCRIMINATOR_STEPS * batch_size, 3, 32, 32, device=device) - 1
    classes = torch.zeros(len(images), dtype=torch.long, device=device)

    def take() -> None:
        for _ in range(steps):
            state["itr"] += 1
            train(images, classes)

    return take


def _stand_in(name: str) -> types.ModuleType:
    """An empty module for an import that the training function does not use."""
    module = types.ModuleType(name)
    for attribute in ("tqdm", "trange", "download_file_from_google_drive", "check_integrity"):
        setattr(module, attribute, None)
    return module


def main(
    checkout: Annotated[Path | None, typer.Option("--released", help="checkout of the released code")] = None,
    batch_size: int = 64,
    width: int = 64,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    steps: Annotated[int, typer.Option(help="training steps in a timed round", min=1)] = 1,
    device: str = "cpu",
    variant: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(VARIANTS)}; default: all")] = None,
) -> None:
    """Times one training step of every variant and prints a table."""
    console, on = Console(width=100), torch.device(device)
    sizes: dict[str, Any] = {"batch_size": batch_size, "width": width, "steps": steps, "device": on}
    builders = {RIVAL: partial(released, checkout, **sizes)} if checkout else {}
    builders |= {name: partial(ours, VARIANTS[name], **sizes) for name in variant or VARIANTS}
    race_of_steps(
        console,
        builders,
        rival=RIVAL,
        rounds=rounds,
        steps=steps,
        num_examples=NUM_DISCRIMINATOR_STEPS * batch_size,
        device=on,
        sizes=f"batch {batch_size}, width {width}",
    )


if __name__ == "__main__":
    typer.run(main)
