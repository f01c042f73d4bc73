"""Curves over the workers of a trial, of whom one saves its state for all."""

import torch
from torch import Tensor

from ndabench.distributed import Workers
from ndabench.tasks.curves import Curves


class BesideAnother(Workers):
    """One of two workers, whose neighbour has counted the sums `theirs`."""

    theirs = torch.tensor([3.0, 30.0])

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        return tensor + self.theirs


def test_means_are_those_of_all_workers_and_so_is_the_state() -> None:
    curves = Curves(BesideAnother(world_size=2))
    curves.add({"loss": torch.tensor([0.0, 2.0]), "logit": torch.tensor(10.0)})
    assert curves.read() == {"loss": 2.0, "logit": 20.0}
    resumed = Curves(Workers())
    resumed.load_state_dict(curves.state_dict())
    assert resumed.read() == {"loss": 2.0, "logit": 20.0}
    resumed.add({"loss": torch.tensor(4.0)})
    assert resumed.read() == {"loss": 3.0, "logit": 20.0}


def test_alone_reading_changes_nothing() -> None:
    curves = Curves(Workers())
    curves.add({"loss": torch.tensor(0.1)})
    before = curves.state_dict()
    assert curves.read() == curves.read()
    assert curves.state_dict() == before
