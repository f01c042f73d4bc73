"""The data sets by name, and `load_data`, which opens one. Nothing here imports torch.

    >>> import torch
    >>> from ndabench.config import parse
    >>> from ndabench.data.sampling import in_order
    >>> config = parse(DataConfig, {"name": "digits", "image_size": 32}, "sweep.yaml: data")
    >>> data = load_data(config, torch.device("cpu"))
    >>> images, labels = next(data.train.batches(in_order(len(data.train), 64)))
    >>> images.shape, images.dtype
    (torch.Size([64, 1, 32, 32]), torch.uint8)

Code outside ndabench adds a data set of images by a configuration that finds and opens the pictures; ndabench
decodes, checks, caches, splits and streams them:

    class MySetConfig(ImageConfig):
        name: Literal["my_set"] = "my_set"
        path: FullPath

        def files(self) -> list[Path]:
            return sorted(self.path.glob("*.png"))

        def open(self) -> Source:
            paths = self.files()
            labels = np.array([int(path.stem[0]) for path in paths], dtype=np.int64)
            return Source({"train": FilePictures(paths, labels)}, class_names=("zero", "one"))

    DATA_SETS.register("my_set", DataSet(MySetConfig, "images"))

A set of video files derives from `VideoConfig` and gives its `lists()`, a detection set derives from
`SceneConfig` and gives its `open()`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias, overload

from ndabench.data.celeba import CelebAConfig
from ndabench.data.cifar import Cifar10Config, Cifar100Config
from ndabench.data.cifar10_c import Cifar10CConfig
from ndabench.data.config import DataSetConfig
from ndabench.data.detection.coco import CocoConfig
from ndabench.data.detection.scattered_digits import ScatteredDigitsConfig
from ndabench.data.detection.source import SceneConfig
from ndabench.data.detection.voc import VocConfig
from ndabench.data.detection.voc_folder import VocFolderConfig
from ndabench.data.digits import DigitsConfig
from ndabench.data.dots import DotsConfig
from ndabench.data.drawn import NoiseConfig, ShapesConfig
from ndabench.data.dtd import DtdConfig
from ndabench.data.image_folder import ImageFolderConfig
from ndabench.data.image_parquet import ImageParquetConfig
from ndabench.data.pairs.digit_outlines import DigitOutlinesConfig
from ndabench.data.pairs.folders import CityscapesConfig, FacadesConfig, PairedFolderConfig
from ndabench.data.places365 import Places365Config
from ndabench.data.points.config import (
    GridConfig,
    PinwheelConfig,
    PointsConfig,
    RingConfig,
    SwissRollConfig,
    TwoMoonsConfig,
)
from ndabench.data.source import ImageConfig
from ndabench.data.stl10 import Stl10Config
from ndabench.data.svhn import SvhnConfig
from ndabench.data.tiny_imagenet import TinyImageNetConfig
from ndabench.data.videos.hmdb51 import Hmdb51Config
from ndabench.data.videos.moving_digits import MovingDigitsConfig
from ndabench.data.videos.source import VideoConfig
from ndabench.data.videos.ucf101 import Ucf101Config
from ndabench.data.videos.video_folder import VideoFolderConfig
from ndabench.registry import OneOf, Registry, load

if TYPE_CHECKING:
    import torch

    from ndabench.data.detection.scenes import DetectionData
    from ndabench.data.images import ImageData
    from ndabench.data.points.load import PointData
    from ndabench.data.videos.clips import ClipData

    Data: TypeAlias = ImageData | ClipData | DetectionData | PointData

Modality = Literal["images", "videos", "pairs", "detection", "points"]


class ModalityFacts(NamedTuple):
    """What all data sets of a modality share."""

    holds: str
    """What errors say that such a data set holds."""
    counted: str
    """What a number of its examples counts, as in `num_images`."""
    loader: str
    """The function that loads such a data set, `"module:attribute"`; see `DataSet.loader`."""
    preview: str | None = None
    """The function that shows a loaded data set with negatives of it; None if none does."""


MODALITIES: Mapping[Modality, ModalityFacts] = {
    "images": ModalityFacts(
        "images", "images", "ndabench.data.load:load_images", "ndabench.data.previews:image_preview"
    ),
    "videos": ModalityFacts(
        "videos", "clips", "ndabench.data.videos.load:load_clips", "ndabench.data.previews:clip_preview"
    ),
    "pairs": ModalityFacts(
        "pairs of images",
        "pairs",
        "ndabench.data.pairs.pairs:load_pairs",
        "ndabench.data.previews:pair_preview",
    ),
    "detection": ModalityFacts("scenes", "scenes", "ndabench.data.detection.scenes:load_detection"),
    "points": ModalityFacts(
        "points in the plane",
        "points",
        "ndabench.data.points.load:load_points",
        "ndabench.data.points.pictures:point_preview",
    ),
}


@dataclass(frozen=True)
class DataSet:
    """A data set that a sweep file can name."""

    config: type[DataSetConfig]
    """Its keys; the class must come from a module that does not import torch."""
    modality: Modality
    loader: str | None = None
    """`"module:attribute"` of a function `(config, *, device) -> ImageData, ClipData, DetectionData or
    PointData`; None: its modality's."""


DATA_SETS: Registry[DataSet] = Registry(
    "data set",
    "ndabench.datasets",
    {
        "digits": DataSet(DigitsConfig, "images"),
        "image_parquet": DataSet(ImageParquetConfig, "images"),
        "image_folder": DataSet(ImageFolderConfig, "images"),
        "cifar10": DataSet(Cifar10Config, "images"),
        "cifar100": DataSet(Cifar100Config, "images"),
        "stl10": DataSet(Stl10Config, "images"),
        "svhn": DataSet(SvhnConfig, "images"),
        "celeba": DataSet(CelebAConfig, "images"),
        "cifar10_c": DataSet(Cifar10CConfig, "images"),
        "dtd": DataSet(DtdConfig, "images"),
        "places365": DataSet(Places365Config, "images"),
        "tiny_imagenet": DataSet(TinyImageNetConfig, "images"),
        "noise": DataSet(NoiseConfig, "images"),
        "shapes": DataSet(ShapesConfig, "images"),
        "dots": DataSet(DotsConfig, "images"),
        "moving_digits": DataSet(
            MovingDigitsConfig, "videos", "ndabench.data.videos.digits_in_memory:load_moving_digits"
        ),
        "ucf101": DataSet(Ucf101Config, "videos"),
        "hmdb51": DataSet(Hmdb51Config, "videos"),
        "video_folder": DataSet(VideoFolderConfig, "videos"),
        "digit_outlines": DataSet(DigitOutlinesConfig, "pairs"),
        "paired_folder": DataSet(PairedFolderConfig, "pairs"),
        "facades": DataSet(FacadesConfig, "pairs"),
        "cityscapes": DataSet(CityscapesConfig, "pairs"),
        "scattered_digits": DataSet(ScatteredDigitsConfig, "detection"),
        "voc": DataSet(VocConfig, "detection"),
        "voc_folder": DataSet(VocFolderConfig, "detection"),
        "coco": DataSet(CocoConfig, "detection"),
        "ring": DataSet(RingConfig, "points"),
        "grid": DataSet(GridConfig, "points"),
        "two_moons": DataSet(TwoMoonsConfig, "points"),
        "swiss_roll": DataSet(SwissRollConfig, "points"),
        "pinwheel": DataSet(PinwheelConfig, "points"),
    },
)


def of_modality(modality: Modality) -> Mapping[str, DataSet]:
    """The data sets of one modality, as a view that also shows later registrations."""
    return DATA_SETS.where(lambda entry: entry.modality == modality)


DataConfig = Annotated[DataSetConfig, OneOf(DATA_SETS)]
"""The type of a field that holds any data set."""
ImageDataConfig = Annotated[ImageConfig, OneOf(of_modality("images"))]
VideoDataConfig = Annotated[VideoConfig, OneOf(of_modality("videos"))]
SceneDataConfig = Annotated[SceneConfig, OneOf(of_modality("detection"))]
"""The types of fields that hold a data set of one modality, such as the `data` of an evaluation."""


def modality_of(config: DataSetConfig) -> Modality:
    """What the data set holds."""
    return DATA_SETS[config.name].modality


@overload
def load_data(config: ImageConfig, device: "torch.device") -> "ImageData": ...
@overload
def load_data(config: VideoConfig, device: "torch.device") -> "ClipData": ...
@overload
def load_data(config: SceneConfig, device: "torch.device") -> "DetectionData": ...
@overload
def load_data(config: PointsConfig, device: "torch.device") -> "PointData": ...
@overload
def load_data(config: DataSetConfig, device: "torch.device") -> "Data": ...
def load_data(config: DataSetConfig, device: "torch.device") -> "Data":
    """The data set, ready to give out images or clips on `device` (scenes stay in host memory).

    Raises `UserError` for what is missing, damaged or contradicts itself. The first use on a machine decodes
    or scans the set into the cache; several processes may start at once.
    """
    entry = DATA_SETS[config.name]
    data: Data = load(entry.loader or MODALITIES[entry.modality].loader)(config, device=device)
    return data
