"""Clips a second of a whole DPC training step with 0, 1 and 2 NDA keys, compared with the published DPC.

    python benchmarks/dpc_step.py [--released CHECKOUT] [--batch-size 4] [--rounds 5] [--device cuda]
    python benchmarks/dpc_step.py --device cuda --find-largest-batch [--variant "plain, bf16"]

One step is: a view of every clip (8 blocks of 5 frames at 128×128), the 2D3D ResNet and the ConvGRU forward,
the dense loss, backward, Adam. Ours goes through the task's own loop; clips lie on the device, so that no
decoding is timed. The published one is the model of CHECKOUT, a copy of github.com/TengdaHan/DPC, and its
step without logging and without views, which its authors draw while decoding: "views free" is ours without
them as well. All contestants take turns in one process. A small size is `--side 32 --width 8 --batch-size 8`.
"""

import contextlib
import gc
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.racing import Steps, hardware, race_of_steps, steps_of
from ndabench.augmentations.registry import implementations
from ndabench.data.videos.clips import ClipData
from ndabench.data.videos.feeding import greyscale_clips
from ndabench.distributed import Workers
from ndabench.tasks.contrastive.config import VideoContrastiveConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import build_trainer

CLIP_NEGATIVES = implementations("clips")

RIVAL = "released"
RELEASED_WIDTH = 64
NUM_VIDEOS = 16
"""Those that lie on the device; a batch may hold each several times."""
MOST_CLIPS = 4096

NO_VIEWS = {"crop_scale": [1.0, 1.0], "flip": 0.0, "jitter_probability": 0.0, "grayscale": 0.0}
DPC_VIEWS = {
    "crop_scale": [0.5, 1.0],
    "flip": 0.5,
    "jitter": [0.5, 0.5, 0.5, 0.25],
    "jitter_probability": 1.0,
    "grayscale": 0.5,
    "color_jitter_per": "frame",
}

VARIANTS: dict[str, dict[str, Any]] = {
    "plain, views free": {"views": NO_VIEWS},
    "plain": {},
    "1 jigsaw key": {"num_nda_keys": 1},
    "2 jigsaw keys": {"num_nda_keys": 2},
    "1 jigsaw key, no gradient": {"num_nda_keys": 1, "nda_gradient": False},
    "plain, recomputed": {"recompute": True},
    "plain, views free, bf16": {"views": NO_VIEWS, "precision": "bf16"},
    "plain, bf16": {"precision": "bf16"},
    "1 jigsaw key, bf16": {"num_nda_keys": 1, "precision": "bf16"},
    "2 jigsaw keys, bf16": {"num_nda_keys": 2, "precision": "bf16"},
    "plain, recomputed, bf16": {"recompute": True, "precision": "bf16"},
    "plain, compiled": {"compile": True},
    "plain, bf16, compiled": {"precision": "bf16", "compile": True},
}
"""Keys of the task, of its method and of its encoder; what they leave out keeps its default."""


@dataclass(frozen=True)
class Sizes:
    """What all contestants share."""

    depth: int
    width: int
    side: int
    blocks: int
    block_frames: int
    batch_size: int

    @property
    def clip_frames(self) -> int:
        return self.blocks * self.block_frames

    def __str__(self) -> str:
        return (
            f"ResNet-{self.depth} of width {self.width}, {self.blocks} × {self.block_frames} frames at "
            f"{self.side}×{self.side}, batch {self.batch_size}"
        )


def random_videos(sizes: Sizes, device: torch.device) -> ClipData:
    """Noise on the device; if more videos are asked for than it holds, they repeat."""
    videos = torch.randint(
        0,
        256,
        (NUM_VIDEOS, sizes.clip_frames, sizes.side, sizes.side),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    ).to(device)
    labels, rows = torch.zeros(MOST_CLIPS, dtype=torch.long), torch.arange(MOST_CLIPS) % NUM_VIDEOS
    split = greyscale_clips(videos, labels, rows)
    return ClipData("random", "", ("all",), (3, sizes.side, sizes.side), split, split, split)


def ours(settings: dict[str, Any], sizes: Sizes, *, steps: int, device: torch.device) -> Steps:
    settings = dict(settings)
    config = VideoContrastiveConfig.model_validate(
        {
            "method": {
                "name": "dpc",
                "num_blocks": sizes.blocks,
                "nda_gradient": settings.pop("nda_gradient", True),
            },
            "encoder": {
                "name": "resnet2d3d",
                "depth": sizes.depth,
                "width": sizes.width,
                "recompute": settings.pop("recompute", False),
            },
            "views": DPC_VIEWS,
            "clip_frames": sizes.clip_frames,
            "frame_stride": 1,
            "batch_size": sizes.batch_size,
            "num_steps": 10**9,
            "log_every": steps,
            "checkpoint_every": 10**9,
            **settings,
        }
    )
    with_negative = "num_nda_keys" in settings
    setup = TrialSetup(
        config,
        random_videos(sizes, device),
        negative=CLIP_NEGATIVES["jigsaw"] if with_negative else None,
        lambda_=1.0 if with_negative else 0.0,
        workers=Workers(device=device),
    )
    return steps_of(build_trainer(setup))


def released(checkout: Path, sizes: Sizes, *, steps: int, device: torch.device, bf16: bool) -> Steps:
    """DPC_RNN of dpc/model_3d.py under the step of dpc/main.py, on clips made beforehand."""
    if sizes.width != RELEASED_WIDTH:
        raise RuntimeError(f"the published network has width {RELEASED_WIDTH} alone")
    sys.path[:0] = [str(checkout / "backbone"), str(checkout / "dpc")]
    shape = (sizes.batch_size, sizes.blocks, 3, sizes.block_frames, sizes.side, sizes.side)
    with _on(device), contextlib.redirect_stdout(io.StringIO()):
        model = importlib.import_module("model_3d").DPC_RNN(
            sample_size=sizes.side,
            num_seq=sizes.blocks,
            seq_len=sizes.block_frames,
            network=f"resnet{sizes.depth}",
        )
    model = model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    blocks = torch.rand(shape, device=device)

    def take() -> None:
        with _on(device):
            for _ in range(steps):
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                    score, mask = model(blocks)
                target = (mask == 1).flatten(3).flatten(0, 2).to(int).argmax(1)
                loss = F.cross_entropy(score.flatten(3).flatten(0, 2).float(), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return take


@contextlib.contextmanager
def _on(device: torch.device) -> Iterator[None]:
    """On a CPU what the published code sends to a GPU stays where it is."""
    if device.type == "cuda":
        yield
        return
    with patch.object(torch.Tensor, "cuda", lambda tensor: tensor):
        yield


def largest_batch(settings: dict[str, Any], sizes: Sizes, device: torch.device) -> tuple[int, float]:
    """The most clips that a few steps of training have room for, to 1 in 16, and the GiB they take."""

    def fits(batch_size: int) -> float | None:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            take = ours(settings, replace(sizes, batch_size=batch_size), steps=2, device=device)
            take()
        except torch.OutOfMemoryError:
            return None
        return torch.cuda.max_memory_allocated(device) / 2**30

    least, most, gib = 0, 2, 0.0
    while most <= MOST_CLIPS and (taken := fits(most)) is not None:
        least, most, gib = most, 2 * most, taken
    while 0 < least < MOST_CLIPS and most - least > max(1, least // 16):
        middle = (least + most) // 2
        taken = fits(middle)
        least, most, gib = (least, middle, gib) if taken is None else (middle, most, taken)
    return least, gib


def show_largest_batches(console: Console, names: list[str], sizes: Sizes, device: torch.device) -> None:
    table = Table("", "largest batch", "GiB", box=box.SIMPLE)
    for name in names:
        clips, gib = largest_batch(VARIANTS[name], sizes, device)
        table.add_row(name, str(clips), f"{gib:.1f}")
    total = torch.cuda.get_device_properties(device).total_memory / 2**30
    console.print(f"{hardware(device)}, {total:.0f} GiB, torch {torch.__version__}; {sizes}")
    console.print(table)


def main(
    checkout: Annotated[Path | None, typer.Option("--released", help="checkout of TengdaHan/DPC")] = None,
    batch_size: int = 4,
    depth: int = 18,
    width: int = RELEASED_WIDTH,
    side: int = 128,
    blocks: int = 8,
    block_frames: int = 5,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    steps: Annotated[int, typer.Option(help="training steps in a timed round", min=1)] = 1,
    device: str = "cpu",
    variant: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(VARIANTS)}; default: all")] = None,
    find_largest_batch: Annotated[bool, typer.Option(help="instead of timing; CUDA only")] = False,
) -> None:
    """Times one training step of every variant and prints a table."""
    console, on = Console(width=100), torch.device(device)
    sizes = Sizes(depth, width, side, blocks, block_frames, batch_size)
    names = variant or list(VARIANTS)
    if find_largest_batch:
        if on.type != "cuda":
            raise typer.BadParameter("the largest batch is sought on CUDA devices alone")
        show_largest_batches(console, names, sizes, on)
        return
    timed: dict[str, Any] = {"steps": steps, "device": on}
    builders: dict[str, Callable[[], Steps]] = {}
    if checkout is not None:
        for name, bf16 in ((RIVAL, False), (f"{RIVAL}, bf16", True)):
            builders[name] = partial(released, checkout, sizes, **timed, bf16=bf16)
    builders |= {name: partial(ours, VARIANTS[name], sizes, **timed) for name in names}
    race_of_steps(
        console,
        builders,
        rival=RIVAL,
        rounds=rounds,
        steps=steps,
        num_examples=batch_size,
        device=on,
        sizes=str(sizes),
        unit="clips",
    )


if __name__ == "__main__":
    typer.run(main)
