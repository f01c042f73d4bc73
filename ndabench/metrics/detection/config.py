"""The configuration of `detection`. Nothing here imports torch."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ndabench.data.detection.scattered_digits import ScatteredDigitsConfig
from ndabench.data.registry import SceneDataConfig
from ndabench.measurement import Better
from ndabench.metrics.evaluation import Evaluation


class DetectionConfig(Evaluation):
    """`detection`: how well a detector that starts from the encoder finds objects after its training.

    See `measure.py`, also for the published settings.
    """

    name: Literal["detection"] = "detection"
    data: SceneDataConfig = ScatteredDigitsConfig()
    body: Literal["c4", "fpn"] = "c4"
    batch_norm: Literal["frozen", "live"] = "live"
    """Frozen moments, gains and biases, or MoCo's recipe; see `ndabench.models.detector`."""
    num_steps: int = Field(300, ge=1)
    batch_size: int = Field(4, ge=1)
    """Pictures in a step, over all workers."""
    learning_rate: float = Field(0.02, gt=0)
    """The `fpn` body of a narrow encoder needs less in small batches: 0.02 diverged, 0.005 did not."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    warm_up_steps: int = Field(20, ge=0)
    decay_at: tuple[float, ...] = (0.75, 0.9167)
    """Shares of the training after which the learning rate falls to a tenth."""
    short_side: int = Field(96, ge=32, le=2048)
    """Pixels of the shorter side in testing; the longer one may have 5/3 of that."""
    train_short_sides: tuple[int, ...] | None = Field(None, min_length=1)
    """In training one of these is drawn for every picture; None: `short_side`."""
    horizontal_flip: bool = False
    """Whether half of the training pictures are mirrored."""
    num_rois: int = Field(32, ge=8)
    """Regions of a picture that the box head is trained on."""
    num_proposals: int = Field(100, ge=1)
    """Regions of a picture that the box head looks at in testing; twice as many are proposed in training."""
    every: None = None
    """A detector is trained only after the encoder's training."""

    better: ClassVar[Better] = "higher"

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(f"{kind}_{value}" for kind in ("voc07", "coco") for value in ("ap", "ap50", "ap75"))

    @model_validator(mode="after")
    def _sensible(self) -> "DetectionConfig":
        if any(not 0 < share < 1 for share in self.decay_at):
            raise ValueError(f"decay_at are shares between 0 and 1, got {list(self.decay_at)}")
        if any(side < 32 for side in self.train_short_sides or ()):
            raise ValueError("train_short_sides must be at least 32")
        return self

    def rate_factor(self, step: int) -> float:
        """The factor of the learning rate at `step`: a linear warm-up, then a tenth at every `decay_at`."""
        decays = sum(step >= fraction * self.num_steps for fraction in self.decay_at)
        return min(1.0, (step + 1) / max(1, self.warm_up_steps)) * 0.1**decays
