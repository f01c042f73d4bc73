"""Image data sets: read, decoded once, split, and given out in batches on the training device."""

from ndabench.data.feeding import global_batches
from ndabench.data.images import ImageData, ImageSplit, to_float, to_uint8
from ndabench.data.load import load_images
from ndabench.data.registry import IMAGE_DATA, ImageDataConfig
from ndabench.data.sampling import in_order, shuffled_batches
from ndabench.data.source import ImageConfig
from ndabench.data.store import cache_folder

__all__ = [
    "IMAGE_DATA",
    "ImageConfig",
    "ImageData",
    "ImageDataConfig",
    "ImageSplit",
    "cache_folder",
    "global_batches",
    "in_order",
    "load_images",
    "shuffled_batches",
    "to_float",
    "to_uint8",
]
