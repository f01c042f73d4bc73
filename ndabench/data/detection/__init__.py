"""Detection data sets: pictures with boxes, in three splits, with validation cut from training."""

from ndabench.data.detection.registry import DETECTION_DATA, DetectionDataConfig, load_detection
from ndabench.data.detection.scattered_digits import ScatteredDigitsConfig
from ndabench.data.detection.sets import DetectionData, JoinedScenes, Objects, Scene, SceneSplit
from ndabench.data.detection.voc import VocConfig

__all__ = [
    "DETECTION_DATA",
    "DetectionData",
    "DetectionDataConfig",
    "JoinedScenes",
    "Objects",
    "ScatteredDigitsConfig",
    "Scene",
    "SceneSplit",
    "VocConfig",
    "load_detection",
]
