"""The video data sets by name."""

from typing import TYPE_CHECKING, Annotated, Union

import torch
from pydantic import Field

from ndabench.data.videos.clips import ClipData
from ndabench.data.videos.hmdb51 import Hmdb51Config
from ndabench.data.videos.moving_digits_config import MovingDigitsConfig
from ndabench.data.videos.source import VideoConfig
from ndabench.data.videos.ucf101 import Ucf101Config
from ndabench.data.videos.video_folder import VideoFolderConfig


def load_clips(config: VideoConfig, *, device: torch.device) -> ClipData:
    """The data set, ready; `UserError` for what is missing, damaged or contradicts itself.

    The first use on a machine scans the set into the cache; several processes may start at once. Clips are
    given out on `device`.
    """
    return config.load(device)


VIDEO_DATA: dict[str, type[VideoConfig]] = {
    "moving_digits": MovingDigitsConfig,
    "ucf101": Ucf101Config,
    "hmdb51": Hmdb51Config,
    "video_folder": VideoFolderConfig,
}

if TYPE_CHECKING:
    VideoDataConfig = VideoConfig
else:  # pydantic picks the class by its `name`; a type checker could not follow a union made from a dict
    VideoDataConfig = Annotated[Union[tuple(VIDEO_DATA.values())], Field(discriminator="name")]  # noqa: UP007
