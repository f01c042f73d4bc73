"""What is measured, and on which data, where the user leaves it open."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ndabench.config import parse
from ndabench.data.collection import ARCHIVES, ImageCollectionConfig
from ndabench.data.config import DataSetConfig
from ndabench.data.registry import DataConfig
from ndabench.data.source import ImageConfig
from ndabench.errors import UserError
from ndabench.metrics.anomaly.config import OutlierEvaluation
from ndabench.metrics.clip_encoders.config import ClipTrainingConfig
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generators.config import GeneratorEvaluation
from ndabench.metrics.generators.extractor_registry import EXTRACTORS
from ndabench.metrics.generators.feature_config import FeatureMeasure
from ndabench.metrics.registry import EVALUATIONS, EvaluationConfig, EvaluationEntry, evaluations_of
from ndabench.metrics.subjects import CLIP_ENCODER, GENERATOR
from ndabench.records import SWEEP_FILE, RecordStore
from ndabench.yaml_reading import parse_file, parse_yaml

Entries = Mapping[str, EvaluationEntry]

OF_DISCRIMINATORS: Entries = EVALUATIONS.where(
    lambda entry: entry.measures(GENERATOR) and issubclass(entry.config, OutlierEvaluation)
)
"""The evaluations of a discriminator alone."""
OF_SAMPLES: Entries = EVALUATIONS.where(
    lambda entry: entry.measures(GENERATOR) and not issubclass(entry.config, OutlierEvaluation)
)
"""The evaluations of generated images, which need no discriminator."""
OF_CLIP_ENCODERS: Entries = EVALUATIONS.where(
    lambda entry: entry.measures(CLIP_ENCODER) and not issubclass(entry.config, ClipTrainingConfig)
)
"""The evaluations of a frozen encoder of clips."""


class SweepDefaults:
    """The data and the evaluations of the sweep in the folder, where there is one."""

    def __init__(self, store: RecordStore) -> None:
        content, self._where = store.read_bytes(SWEEP_FILE), store.local_path(SWEEP_FILE)
        self.keys: Mapping[str, Any] = {} if content is None else parse_file(content, self._where)
        if not isinstance(self.keys, Mapping):
            raise UserError(f"{self._where}: must hold a mapping of keys to values")
        self.sweep = str(self.keys.get("name", "external"))

    def data(self, given: str | None, option: str) -> DataSetConfig:
        """The data set that `--<option>` gives as YAML, or that of the sweep."""
        if given is None and "data" not in self.keys:
            raise UserError(f"--{option}: is needed, such as digits or '{{name: cifar10, path: DIR}}'")
        keys = self.keys["data"] if given is None else parse_yaml(given)
        return parse(DataConfig, keys if isinstance(keys, Mapping) else {"name": keys}, f"--{option}")

    def evaluations(self, given: Sequence[str], known: Entries) -> list[Evaluation]:
        """The evaluations that `--evaluate` gives as YAML, or the `known` ones of the sweep."""
        if given:
            found: list[Evaluation] = [
                parse(EvaluationConfig, parse_yaml(text), "--evaluate") for text in given
            ]
            for one in found:
                known[one.name]  # raises for those of other subjects
            return found
        of_sweep: tuple[Evaluation, ...] = parse(
            tuple[EvaluationConfig, ...], self.keys.get("evaluate") or (), self._where
        )
        return [one for one in of_sweep if one.name in known]

    def reference(self, given: str | None, image_size: int | None) -> ImageConfig:
        """The collection or data set that `--reference` names, or the sweep's, brought to `image_size`."""
        sized = {} if image_size is None else {"image_size": image_size}
        if given is not None and (Path(given).is_dir() or Path(given).suffix.lower() in ARCHIVES):
            return parse(ImageCollectionConfig, {"path": given, **sized}, "--reference")
        return self.images(given, "reference").model_copy(update=sized)

    def images(self, given: str | None, option: str) -> ImageConfig:
        """`data`, where it holds images."""
        found = self.data(given, option)
        if not isinstance(found, ImageConfig):
            raise UserError(f"--{option}: {found.name} does not hold images")
        return found


def usual_evaluations(
    num_samples: int, data: Any, extractors: Sequence[str], weights: Path | None, *, of_classes: bool = False
) -> list[Evaluation]:
    """Every evaluation of generated images by each of the extractors, as far as `num_samples` suffice.

    Those of classes only where the images have some (`of_classes`), those of held-out images only where the
    data hold some out. One that cannot be had with its default keys gets a line that says why.
    """
    found: list[Evaluation] = []
    for extractor in extractors:
        takes = EXTRACTORS[extractor].takes
        shared = {"num_samples": num_samples, "extractor": extractor}
        shared |= {"weights": weights} if weights is not None and "weights" in takes else {}
        for name in evaluations_of(GENERATOR):
            kind = EVALUATIONS[name].config
            if not issubclass(kind, GeneratorEvaluation):
                continue
            if issubclass(kind, FeatureMeasure) and (
                (kind.of_classes and not of_classes) or (kind.of_held_out and data.validation is data.test)
            ):
                continue
            try:
                one = parse(kind, {"name": name, **shared}, name)
                one.check(data)
                found.append(one)
            except UserError as error:
                print(f"left out: {error}")
    return found


def require_possible(evaluations: Sequence[Evaluation], data: Any, *, of_classes: bool) -> None:
    """`UserError` for an evaluation of held-out images where the data hold none out, or of classes where the
    generated images are not of the data's."""
    for one in evaluations:
        if isinstance(one, FeatureMeasure) and one.of_held_out and data.validation is data.test:
            raise UserError(f"--evaluate: {one.name} needs held-out images; give a data set as --reference")
        if isinstance(one, FeatureMeasure) and one.of_classes and not of_classes:
            raise UserError(
                f"--evaluate: {one.name} needs images drawn for the {len(data.class_names)} classes "
                f"of {data.name}"
            )
