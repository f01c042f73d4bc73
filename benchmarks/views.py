"""Milliseconds a batch of the views compared with kornia and torchvision, part by part, and their
differences.

    python benchmarks/views.py [--device cuda] [--threads 2] [--rounds 15]

All contestants get the same images in [0, 1] and the same draws and take turns in one process, in a new order
every round. torchvision (v2 functional) takes one parameter a call and so runs in a loop over the images, its
parameters already on the host; kornia's functions take a parameter an image. `grid_sample` is a crop by
torch's own warp, clamped to the crop's pixels. Figures are medians over the rounds with their quartiles;
× ours is the median of the ratios within a round, the difference the largest from torchvision's in [0, 1].
"""

import importlib.metadata
import platform
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from math import pi
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as one

from ndabench.augmentations import views
from ndabench.augmentations.views_config import ViewsConfig

WARM_UP_CALLS = 2
Draws = dict[str, Tensor]
Part = Callable[[Tensor, Draws], Tensor]


def radius_of(images: Tensor) -> int:
    return max(images.shape[-1] // 20, 1)


def grid_sample_crop(images: Tensor, draws: Draws) -> Tensor:
    """Bilinear without antialiasing, the sampled points kept between the crop's outer pixel centres."""
    n, _, h, w = images.shape

    def points(start: Tensor, length: Tensor, side: int, mirrored: Tensor | None = None) -> Tensor:
        target = (torch.arange(side, device=start.device) + 0.5).expand(n, side)
        if mirrored is not None:
            target = torch.where(mirrored[:, None], side - target, target)
        start, length = start[:, None].float(), length[:, None]
        point = (start + target * length / side).clamp(start + 0.5, start + length - 0.5)
        return point * 2 / side - 1

    y = points(draws["top"], draws["height"], h)
    x = points(draws["left"], draws["width"], w, draws["flip"])
    grid = torch.stack([x[:, None, :].expand(n, h, w), y[:, :, None].expand(n, h, w)], -1)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def kornia_parts() -> dict[str, Part]:
    """Empty where kornia is not installed."""
    try:
        from kornia import color, enhance, filters
        from kornia.geometry import transform
    except ImportError:
        return {}

    def crop(images: Tensor, draws: Draws) -> Tensor:
        top, left = draws["top"].float(), draws["left"].float()
        bottom, right = top + draws["height"] - 1, left + draws["width"] - 1
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        boxes = torch.stack([torch.stack(corner, -1) for corner in corners], 1)
        cut = transform.crop_and_resize(images, boxes, (images.shape[-2], images.shape[-1]))
        return torch.where(draws["flip"].view(-1, 1, 1, 1), transform.hflip(cut), cut)

    def jitter(images: Tensor, draws: Draws) -> Tensor:
        images = enhance.adjust_brightness_accumulative(images, draws["brightness"])
        images = enhance.adjust_contrast_with_mean_subtraction(images, draws["contrast"])
        images = enhance.adjust_saturation_with_gray_subtraction(images, draws["saturation"])
        return enhance.adjust_hue(images, draws["hue"] * 2 * pi)

    def grey(images: Tensor, draws: Draws) -> Tensor:
        return torch.where(draws["grayscale"].view(-1, 1, 1, 1), color.rgb_to_grayscale(images), images)

    def blur(images: Tensor, draws: Draws) -> Tensor:
        sigma = draws["sigma"].clamp(min=0.01)[:, None].expand(-1, 2)
        size = 2 * radius_of(images) + 1
        return filters.gaussian_blur2d(images, (size, size), sigma)

    return {"crop, flip": crop, "jitter": jitter, "grey": grey, "blur": blur}


def torchvision_parts(draws: Draws) -> dict[str, Part]:
    """Loops over the images; the parameters are read from `draws` once, here."""
    rows: list[dict[str, Any]] = [
        dict(zip(draws, values, strict=True))
        for values in zip(*(drawn.tolist() for drawn in draws.values()), strict=True)
    ]

    def looped(part: Callable[[Tensor, dict[str, Any]], Tensor]) -> Part:
        def loop(images: Tensor, _: Draws) -> Tensor:
            return torch.stack([part(image, row) for image, row in zip(images, rows, strict=True)])

        return loop

    def crop(image: Tensor, row: dict[str, Any]) -> Tensor:
        box = (row["top"], row["left"], row["height"], row["width"])
        cut = one.resized_crop(image, *box, list(image.shape[-2:]), antialias=True)
        return one.horizontal_flip(cut) if row["flip"] else cut

    def jitter(image: Tensor, row: dict[str, Any]) -> Tensor:
        if row["brightness"] == 1:
            return image
        image = one.adjust_brightness(image, row["brightness"])
        image = one.adjust_contrast(image, row["contrast"])
        image = one.adjust_saturation(image, row["saturation"])
        return one.adjust_hue(image, row["hue"])

    def grey(image: Tensor, row: dict[str, Any]) -> Tensor:
        return one.rgb_to_grayscale(image, num_output_channels=3) if row["grayscale"] else image

    def blur(image: Tensor, row: dict[str, Any]) -> Tensor:
        size = 2 * radius_of(image) + 1
        return one.gaussian_blur(image, [size, size], [row["sigma"]] * 2) if row["sigma"] else image

    return {name: looped(part) for name, part in
            {"crop, flip": crop, "jitter": jitter, "grey": grey, "blur": blur}.items()}  # fmt: skip


def our_parts() -> dict[str, Part]:
    def crop(images: Tensor, draws: Draws) -> Tensor:
        return views.crop(images, draws, images.shape[-2], images.shape[-1])

    return {"crop, flip": crop, "jitter": views.jitter, "grey": views.grayscale, "blur": views.blur}


def with_all(parts: dict[str, Part]) -> dict[str, Part]:
    """The parts, and all of them in a row."""

    def together(images: Tensor, draws: Draws) -> Tensor:
        for part in parts.values():
            images = part(images, draws)
        return images

    return {**parts, "all": together} if parts else {}


def seconds_of(run: Callable[[], Tensor], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compete(parts: dict[str, Part], images: Tensor, draws: Draws, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    order = random.Random(0)
    for turn in range(WARM_UP_CALLS + rounds):
        for name in order.sample(list(parts), len(parts)):
            taken = seconds_of(partial(parts[name], images, draws), images.device)
            if turn >= WARM_UP_CALLS:
                seconds[name].append(taken)
    return seconds


def table_for(shape: tuple[int, int, int, int], device: torch.device, rounds: int) -> Table:
    generator = torch.Generator(device).manual_seed(0)
    small = torch.rand(shape[0], 3, 8, 8, generator=generator, device=device)
    images = functional.interpolate(small, shape[2:], mode="bicubic").clamp(0, 1)
    draws = views.draw_views(ViewsConfig(blur=0.5), shape[0], shape[1:], generator=generator)
    entries: dict[str, dict[str, Part]] = {
        "ours": with_all(our_parts()),
        "kornia": with_all(kornia_parts()),
        "torchvision, looped": with_all(torchvision_parts(draws)),
        "grid_sample": {"crop, flip": grid_sample_crop},
    }
    table = Table("part", "contestant", "ms", "× ours", "largest difference", box=box.MARKDOWN)
    for part, reference in entries["torchvision, looped"].items():
        rivals = {name: parts[part] for name, parts in entries.items() if part in parts}
        seconds = compete(rivals, images, draws, rounds)
        expected = reference(images, draws)
        for name, taken in seconds.items():
            low, middle, high = (1000 * s for s in statistics.quantiles(taken, n=4))
            ratio = statistics.median(a / b for a, b in zip(taken, seconds["ours"], strict=True))
            difference = (rivals[name](images, draws) - expected).abs().max().item()
            timing = f"{middle:.2f} ({low:.2f} to {high:.2f})"
            table.add_row(part, name, timing, f"{ratio:.2f}", f"{difference:.1e}")
    return table


def describe(device: torch.device) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")
    name = torch.cuda.get_device_name() if device.type == "cuda" else cpu
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    versions = ", ".join(f"{p} {packages[p]}" for p in ("torch", "torchvision", "kornia") if p in packages)
    threads = torch.get_num_threads()
    return f"{time.strftime('%Y-%m-%d')}; {name}, {threads} threads; {platform.python_version()}, {versions}"


def main(
    device: str = "cpu",
    threads: int = 2,
    rounds: int = 15,
    shapes: Annotated[str, typer.Option(help="batches as N×side, parted by commas")] = "256x32,32x224",
) -> None:
    """Compare the views' speed and results with kornia's and torchvision's."""
    torch.set_num_threads(threads)
    console = Console(width=120)
    console.print(describe(torch.device(device)))
    for shape in shapes.split(","):
        count, side = (int(number) for number in shape.split("x"))
        console.print(f"{count}×3×{side}×{side} float32, n = {rounds} rounds, median (quartiles)")
        console.print(table_for((count, 3, side, side), torch.device(device), rounds))


if __name__ == "__main__":
    typer.run(main)
