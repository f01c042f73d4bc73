"""The optional decoder TorchCodec, which needs the system's FFmpeg and rounds colours differently."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
from torch.nn import functional

from ndabench.data.videos.facts import UPRIGHT, VideoFacts
from ndabench.data.videos.source import Framing, Pixels
from ndabench.errors import UserError


def require_torchcodec() -> None:
    """`UserError` where TorchCodec is not installed, or finds no FFmpeg."""
    try:
        import_module("torchcodec.decoders")
    except (ImportError, OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"decoder: torchcodec cannot be used here ({reason}); install torchcodec and FFmpeg, "
            "or choose decoder: pyav"
        ) from None


def read_frames(path: Path, facts: VideoFacts, wanted: Sequence[int], framing: Framing) -> Pixels:
    """Frames `wanted` (any order, repeats allowed) of a scanned video, uint8 RGB `[T, H, W, 3]`."""
    decoders = import_module("torchcodec.decoders")  # optional, and slow to import
    distinct, place = np.unique(np.asarray(wanted), return_inverse=True)
    try:
        # "exact" reads every packet's header first, so that an index means the same frame as in the scan
        decoder = decoders.VideoDecoder(
            str(path), dimension_order="NCHW", num_ffmpeg_threads=1, seek_mode="exact"
        )
        _require_upright(path, facts, turns=hasattr(decoder.metadata, "rotation"))
        num_frames = len(decoder)
        frames = decoder.get_frames_at(indices=distinct.tolist()).data
    except UserError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: TorchCodec cannot read the video ({reason})") from None
    if num_frames != facts.num_frames:
        raise UserError(
            f"{path}: TorchCodec counts {num_frames} frames where {facts.num_frames} were scanned; "
            "choose decoder: pyav for this set"
        )
    size = framing.scaled_size(*frames.shape[-2:])
    if size != tuple(frames.shape[-2:]):
        # as uint8, which is ten times as fast as float here
        frames = functional.interpolate(frames, size, mode="bilinear", antialias=True)
    shown = np.stack([framing.cut(frame.permute(1, 2, 0).numpy()) for frame in frames])
    return shown[place]


def _require_upright(path: Path, facts: VideoFacts, *, turns: bool) -> None:
    """`UserError` for a video that TorchCodec leaves as it is stored; it `turns` since 0.11, but never
    mirrors."""
    if facts.orientation.mirrored or (facts.orientation != UPRIGHT and not turns):
        what = "mirror" if facts.orientation.mirrored else "turn"
        raise UserError(f"{path}: this TorchCodec does not {what} it as the file says; choose decoder: pyav")
