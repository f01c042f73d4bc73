"""Pictures of points in the plane, and of what a discriminator makes of the plane around them."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ndabench.data.points.config import WINDOW
from ndabench.data.points.load import PointData
from ndabench.data.previews import Negatives, Preview

SIDE = 200
"""Pixels of a panel."""
BANDS = 8
"""Contour bands on each side of the logit's median."""
REAL, FAKE, NEGATIVE = (20, 20, 20), (0, 140, 60), (200, 0, 120)
LEGEND = (("real", REAL), ("generated", FAKE), ("negative", NEGATIVE))
COOL, WARM = np.array([90.0, 150.0, 230.0]), np.array([240.0, 150.0, 80.0])


class Film:
    """A strip of panels, one for each step at which it was drawn; part of a trial's state."""

    def __init__(self) -> None:
        self.panels: dict[int, Tensor] = {}
        """By step: uint8 `[SIDE, SIDE, 3]`."""

    def add(
        self,
        step: int,
        logits: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        negative: Tensor | None,
    ) -> None:
        """Draws the contours of `logits` (points `[N, 2]` to `[N]`) with three kinds of points over them."""
        line = (torch.arange(SIDE, device=real.device) + 0.5) / SIDE * 2 * WINDOW - WINDOW
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).flip(0)  # the top row first
        panel = _contours(logits(grid.reshape(-1, 2)).reshape(SIDE, SIDE).cpu())
        for points, colour in ((real, REAL), (negative, NEGATIVE), (fake, FAKE)):
            if points is not None:
                _dots(panel, points, colour)
        self.panels[step] = torch.from_numpy(panel)

    def png(self) -> bytes:
        """All panels in a row, in the order of their steps, with their steps below."""
        font = ImageFont.load_default(13)
        strip = Image.new("RGB", (len(self.panels) * (SIDE + 4), SIDE + 40), "white")
        draw = ImageDraw.Draw(strip)
        for place, step in enumerate(sorted(self.panels)):
            left = place * (SIDE + 4)
            strip.paste(Image.fromarray(self.panels[step].numpy()), (left, 0))
            draw.text((left + SIDE // 2, SIDE + 2), f"step {step:,}", fill="black", font=font, anchor="ma")
        left = 4
        for name, colour in LEGEND:
            draw.rectangle((left, SIDE + 25, left + 8, SIDE + 33), fill=colour)
            draw.text((left + 12, SIDE + 21), name, fill="black", font=font)
            left += 22 + int(font.getlength(name))
        return _as_png(strip)

    def state_dict(self) -> dict[str, Any]:
        return {"panels": dict(self.panels)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.panels = {int(step): panel for step, panel in state["panels"].items()}


def _contours(logits: Tensor) -> Any:
    """uint8 `[H, W, 3]`: bands of equal numbers of pixels, warm where the logit is high, with lines
    between."""
    values = logits.float().nan_to_num().numpy()
    edges = np.quantile(values, np.linspace(0, 1, 2 * BANDS + 1)[1:-1])
    bands = np.searchsorted(edges, values)
    strength = (bands / (2 * BANDS - 1) * 2 - 1)[..., None]
    colour = np.where(strength > 0, WARM, COOL)
    picture = 255 - (255 - colour) * np.abs(strength) * 0.8
    line = np.zeros(values.shape, bool)
    line[:-1] |= bands[:-1] != bands[1:]
    line[:, :-1] |= bands[:, :-1] != bands[:, 1:]
    picture[line] *= 0.85
    return picture.astype(np.uint8)


def _dots(picture: Any, points: Tensor, colour: tuple[int, int, int]) -> None:
    """Draws points in the window as dots of two by two pixels."""
    side = len(picture)
    cells = ((points.float().cpu().numpy() + WINDOW) / (2 * WINDOW) * side).astype(np.int64)
    for dx, dy in ((0, 0), (0, 1), (1, 0), (1, 1)):
        x, y = cells[:, 0] + dx, side - 1 - cells[:, 1] - dy
        seen = (x >= 0) & (x < side) & (y >= 0) & (y < side)
        picture[y[seen], x[seen]] = colour


def point_preview(
    data: PointData, negatives: Negatives, shown_shape: tuple[int, ...], *, count: int, seed: int
) -> Preview:
    """One picture of 2,000 training points, and one for each negative, whatever `count` is."""
    real = data.train.points[:2000]
    rows = {"real": _scatter(real, None)}
    for name, negative in negatives.items():
        made = negative(real, generator=torch.Generator(real.device).manual_seed(seed))
        rows[name] = _scatter(real, made)
    return Preview("picture of points", rows, len(negatives))


def _scatter(real: Tensor, negative: Tensor | None) -> Tensor:
    """uint8 `[1, 3, SIDE, SIDE]`."""
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    _dots(picture, real, REAL)
    if negative is not None:
        _dots(picture, negative, NEGATIVE)
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def _as_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
