"""Sheets of images and film strips of clips as PNG files, for people to look at."""

import io

import torch
from PIL import Image
from torch import Tensor

COLUMNS = 8
NUM_STRIPS = 4
"""How many clips of a batch are shown."""


def sheet(images: Tensor, *, columns: int = COLUMNS) -> bytes:
    """The PNG file of uint8 images `[N, C, H, W]` (C: 1 or 3), in rows of `columns`."""
    from torchvision.utils import make_grid  # late: importing torchvision takes two seconds

    grid = make_grid(images.cpu(), nrow=columns, padding=1, pad_value=128)
    buffer = io.BytesIO()
    Image.fromarray(grid.permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    return buffer.getvalue()


def comparison_sheet(*versions: Tensor) -> bytes:
    """A sheet with the versions of each row of images one below the other; clips are shown as strips."""
    if versions[0].ndim == 5:
        return film_strips(*versions)
    rows = zip(*(images.split(COLUMNS) for images in versions), strict=True)
    return sheet(torch.cat([part for row in rows for part in row]))


def film_strips(*versions: Tensor) -> bytes:
    """A sheet with a row of frames for each version of each clip, the versions of a clip one below the other.

    `versions`: uint8 clips `[N, C, T, H, W]` each, which may differ in T only. The first few clips are shown,
    each version by as many frames as the shortest has (at most `COLUMNS`), evenly spaced over its length.
    """
    columns = min(COLUMNS, *(clips.shape[2] for clips in versions))
    strips = [_evenly(clips[:NUM_STRIPS], columns).transpose(1, 2) for clips in versions]
    return sheet(torch.stack(strips, dim=1).flatten(0, 2), columns=columns)


def _evenly(clips: Tensor, num_frames: int) -> Tensor:
    chosen = torch.linspace(0, clips.shape[2] - 1, num_frames).round().long()
    return clips[:, :, chosen.to(clips.device)]
