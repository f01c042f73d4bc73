"""Video data sets: scanned once, split by their official lists, decoded into the clips that are asked for."""

from ndabench.data.videos.clips import ClipBatch, ClipData, ClipRequest, ClipSplit, covering_windows
from ndabench.data.videos.registry import VIDEO_DATA, VideoDataConfig, load_clips
from ndabench.data.videos.sampling import global_clips, random_clips
from ndabench.data.videos.source import VideoConfig

__all__ = [
    "VIDEO_DATA",
    "ClipBatch",
    "ClipData",
    "ClipRequest",
    "ClipSplit",
    "VideoConfig",
    "VideoDataConfig",
    "covering_windows",
    "global_clips",
    "load_clips",
    "random_clips",
]
