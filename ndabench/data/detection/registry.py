"""The detection data sets by name."""

from typing import Annotated

from pydantic import Field

from ndabench.data.detection.scattered_digits import ScatteredDigitsConfig
from ndabench.data.detection.sets import DetectionData, require_objects
from ndabench.data.detection.voc import VocConfig

DetectionDataConfig = Annotated[VocConfig | ScatteredDigitsConfig, Field(discriminator="name")]


def load_detection(config: DetectionDataConfig) -> DetectionData:
    """The data set behind `config`, its annotations read and checked; `UserError` for what is wrong."""
    data = config.load()
    require_objects(data)
    return data


DETECTION_DATA: dict[str, type[VocConfig] | type[ScatteredDigitsConfig]] = {
    "voc": VocConfig,
    "scattered_digits": ScatteredDigitsConfig,
}
