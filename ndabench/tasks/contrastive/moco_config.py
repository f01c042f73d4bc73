"""The keys of MoCo-v2; `moco.py` implements it."""

from typing import Any, Literal

from pydantic import Field

from ndabench.config import Config, Momentum, Size
from ndabench.errors import UserError


class MocoConfig(Config):
    """MoCo-v2 (Chen et al., arXiv 2003.04297): keys from a momentum encoder, negatives from a queue."""

    name: Literal["moco"] = "moco"
    queue_size: int = Field(4096, ge=1, le=2**24)
    key_momentum: Momentum = 0.99
    """m: after a step the key network is m times itself and (1 − m) times the trained one."""
    symmetric: bool = False
    """Each view is query once and key once; the two losses are summed and all keys enter the queue."""
    shuffle_keys: bool = True
    """Keys are embedded in another order of the global batch, so that batch moments leak nothing."""
    batch_norm_splits: Size = 8
    """Parts of the global batch that are normalised separately; 1: the whole batch."""

    def encodings(self, num_nda_keys: int) -> int:
        """Views of an image that a step encodes: query, key and NDA keys, in each direction."""
        return (2 + num_nda_keys) * (2 if self.symmetric else 1)

    def check(self, task: Any) -> None:
        """`UserError` where the queue does not take whole batches of keys."""
        if task.num_steps == 0:
            return
        keys = task.batch_size * (2 if self.symmetric else 1)
        per_step = f"the {keys} keys of a step" + (" (both views of a batch)" if self.symmetric else "")
        if self.queue_size < keys:
            raise UserError(f"method: queue_size {self.queue_size} is smaller than {per_step}")
        if self.queue_size % keys:
            raise UserError(f"method: queue_size {self.queue_size} is not a multiple of {per_step}")
        if task.batch_size % self.batch_norm_splits:
            raise UserError(
                f"method: batch_norm_splits {self.batch_norm_splits} does not divide the batch_size of "
                f"{task.batch_size}"
            )
