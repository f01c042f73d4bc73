"""`ndabench measure images` compared with torch-fidelity: the same files, the same extractor.

    python benchmarks/external_images.py PICTURES --reference '{name: image_parquet, path: DIR}'

torch-fidelity finds and decodes PICTURES itself, so they must have the reference's size already. The
extractor is the reference's classifier, registered there. KID is that of one subset that holds all pictures
where both sides have equally many, and else a mean over random subsets, which differ.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import torch_fidelity
import typer
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from ndabench.config import parse
from ndabench.data.collection import ImageCollectionConfig
from ndabench.data.images import ImageSplit
from ndabench.data.registry import ImageDataConfig
from ndabench.data.sampling import in_order
from ndabench.distributed import Workers
from ndabench.external.images import load_reference_data, open_images
from ndabench.metrics.evaluating import evaluate
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generators.classifier import open_classifier
from ndabench.metrics.registry import EVALUATIONS, EvaluationConfig
from ndabench.metrics.results import Evaluated
from ndabench.yaml_reading import parse_yaml

THEIRS = {
    "fd": "frechet_inception_distance",
    "kid": "kernel_inception_distance_mean",
    "precision": "precision",
    "recall": "recall",
}


class Given(Dataset[Tensor]):
    """A split as torch-fidelity takes it."""

    def __init__(self, split: ImageSplit) -> None:
        self.images = torch.cat([images for images, _ in split.batches(in_order(len(split), 500))])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Tensor:
        return self.images[row]


def register(forward: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
    """Registers the extractor as `ours` at torch-fidelity."""

    class Ours(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **options: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("features",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "features"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        @staticmethod
        def get_dummy_input_for_compile() -> Tensor:
            return torch.zeros(1, 3, 32, 32, dtype=torch.uint8)

        def forward(self, images: Tensor) -> tuple[Tensor]:
            return (forward(images)[0],)

    torch_fidelity.register_feature_extractor("ours", Ours)


def main(pictures: Path, reference: Annotated[str, typer.Option()]) -> None:
    """Prints each value by both, with their relative difference and the seconds of each side."""
    device = torch.device("cpu")
    data = load_reference_data(parse(ImageDataConfig, parse_yaml(reference), "--reference"), device)
    config = parse(ImageCollectionConfig, {"path": pictures}, "pictures")
    subject = open_images(config, data, Workers())
    count, whole = len(subject.images), len(subject.images) == len(data.test)
    subset = {"num_subsets": 1, "subset_size": count} if whole else {"num_subsets": 1000, "subset_size": 500}
    extractor = open_classifier(data, device=device)
    keys: dict[str, dict[str, Any]] = {"fd": {}, "kid": subset, "precision_recall": {}}
    evaluations: list[Evaluation] = [
        parse(EvaluationConfig, {"name": name, "num_samples": count, **more}, name)
        for name, more in keys.items()
        if name in EVALUATIONS
    ]
    start = time.perf_counter()
    parts = [one for one in evaluate(evaluations, subject, test=True) if isinstance(one, Evaluated)]
    ours = {name: one for part in parts for name, one in part.measurements.items() if one.split == "test"}
    seconds = time.perf_counter() - start
    register(extractor.forward)
    start = time.perf_counter()
    theirs = torch_fidelity.calculate_metrics(
        input1=str(pictures),
        samples_find_deep=True,
        samples_find_ext="png,jpg,jpeg",
        input2=Given(data.test),
        feature_extractor="ours",
        cuda=False,
        cache=False,
        batch_size=256,
        verbose=False,
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=subset["num_subsets"],
        kid_subset_size=subset["subset_size"],
    )
    print(f"{pictures.name}: {count:,} pictures against {len(data.test):,} of {data.name}")
    print(f"seconds: ndabench {seconds:.1f} (both splits), torch-fidelity {time.perf_counter() - start:.1f}")
    for key, name in THEIRS.items():
        for mine, one in ours.items():
            if mine.startswith(key):
                gap = abs(one.value - theirs[name]) / max(abs(theirs[name]), 1e-12)
                print(f"{mine}: {one.value:.8g}, torch-fidelity {theirs[name]:.8g}, difference {gap:.1e}")


if __name__ == "__main__":
    typer.run(main)
