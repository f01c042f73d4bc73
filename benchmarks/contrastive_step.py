"""Images a second of a whole MoCo training step with 0, 1 and 2 NDA keys, compared with lightly's MoCo.

    python benchmarks/contrastive_step.py [--lightly CHECKOUT] [--batch-size 64] [--rounds 5] [--device cuda]

One step is: two views of every image, queries and keys of a ResNet-18 with the CIFAR stem, the loss against a
queue of 4096, backward, SGD, the momentum update. Ours goes through `ContrastiveTask.run`. lightly's is put
together from its own modules as its example does, from CHECKOUT, a copy of github.com/lightly-ai/lightly,
with torchvision's ResNet-18; its views are made by its transform in this process, image by image, and once
more with views made beforehand ("views free"). All contestants take turns in one process.
"""

import copy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from torch import Tensor, nn

from benchmarks.racing import Steps, race_of_steps, random_images, steps_of
from ndabench.augmentations.registry import implementations
from ndabench.distributed import Workers
from ndabench.tasks.contrastive.config import ImageContrastiveConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import build_trainer

NEGATIVES = implementations("corrected")

RIVAL = "lightly"
QUEUE = 4096
TEMPERATURE = 0.1

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "1 jigsaw key": {"num_nda_keys": 1},
    "2 jigsaw keys": {"num_nda_keys": 2},
    "plain, 8 batch-norm splits": {"splits": 8},
    "plain, bf16": {"precision": "bf16"},
    "plain, compiled": {"compile": True},
    "plain, bf16 compiled": {"precision": "bf16", "compile": True},
}


def ours(settings: dict[str, Any], *, batch_size: int, width: int, steps: int, device: torch.device) -> Steps:
    settings = dict(settings)
    config = ImageContrastiveConfig.model_validate(
        {
            "method": {"name": "moco", "queue_size": QUEUE, "batch_norm_splits": settings.pop("splits", 1)},
            "encoder": {"name": "resnet", "width": width},
            "temperature": TEMPERATURE,
            "batch_size": batch_size,
            "num_steps": 10**9,
            "log_every": steps,
            "checkpoint_every": 10**9,
            **settings,
        }
    )
    with_negative = "num_nda_keys" in settings
    setup = TrialSetup(
        config,
        random_images(device),
        negative=NEGATIVES["jigsaw"] if with_negative else None,
        lambda_=1.0 if with_negative else 0.0,
        workers=Workers(device=device),
    )
    return steps_of(build_trainer(setup))


def lightlys(
    checkout: Path, *, batch_size: int, width: int, steps: int, device: torch.device, with_views: bool
) -> Steps:
    sys.path.insert(0, str(checkout))
    from lightly.loss import NTXentLoss
    from lightly.models.modules import MoCoProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from lightly.transforms.moco_transform import MoCoV2Transform
    from torchvision.models import resnet18
    from torchvision.transforms.functional import to_pil_image

    assert width == 64, "torchvision's ResNet-18 has no other width"
    backbone = resnet18()
    backbone.conv1, backbone.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    backbone.fc = nn.Identity()
    network = nn.Sequential(backbone, MoCoProjectionHead(512, 512, 128)).to(device)
    momentum_network = copy.deepcopy(network)
    deactivate_requires_grad(momentum_network)
    loss = NTXentLoss(temperature=TEMPERATURE, memory_bank_size=(QUEUE, 128)).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)
    transform = MoCoV2Transform(input_size=32, gaussian_blur=0.0)
    pictures = [
        to_pil_image(torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)) for _ in range(batch_size)
    ]

    def views() -> list[Tensor]:
        made = [transform(picture) for picture in pictures]
        return [torch.stack(both).to(device) for both in zip(*made, strict=True)]

    ready = views()

    def take() -> None:
        for _ in range(steps):
            query, key = views() if with_views else ready
            update_momentum(network, momentum_network, m=0.99)
            with torch.no_grad():
                keys = momentum_network(key)
            value = loss(network(query), keys)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

    return take


def main(
    checkout: Annotated[Path | None, typer.Option("--lightly", help="checkout of lightly")] = None,
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
    builders: dict[str, Callable[[], Steps]] = {}
    if checkout is not None:
        for name, views in ((RIVAL, True), (f"{RIVAL}, views free", False)):
            builders[name] = partial(lightlys, checkout, **sizes, with_views=views)
    builders |= {name: partial(ours, VARIANTS[name], **sizes) for name in variant or VARIANTS}
    race_of_steps(
        console,
        builders,
        rival=RIVAL,
        rounds=rounds,
        steps=steps,
        num_examples=batch_size,
        device=on,
        sizes=f"batch {batch_size}, width {width}",
    )


if __name__ == "__main__":
    typer.run(main)
