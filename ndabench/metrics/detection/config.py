"""The configuration of `detection`. Nothing here imports torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ndabench.config import Milestones, Momentum, NonNegative, Positive, SomeSteps, Steps
from ndabench.data.detection.scattered_digits import ScatteredDigitsConfig
from ndabench.data.registry import SceneDataConfig
from ndabench.measurement import Better
from ndabench.metrics.evaluation import Evaluation

ShortSide = Annotated[int, Field(ge=32, le=2048)]


class DetectionConfig(Evaluation):
    """`detection`: how well a detector that starts from the encoder finds objects after its training.

    See `measure.py`, also for the published settings.
    """

    name: Literal["detection"] = "detection"
    data: SceneDataConfig = ScatteredDigitsConfig()
    body: Literal["c4", "fpn"] = "c4"
    batch_norm: Literal["frozen", "live"] = "live"
    """Frozen moments, gains and biases, or MoCo's recipe; see `ndabench.models.detector`."""
    num_steps: SomeSteps = 300
    batch_size: int = Field(4, ge=1, le=1024)
    """Pictures in a step, over all workers."""
    learning_rate: Positive = 0.02
    """The `fpn` body of a narrow encoder needs less in small batches: 0.02 diverged, 0.005 did not."""
    momentum: Momentum = 0.9
    weight_decay: NonNegative = 1e-4
    warm_up_steps: Steps = 20
    decay_at: Milestones = (0.75, 0.9167)
    """Shares of the training after which the learning rate falls to a tenth."""
    short_side: ShortSide = 96
    """Pixels of the shorter side in testing; the longer one may have 5/3 of that."""
    train_short_sides: Annotated[tuple[ShortSide, ...], Field(min_length=1, max_length=100)] | None = None
    """In training one of these is drawn for every picture; None: `short_side`."""
    horizontal_flip: bool = False
    """Whether half of the training pictures are mirrored."""
    num_rois: int = Field(32, ge=8, le=10_000)
    """Regions of a picture that the box head is trained on."""
    num_proposals: int = Field(100, ge=1, le=10_000)
    """Regions of a picture that the box head looks at in testing; twice as many are proposed in training."""
    every: None = None
    """A detector is trained only after the encoder's training."""

    better: ClassVar[Better] = "higher"

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(
            f"{kind}_{value}" for kind in ("voc07", "coco", "voc10") for value in ("ap", "ap50", "ap75")
        )

    def rate_factor(self, step: int) -> float:
        """The factor of the learning rate at `step`: a linear warm-up, then a tenth at every `decay_at`."""
        decays = sum(step >= fraction * self.num_steps for fraction in self.decay_at)
        return min(1.0, (step + 1) / max(1, self.warm_up_steps)) * 0.1**decays
