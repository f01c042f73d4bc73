"""The contrastive methods by name: how a sweep file's `task.method` picks how a network learns.

A method is one file with its views, its loss and its step, and a configuration in a file next to it. From
outside: `METHODS.register("mine", ContrastiveMethod(MyConfig, "my_package.mine:MyMethod"))`.
"""

from dataclasses import dataclass

from ndabench.config import Config
from ndabench.data.registry import Modality
from ndabench.registry import Registry
from ndabench.tasks.contrastive.dpc_config import DpcConfig
from ndabench.tasks.contrastive.moco_config import MocoConfig
from ndabench.tasks.contrastive.simclr_config import SimclrConfig


@dataclass(frozen=True)
class ContrastiveMethod:
    """One method."""

    config: type[Config]
    """It has `batch_norm_splits` and `check(task_config)`, which raises `UserError` for what does not fit.

    With `encodings(num_nda_keys)`, how often a step encodes an image, `budget: compute` can use the method.
    """
    build: str
    """Names the class or function that makes a `method.Method` from (setup, encoder, streams)."""
    learns_from: frozenset[Modality] = frozenset({"images", "videos"})


METHODS: Registry[ContrastiveMethod] = Registry(
    "method",
    "ndabench.methods",
    {
        "moco": ContrastiveMethod(MocoConfig, "ndabench.tasks.contrastive.moco:Moco"),
        "simclr": ContrastiveMethod(SimclrConfig, "ndabench.tasks.contrastive.simclr:SimClr"),
        "dpc": ContrastiveMethod(
            DpcConfig, "ndabench.tasks.contrastive.dpc:DpcMethod", frozenset({"videos"})
        ),
    },
)
