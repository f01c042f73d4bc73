"""Random views of clips: one draw a clip, so that a view moves as its clip does.

The draws and the pixels are those of `Views`, frame by frame: crop, flip and (where a clip is drawn once for
all) colours are alike on all frames, while contrast turns about each frame's own mean, as in torchvision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ndabench.augmentations.views import Views, crop
from ndabench.errors import UserError


@dataclass(frozen=True)
class ClipViews:
    """`views` for clips. `UserError` where a word is not known."""

    views: Views
    colours: Literal["clip", "frame"] = "clip"
    """How often jitter, grey and blur are drawn. DPC (arXiv 1909.04656) draws them for each frame, lest the
    future be told by its colours; crop and flip are always a clip's."""

    def __post_init__(self) -> None:
        if self.colours not in ("clip", "frame"):
            raise UserError(f"views: colours must be drawn per clip or frame, got {self.colours!r}")

    @property
    def size(self) -> int | None:
        """Side of a view; None: the clip's own sides."""
        return self.views.size

    def draw(
        self, count: int, shape: tuple[int, int, int, int], *, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Every draw for `count` clips of `shape` (C, T, H, W): tensors `[count]` on the generator's device,
        or `[count, T]` what is drawn for each frame."""
        channels, frames, height, width = shape
        drawn = self.views.draw(count, (channels, height, width), generator=generator)
        if self.colours == "clip":
            return drawn
        each = self.views.draw(count * frames, (channels, height, width), generator=generator)
        return {
            name: drawn[name] if name in _PLACES else value.view(count, frames)
            for name, value in each.items()
        }

    def apply(self, clips: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        """The views, float32 `[N, C, T, size, size]` in [-1, 1], of `clips`, uint8 or float in [-1, 1].

        View i depends on clip i and on row i of `draws` alone. Autocast has no hold on it. A clip's frames
        lie one after the other in memory, so that the result is not contiguous.
        """
        n, c, t, h, w = clips.shape
        size = self.views.size
        height, width = (size, size) if size else (h, w)
        with torch.autocast(clips.device.type, enabled=False):
            # Time beside the channels: one resampling matrix serves all frames of a clip.
            frames = clips.transpose(1, 2).reshape(n, t * c, h, w).float()
            view = crop(frames, draws, height, width).view(n * t, c, height, width)
            view = view.add_(1).div_(2) if clips.is_floating_point() else view.div_(255)
            colours = {
                name: (drawn if drawn.dim() == 2 else drawn[:, None].expand(n, t)).flatten()
                for name, drawn in draws.items()
                if name not in _PLACES
            }
            view = self.views.colour(view, colours).mul_(2).sub_(1).clamp_(-1, 1)
        return view.view(n, t, c, height, width).transpose(1, 2)


_PLACES = frozenset({"top", "left", "height", "width", "flip"})
"""The draws that say where a view lies in its clip."""
