"""The keys of SimCLR; `simclr.py` implements it."""

from typing import Any, Literal

from ndabench.config import Config


class SimclrConfig(Config):
    """SimCLR (Chen et al., arXiv 2002.05709): all other views of the batch are the negatives."""

    name: Literal["simclr"] = "simclr"
    symmetric: Literal[True] = True
    shuffle_keys: Literal[False] = False
    batch_norm_splits: Literal[1] = 1
    """Moments of the whole batch, both views of it together."""

    def encodings(self, num_nda_keys: int) -> int:
        """Views of an image that a step encodes: both are queries and keys at once, and have NDA keys."""
        return 2 * (1 + num_nda_keys)

    def check(self, task: Any) -> None:
        """Any batch will do."""
