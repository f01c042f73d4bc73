"""Sheets of images as PNG files, for people to look at."""

import io

import torch
from PIL import Image
from torch import Tensor

COLUMNS = 8


def sheet(images: Tensor) -> bytes:
    """The PNG file of uint8 images `[N, C, H, W]` (C: 1 or 3), in rows of `COLUMNS`."""
    from torchvision.utils import make_grid  # late: importing torchvision takes two seconds

    grid = make_grid(images.cpu(), nrow=COLUMNS, padding=1, pad_value=128)
    buffer = io.BytesIO()
    Image.fromarray(grid.permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    return buffer.getvalue()


def comparison_sheet(*versions: Tensor) -> bytes:
    """A sheet in which every row of images stands above the rows of what became of them."""
    rows = zip(*(images.split(COLUMNS) for images in versions), strict=True)
    return sheet(torch.cat([part for row in rows for part in row]))
