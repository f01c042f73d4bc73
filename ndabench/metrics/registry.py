"""The evaluations that a sweep file can name, and where each is implemented. Nothing here imports torch.

An evaluation measures a *subject*: what a task hands over when it is measured, such as its generator or its
encoder (see `ndabench.metrics.subjects`). A task can be measured by every evaluation of its subject's kind.
What an entry measures follows from its keys:

    >>> from ndabench.config import parse
    >>> parse(EvaluationConfig, {"name": "fd"}, "evaluate").metrics
    ('fd_classifier',)
    >>> parse(EvaluationConfig, {"name": "fd", "extractor": "inception", "as": "10k"}, "evaluate").metrics
    ('fid_10k',)

Code outside ndabench adds an evaluation with one entry:

    from ndabench.metrics.registry import EVALUATIONS, EvaluationEntry

    EVALUATIONS.register(
        "brightness", EvaluationEntry(BrightnessConfig, "generator", "my_package.brightness:measure")
    )

where `BrightnessConfig` is an `Evaluation` (see `ndabench.metrics.evaluation`) and `measure` a function that
keys its values by their displayed names:

    def measure(config: BrightnessConfig, subject: GeneratorSubject, *, test: bool) -> Evaluated:
        images = subject.workers.all_gather(subject.samples())[: config.num_samples]
        value = images.float().mean().item()
        protocol = {"num_samples": config.num_samples, **subject.sampling}
        brightness = Measurement(
            value, kind="metric", metric="brightness", split="validation", protocol=protocol
        )
        return Evaluated(by_name([brightness]))
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from ndabench.metrics.anomaly.config import AnomalyConfig, FeatureAnomalyConfig
from ndabench.metrics.clip_encoders.config import (
    ClipLinearProbeConfig,
    ClipTrainingConfig,
    CoclrFinetuneConfig,
    CoclrLinearProbeConfig,
    DpcFinetuneConfig,
    RetrievalConfig,
    VideoKnnConfig,
)
from ndabench.metrics.counting.config import CountConfig
from ndabench.metrics.detection.config import DetectionConfig
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generators.config import FrechetConfig, InceptionScoreConfig, KidConfig
from ndabench.metrics.generators.feature_config import (
    CasConfig,
    ClassFdConfig,
    CmmdConfig,
    DensityCoverageConfig,
    FdInfinityConfig,
    FeatureMeasure,
    MemorizationConfig,
    PrecisionRecallConfig,
)
from ndabench.metrics.image_encoders.config import KnnConfig, LinearProbeLbfgsConfig, LinearProbeSgdConfig
from ndabench.metrics.points.config import (
    DiscriminatorDistanceConfig,
    JensenShannonConfig,
    MassOutsideConfig,
    ModeImbalanceConfig,
    ModesCoveredConfig,
    TotalVariationConfig,
    Wasserstein2Config,
)
from ndabench.metrics.subjects import CLIP_ENCODER, GENERATOR, IMAGE_ENCODER, POINT_GENERATOR, TRANSLATOR
from ndabench.metrics.translators.config import L1Config, LpipsConfig, SegmentationConfig
from ndabench.registry import OneOf, Registry


@dataclass(frozen=True)
class EvaluationEntry:
    """One evaluation: its configuration, what it looks at, and its implementation, named lazily."""

    config: type[Evaluation]
    subject: str | tuple[str, ...]
    """The kind of subject, or the kinds: those in `subjects.py`, or a plugin's own."""
    measure: str
    """The function `(config, subject, *, test) -> Evaluated`.

    One that takes long is a generator function with one more keyword, `state`: it yields
    `EvaluationProgress` with a state from which it can resume, and returns the `Evaluated`.
    """
    prepare: str | None = None
    """The function `(config, preparation) -> None` that fetches or fits what `measure` will need, before any
    training, and raises `UserError` for what would stop it; None where there is nothing to prepare."""

    def measures(self, subject: str) -> bool:
        """Whether it looks at this kind of subject."""
        return subject in ((self.subject,) if isinstance(self.subject, str) else self.subject)


def _of_features(config: type[FeatureMeasure]) -> EvaluationEntry:
    return EvaluationEntry(
        config,
        GENERATOR,
        "ndabench.metrics.generators.feature_measures:measure_features",
        "ndabench.metrics.generators.measures:prepare_extractor",
    )


def _of_clip_training(config: type[ClipTrainingConfig]) -> EvaluationEntry:
    return EvaluationEntry(
        config,
        CLIP_ENCODER,
        "ndabench.metrics.clip_encoders.clip_training:measure_clip_training",
        "ndabench.metrics.clip_encoders.clip_training:prepare_clip_training",
    )


EVALUATIONS: Registry[EvaluationEntry] = Registry(
    "evaluation",
    "ndabench.evaluations",
    {
        "fd": EvaluationEntry(
            FrechetConfig,
            (GENERATOR, TRANSLATOR),
            "ndabench.metrics.generators.measures:measure_frechet",
            "ndabench.metrics.generators.measures:prepare_extractor",
        ),
        "kid": EvaluationEntry(
            KidConfig,
            (GENERATOR, TRANSLATOR),
            "ndabench.metrics.generators.measures:measure_kid",
            "ndabench.metrics.generators.measures:prepare_extractor",
        ),
        "inception_score": EvaluationEntry(
            InceptionScoreConfig,
            (GENERATOR, TRANSLATOR),
            "ndabench.metrics.generators.measures:measure_inception_score",
            "ndabench.metrics.generators.measures:prepare_extractor",
        ),
        "fd_infinity": _of_features(FdInfinityConfig),
        "precision_recall": _of_features(PrecisionRecallConfig),
        "density_coverage": _of_features(DensityCoverageConfig),
        "cmmd": _of_features(CmmdConfig),
        "memorization": _of_features(MemorizationConfig),
        "class_fd": _of_features(ClassFdConfig),
        "cas": _of_features(CasConfig),
        "anomaly": EvaluationEntry(
            AnomalyConfig,
            GENERATOR,
            "ndabench.metrics.anomaly.measuring:measure_anomaly",
            "ndabench.metrics.anomaly.measuring:prepare_outliers",
        ),
        "count": EvaluationEntry(
            CountConfig,
            GENERATOR,
            "ndabench.metrics.counting.measuring:measure_count",
            "ndabench.metrics.counting.measuring:prepare_counters",
        ),
        "l1": EvaluationEntry(L1Config, TRANSLATOR, "ndabench.metrics.translators.measures:measure_l1"),
        "lpips": EvaluationEntry(
            LpipsConfig,
            TRANSLATOR,
            "ndabench.metrics.translators.lpips:measure_lpips",
            "ndabench.metrics.translators.lpips:prepare_lpips",
        ),
        "segmentation": EvaluationEntry(
            SegmentationConfig,
            TRANSLATOR,
            "ndabench.metrics.translators.segmentation:measure_segmentation",
            "ndabench.metrics.translators.segmentation:prepare_segmentation",
        ),
        "knn": EvaluationEntry(KnnConfig, IMAGE_ENCODER, "ndabench.metrics.image_encoders.knn:measure_knn"),
        "linear_probe_lbfgs": EvaluationEntry(
            LinearProbeLbfgsConfig,
            IMAGE_ENCODER,
            "ndabench.metrics.image_encoders.linear_probe_lbfgs:measure_linear_probe_lbfgs",
        ),
        "linear_probe_sgd": EvaluationEntry(
            LinearProbeSgdConfig,
            IMAGE_ENCODER,
            "ndabench.metrics.image_encoders.linear_probe_sgd:measure_linear_probe_sgd",
        ),
        "feature_anomaly": EvaluationEntry(
            FeatureAnomalyConfig,
            IMAGE_ENCODER,
            "ndabench.metrics.anomaly.measuring:measure_feature_anomaly",
            "ndabench.metrics.anomaly.measuring:prepare_outliers",
        ),
        "detection": EvaluationEntry(
            DetectionConfig,
            IMAGE_ENCODER,
            "ndabench.metrics.detection.measure:measure_detection",
            "ndabench.metrics.detection.measure:prepare_detection",
        ),
        "dpc_finetune": _of_clip_training(DpcFinetuneConfig),
        "coclr_finetune": _of_clip_training(CoclrFinetuneConfig),
        "coclr_linear_probe": _of_clip_training(CoclrLinearProbeConfig),
        "linear_probe": EvaluationEntry(
            ClipLinearProbeConfig,
            CLIP_ENCODER,
            "ndabench.metrics.clip_encoders.linear_probe:measure_clip_linear_probe",
            "ndabench.metrics.clip_encoders.video_scores:prepare_videos",
        ),
        "retrieval": EvaluationEntry(
            RetrievalConfig,
            CLIP_ENCODER,
            "ndabench.metrics.clip_encoders.retrieval:measure_retrieval",
            "ndabench.metrics.clip_encoders.video_scores:prepare_videos",
        ),
        "video_knn": EvaluationEntry(
            VideoKnnConfig,
            CLIP_ENCODER,
            "ndabench.metrics.clip_encoders.knn:measure_video_knn",
            "ndabench.metrics.clip_encoders.video_scores:prepare_videos",
        ),
        "mass_outside": EvaluationEntry(
            MassOutsideConfig, POINT_GENERATOR, "ndabench.metrics.points.measures:measure_mass_outside"
        ),
        "modes_covered": EvaluationEntry(
            ModesCoveredConfig, POINT_GENERATOR, "ndabench.metrics.points.measures:measure_modes_covered"
        ),
        "mode_imbalance": EvaluationEntry(
            ModeImbalanceConfig, POINT_GENERATOR, "ndabench.metrics.points.measures:measure_mode_imbalance"
        ),
        "total_variation": EvaluationEntry(
            TotalVariationConfig, POINT_GENERATOR, "ndabench.metrics.points.measures:measure_total_variation"
        ),
        "jensen_shannon": EvaluationEntry(
            JensenShannonConfig, POINT_GENERATOR, "ndabench.metrics.points.measures:measure_jensen_shannon"
        ),
        "wasserstein_2": EvaluationEntry(
            Wasserstein2Config, POINT_GENERATOR, "ndabench.metrics.points.measures:measure_wasserstein_2"
        ),
        "discriminator_distance": EvaluationEntry(
            DiscriminatorDistanceConfig,
            POINT_GENERATOR,
            "ndabench.metrics.points.measures:measure_discriminator_distance",
        ),
    },
)

EvaluationConfig = Annotated[Evaluation, OneOf(EVALUATIONS)]
"""One item of a sweep file's `evaluate` list; a bare name is short for a mapping with that `name`."""


def evaluations_of(subject: str) -> Mapping[str, EvaluationEntry]:
    """The evaluations of one kind of subject, the usual one first, as a view that also shows later
    entries."""
    return EVALUATIONS.where(lambda entry: entry.measures(subject))
