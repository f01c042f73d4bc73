"""How clips are cut out of videos for a network. Nothing here imports torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ndabench.errors import UserError

if TYPE_CHECKING:
    from ndabench.data.videos.clips import ClipData

OVERLAP = 0.5
"""The share of its frames that a window shares with the next one."""
NUM_SPREAD = 10
WindowRule = Literal["half", "ten"]
"""Which clips of a video are tested: all that overlap by half, or ten that are spread evenly."""
CropRule = Literal["centre", "five", "ten"]
"""Which parts of a frame are tested: the centre, also the corners, or these and their mirror images."""


@dataclass(frozen=True)
class ClipSampling:
    """How clips are cut out of videos for a network."""

    frames: int
    stride: int
    """One frame in this many is taken from the video."""
    size: int | None = None
    """Side of what is tested of a frame, and of the views for training; None: whole frames."""
    windows: WindowRule = "half"
    crops: CropRule = "centre"

    def check(self, data: "ClipData") -> None:
        """`UserError` for frames that are smaller than the clips cut out of them."""
        _, height, width = data.frame_shape
        if self.size is not None and min(height, width) < self.size:
            raise UserError(
                f"{data.name}: its frames are {height}×{width}, but the encoder looks at "
                f"{self.size}×{self.size}; set the data's frame_size to at least {self.size}"
            )

        if self.crops != "centre" and (self.size is None or (height, width) == (self.size, self.size)):
            raise UserError(
                f"{data.name}: crops: {self.crops} needs frames larger than what the encoder sees; set "
                "a larger frame_size of the data"
            )

    def shape(self, data: "ClipData") -> tuple[int, int, int, int]:
        """The shape of the clips that are tested, (C, T, H, W)."""
        channels, height, width = data.frame_shape
        return channels, self.frames, self.size or height, self.size or width

    def protocol(self, data: "ClipData") -> dict[str, Any]:
        """The sampling as plain data."""
        spread = {"windows": f"{NUM_SPREAD}, spread evenly"}
        return {
            "clip_frames": self.frames,
            "frame_stride": self.stride,
            "clip_size": list(self.shape(data)[2:]),
            **({"window_overlap": OVERLAP} if self.windows == "half" else spread),
            **({"crops": self.crops} if self.crops != "centre" else {}),
        }
