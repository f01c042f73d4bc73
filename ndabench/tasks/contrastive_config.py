"""What all contrastive tasks are told: how much, how fast, how NDA keys weigh in, and how views are made."""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ndabench.augmentations.views import Views
from ndabench.config import Config
from ndabench.tasks.task import LambdaRule

Probability = Annotated[float, Field(ge=0, le=1)]
NdaSource = Literal["query", "key", "raw"]


class ViewsConfig(Config):
    """How a view is made; the defaults are MoCo's on CIFAR. See `augmentations.views`."""

    size: int | None = Field(None, ge=4, le=4096)
    """Side of a view in pixels; None: the images' own."""
    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of a crop before it becomes a square."""
    flip: Probability = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """Strengths of brightness, contrast, saturation and hue."""
    jitter_probability: Probability = 0.8
    grey: Probability = 0.2
    blur: Probability = 0.0
    """MoCo-v2 has 0.5 on ImageNet."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> "ViewsConfig":
        self.image_views()
        return self

    def image_views(self) -> Views:
        """`UserError` for values that do not go together."""
        return Views(**{name: getattr(self, name) for name in ViewsConfig.model_fields})


class ContrastiveConfig(Config):
    """The keys that image and video pre-training share."""

    LAMBDA: ClassVar[LambdaRule] = LambdaRule(plain=0.0, default=1.0, range="[0, ∞)", low=0.0, high=math.inf)
    """The weight of the NDA keys among the negatives; 0 is the plain loss."""

    name: str

    embedding_dim: int = Field(128, ge=2)
    hidden_dim: int | None = Field(None, ge=1)
    """Width of the head's hidden layer; None: that of the features."""
    mlp_head: bool = True
    """MoCo-v2's and SimCLR's; without it the head is one linear layer, as in MoCo-v1."""
    temperature: float = Field(0.1, gt=0)

    num_nda_keys: int = Field(1, ge=1)
    """Draws of T for each query."""
    nda_scale: float = Field(1.0, gt=0)
    """α: scales the similarity to NDA keys inside the exponent."""
    nda_source: NdaSource = "query"
    """What T is applied to: the query's view, the key's view, or what is viewed itself."""

    batch_size: int = Field(256, ge=2)
    """Images or clips in a step, over all workers."""
    num_steps: int = Field(2000, ge=0)
    """0 leaves the encoder as it is and only evaluates it."""
    learning_rate: float = Field(0.03, gt=0)
    """At its highest."""
    num_warm_up_steps: int = Field(0, ge=0)
    """Steps over which the learning rate rises to it."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)

    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = True
    """Memory format of the convolutions: no other numbers, but mostly faster ones."""
    compile: bool = False
    """Use torch.compile where it works; where it does not, the metric `compiled` says so and why."""
    tf32: bool = True
    """On a GPU, let float32 products round to TF32."""

    log_every: int = Field(50, ge=1)
    checkpoint_every: int = Field(500, ge=1)

    @model_validator(mode="after")
    def _warms_up_in_time(self) -> "ContrastiveConfig":
        if 0 < self.num_steps < self.num_warm_up_steps:
            raise ValueError(
                f"num_warm_up_steps {self.num_warm_up_steps} must not exceed num_steps {self.num_steps}"
            )
        return self

    @property
    def num_images(self) -> int:
        """Images or clips that the whole training consumes."""
        return self.num_steps * self.batch_size

    def learning_rate_at(self, step: int) -> float:
        """Of the step after `step` steps: linear warm-up, then half a cosine down to 0."""
        if step < self.num_warm_up_steps:
            return self.learning_rate * (step + 1) / self.num_warm_up_steps
        share = (step - self.num_warm_up_steps) / max(1, self.num_steps - self.num_warm_up_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


MAY_CHANGE = {"log_every", "checkpoint_every", "compile"}
"""Keys in which a checkpoint may differ from the run that goes on from it."""
