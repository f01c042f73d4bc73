"""Previews of a data set for people: real images, or the frames of a clip, above their negatives.

    pictures = image_preview(data, negatives, shown_shape, count=8, seed=0)
    Path("preview.png").write_bytes(labelled_sheet(pictures.rows))

`MODALITIES` in `registry.py` names the preview of each modality.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ndabench.data.images import ImageData
from ndabench.data.pairs.pairs import PairedData
from ndabench.data.videos.clips import ClipData, ClipRequest
from ndabench.errors import UserError

Negatives = Mapping[str, Callable[..., Tensor]]
"""Negatives by the name of their row."""


@dataclass(frozen=True)
class Preview:
    """Rows of pictures to look at, real ones first."""

    what: str
    """What the pictures are, such as `images`."""
    rows: Mapping[str, Tensor]
    """uint8 `[count, C, H, W]` by title."""
    num_negatives: int


def image_preview(
    data: ImageData, negatives: Negatives, shown_shape: tuple[int, ...], *, count: int, seed: int
) -> Preview:
    """`count` training images of all parts of the set, and their negatives, at the data's own size, whatever
    `shown_shape` is."""
    images, _ = next(iter(data.train.batches([_spread(len(data.train), count)])))
    made = dict(_applied(negatives, images, seed))
    return Preview("images", {"real": images, **made}, len(made))


def pair_preview(
    data: PairedData, negatives: Negatives, shown_shape: tuple[int, ...], *, count: int, seed: int
) -> Preview:
    """`count` training pairs of all parts of the set, and the negatives of their targets."""
    rows = [_spread(len(data.train), count)]
    inputs, _ = next(iter(data.inputs["train"].batches(rows)))
    targets, _ = next(iter(data.train.batches(rows)))
    made = dict(_applied(negatives, targets, seed))
    return Preview("pairs", {"input": inputs, "target": targets, **made}, len(made))


def clip_preview(
    data: ClipData, negatives: Negatives, shown_shape: tuple[int, ...], *, count: int, seed: int
) -> Preview:
    """Up to `count` frames, evenly sampled, of a clip and of its negatives.

    The clip has as many frames as `shown_shape` (C, T, H, W), and the largest stride for which the video is
    long enough. Negatives that pair clips take the frames of the last training video, which mostly belongs to
    another class.
    """
    num_frames, lengths = shown_shape[-3], data.train.num_frames
    pair = [
        ClipRequest(video, 0, num_frames, max((lengths[video] - 1) // max(num_frames - 1, 1), 1))
        for video in (0, len(lengths) - 1)
    ]
    real, _ = next(iter(data.train.clips([pair])))
    made = {name: clips[0] for name, clips in _applied(negatives, real, seed)}
    shown = torch.linspace(0, num_frames - 1, min(count, num_frames)).round().long()
    clips = {"real": real[0], "another": real[1], **made}
    rows = {name: clip[:, shown].transpose(0, 1) for name, clip in clips.items()}
    return Preview("frames of a clip", rows, len(made))


def _spread(num_examples: int, count: int) -> Tensor:
    """Up to `count` rows at equal distances: folders are read class by class."""
    return torch.linspace(0, num_examples - 1, min(count, num_examples)).round().long()


def _applied(negatives: Negatives, real: Tensor, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Each negative of `real` by name; prints which ones do not fit and leaves them out."""
    for name, negative in negatives.items():
        try:
            yield name, negative(real, generator=torch.Generator().manual_seed(seed))
        except UserError as error:
            print(f"left out: {error}")


def labelled_sheet(rows: Mapping[str, Tensor], cell: int = 64) -> bytes:
    """A PNG file with a labelled row for each entry, uint8 `[N, C, H, W]`, all of one shape.

    Cells are `cell` pixels high.
    """
    font = ImageFont.load_default(14)
    margin = 12 + max(int(font.getlength(name)) for name in rows)
    pictures = {name: [_picture(image, cell) for image in images] for name, images in rows.items()}
    first = next(iter(pictures.values()))
    width = first[0].width
    canvas = Image.new("RGB", (margin + len(first) * (width + 2), len(rows) * (cell + 2)), "white")
    draw = ImageDraw.Draw(canvas)
    for y, (name, row) in enumerate(pictures.items()):
        draw.text((6, y * (cell + 2) + cell // 2), name, fill="black", font=font, anchor="lm")
        for x, picture in enumerate(row):
            canvas.paste(picture, (margin + x * (width + 2), y * (cell + 2)))
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG")
    return buffer.getvalue()


def _picture(image: Tensor, height: int) -> Image.Image:
    array = image.permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).convert("RGB")
    return picture.resize((height * picture.width // picture.height, height), Image.Resampling.NEAREST)
