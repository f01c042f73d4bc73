"""How clips are cut out of videos for a network. Nothing here imports torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ndabench.errors import UserError

if TYPE_CHECKING:
    from ndabench.data.videos.clips import ClipData

OVERLAP = 0.5
"""The share of its frames that a window shares with the next one."""


@dataclass(frozen=True)
class ClipSampling:
    """How clips are cut out of videos for a network."""

    frames: int
    stride: int
    """One frame in this many is taken from the video."""
    size: int | None = None
    """Side of the centre that is tested, and of the views for training; None: whole frames."""

    def check(self, data: "ClipData") -> None:
        """`UserError` for frames that are smaller than the clips cut out of them."""
        _, height, width = data.frame_shape
        if self.size is not None and min(height, width) < self.size:
            raise UserError(
                f"{data.name}: its frames are {height}×{width}, but the encoder looks at "
                f"{self.size}×{self.size}; set the data's frame_size to at least {self.size}"
            )

    def protocol(self, data: "ClipData") -> dict[str, Any]:
        """The sampling as plain data."""
        return {
            "clip_frames": self.frames,
            "frame_stride": self.stride,
            "clip_size": list(data.frame_shape[1:]) if self.size is None else [self.size, self.size],
            "window_overlap": OVERLAP,
        }
