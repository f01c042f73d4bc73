"""The device on which a process of a trial trains: what the trial reserved decides, not what the node has.

The processes that train import this; it imports PyTorch.
"""

import ray.train.torch
import torch

from ndabench.errors import UserError
from ndabench.planning.resources import Resources


def training_device(resources: Resources) -> torch.device:
    """The GPU that Ray assigned to this process, or the CPU; several workers each have their own GPU.

    `UserError` where GPUs were reserved and PyTorch can use none: a training on the CPU would take days
    without a word.
    """
    if not resources.trains_on_gpus:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
        raise UserError(
            f"resources: gpus_per_worker is {resources.gpus_per_worker:g}, but PyTorch {torch.__version__} "
            f"finds no GPU on the trial's node; it {built}: see that nvidia-smi works there and that the "
            "driver is new enough, or set device: cpu"
        )
    return torch.device("cuda") if resources.workers == 1 else ray.train.torch.get_device()
