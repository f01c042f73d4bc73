"""The keys of DPC; `dpc.py` implements it."""

from typing import Any, Literal

from pydantic import Field, model_validator

from ndabench.config import Config, Momentum, Size
from ndabench.errors import UserError
from ndabench.tasks.weights_file import WeightsFile

Scope = Literal["clip", "batch"]

KEYS_OF_PAIRS = ("embedding_dim", "hidden_dim", "mlp_head", "temperature", "nda_source")
"""Keys of the task for methods that compare two views; DPC does not use them."""


class DpcConfig(Config):
    """The defaults are the published ones: from 5 of 8 blocks to the other 3."""

    name: Literal["dpc"] = "dpc"
    num_blocks: int = Field(8, ge=2, le=1024)
    """Equal parts that a clip is cut into."""
    num_predicted: int = Field(3, ge=1, le=1024)
    """This many last blocks are predicted from those before."""
    dropout: Momentum = 0.1
    """The ConvGRU's."""
    weights: WeightsFile | None = None
    """A state dict to start from, all parts of it: the `dpc.pt` of another trial."""
    nda_scope: Scope = "clip"
    """Whether a prediction sees the NDA keys of its own clip, or those of the whole batch."""
    nda_gradient: bool = True
    """Whether NDA keys are trained, as DPC's other columns are; else they cost a third of the time."""
    batch_norm_splits: Size = 1
    """Parts of the global batch that are normalised separately; 1: the whole batch."""

    @model_validator(mode="after")
    def _sees_something(self) -> "DpcConfig":
        if self.num_predicted >= self.num_blocks:
            raise ValueError(
                f"num_predicted {self.num_predicted} of {self.num_blocks} blocks leaves none to predict from"
            )
        return self

    def encodings(self, num_nda_keys: int) -> int:
        """Blocks of a clip that a step encodes: all of them, and the NDA keys of those to be predicted."""
        return self.num_blocks + num_nda_keys * self.num_predicted

    def check(self, task: Any) -> None:
        """`UserError` for an encoder, clips, a batch or keys of the task that DPC cannot use."""
        if task.encoder.name != "resnet2d3d":
            raise UserError(
                f"method dpc predicts the maps of a resnet2d3d; {task.encoder.name} goes with moco or simclr"
            )
        if task.clip_frames % self.num_blocks:
            raise UserError(
                f"clip_frames {task.clip_frames} cannot be cut into {self.num_blocks} equal blocks; "
                f"make it a multiple of {self.num_blocks}"
            )
        if task.num_steps == 0 and task.encoder.weights is not None and self.weights is None:
            raise UserError(
                "encoder.weights leave the ConvGRU of dpc untrained; "
                "a trained one is measured by method.weights, its dpc.pt"
            )
        for key in KEYS_OF_PAIRS:
            if getattr(task, key) != type(task).model_fields[key].default:
                raise UserError(f"{key} means nothing to method dpc; it is a key of moco and simclr")
        if task.num_steps > 0 and task.batch_size % self.batch_norm_splits:
            raise UserError(
                f"method: batch_norm_splits {self.batch_norm_splits} does not divide the batch_size of "
                f"{task.batch_size}"
            )
