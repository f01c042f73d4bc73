"""`python -m ndabench.preview`: a PNG sheet of a data set's images or of a clip, a row for each negative."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndabench.command_line import SET, run

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ndabench.data.images import ImageData
    from ndabench.data.videos.clips import ClipData
    from ndabench.planning.sweep_file import SweepConfig

    Negatives = Mapping[str, Callable[..., torch.Tensor]]

REAL = {"real", "another"}
"""Titles of the rows that are not negatives."""


def preview(
    file: Annotated[Path, typer.Argument(help="The sweep file whose data and arms to show.")] = Path(
        "sweeps/quickstart.yaml"
    ),
    set_: Annotated[list[str] | None, SET] = None,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("preview.png"),
    images: Annotated[int, typer.Option(min=2, max=64, help="Images, or frames of a clip, in a row.")] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write a PNG sheet of a data set's images, or of a clip, with the arms' negatives and all others."""
    import torch

    from ndabench.data.registry import load_data
    from ndabench.data.videos.clips import ClipData
    from ndabench.errors import UserError
    from ndabench.planning.sweep_file import read_sweep

    config = read_sweep(file, set_ or [])
    data: Any = load_data(config.data, torch.device("cpu"))
    negatives = negatives_to_show(config)
    if isinstance(data, ClipData):
        frames = config.task.shown_shape(data.frame_shape)[-3]  # of (C, T, H, W)
        rows, what = strips(data, negatives, frames, images, seed), "frames of a clip"
    else:
        rows, what = versions(data, negatives, images, seed), "images"
    try:
        out.write_bytes(sheet(rows))
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from None
    count = len(next(iter(rows.values())))
    print(f"{out}: {count} {what} of {data.name}, {len(rows.keys() - REAL)} negatives of them")


def negatives_to_show(config: "SweepConfig") -> "Negatives":
    """The augmentations of a sweep's arms, then every other negative, by the names that tables use."""
    from ndabench.tasks.registry import all_negatives, augmentation_label, build_augmentation

    of_arms = {}
    for spec in (spec for arm in config.arms for spec in (arm.negative, arm.positive)):
        if (augmentation := build_augmentation(config.task, spec)) is not None:
            of_arms[augmentation_label(config.task, spec)] = augmentation
    return of_arms | all_negatives(config.task)


def versions(data: "ImageData", negatives: "Negatives", count: int, seed: int) -> "dict[str, torch.Tensor]":
    """The first training images and the negatives of them, uint8 `[count, C, H, W]` by title."""
    import torch

    real, _ = next(iter(data.train.batches([torch.arange(count)])))
    return {"real": real, **dict(_applied(negatives, real, seed))}


def strips(
    data: "ClipData", negatives: "Negatives", num_frames: int, count: int, seed: int
) -> "dict[str, torch.Tensor]":
    """`count` frames, evenly sampled, of a clip of `num_frames` and of the negatives of it.

    uint8 `[count, C, H, W]` by title. The clip's stride is the largest with which the video suffices.
    Negatives that pair clips take the frames of the last training video, which is mostly of another class.
    """
    import torch

    from ndabench.data.videos.clips import ClipRequest

    lengths = data.train.num_frames
    strides = [max((lengths[video] - 1) // max(num_frames - 1, 1), 1) for video in (0, -1)]
    pair = [
        ClipRequest(video, 0, num_frames, stride)
        for video, stride in zip((0, len(lengths) - 1), strides, strict=True)
    ]
    real, _ = next(iter(data.train.clips([pair])))
    clips = {"real": real[0], "another": real[1]}
    clips |= {name: made[0] for name, made in _applied(negatives, real, seed)}
    shown = torch.linspace(0, num_frames - 1, min(count, num_frames)).round().long()
    return {name: clip[:, shown].transpose(0, 1) for name, clip in clips.items()}


def _applied(negatives: "Negatives", real: "torch.Tensor", seed: int) -> "Iterator[tuple[str, torch.Tensor]]":
    """Each negative of `real` by name; says which do not fit and leaves them out."""
    import torch

    from ndabench.errors import UserError

    for name, negative in negatives.items():
        try:
            yield name, negative(real, generator=torch.Generator().manual_seed(seed))
        except UserError as error:
            print(f"left out: {error}")


def sheet(rows: "dict[str, torch.Tensor]", cell: int = 64) -> bytes:
    """A PNG with a labelled row for each entry, uint8 `[N, C, H, W]`, all of one shape; cells are `cell` px
    high."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    margin = 12 + max(int(font.getlength(name)) for name in rows)
    pictures = {name: [_picture(image, cell) for image in images] for name, images in rows.items()}
    width = pictures[next(iter(rows))][0].width
    count = len(next(iter(rows.values())))
    canvas = Image.new("RGB", (margin + count * (width + 2), len(rows) * (cell + 2)), "white")
    draw = ImageDraw.Draw(canvas)
    for y, (name, row) in enumerate(pictures.items()):
        draw.text((6, y * (cell + 2) + cell // 2), name, fill="black", font=font, anchor="lm")
        for x, picture in enumerate(row):
            canvas.paste(picture, (margin + x * (width + 2), y * (cell + 2)))
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG")
    return buffer.getvalue()


def _picture(image: "torch.Tensor", height: int) -> "Image.Image":
    from PIL import Image

    array = image.permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).convert("RGB")
    return picture.resize((height * picture.width // picture.height, height), Image.Resampling.NEAREST)


if __name__ == "__main__":
    run(preview)
