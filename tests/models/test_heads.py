"""Projection heads and raw pixels, the small parts around an encoder."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ndabench.models.heads import ProjectionHead
from ndabench.models.pixels import RawPixels


@pytest.mark.parametrize("hidden_dim", [None, 7])
def test_is_torch_layers_with_torch_initialisation(hidden_dim: int | None) -> None:
    before = torch.get_rng_state()
    head = ProjectionHead(5, hidden_dim, 3, torch.Generator().manual_seed(4))
    assert torch.equal(before, torch.get_rng_state())
    with torch.random.fork_rng():
        torch.manual_seed(4)
        layers = [nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)] if hidden_dim else [nn.Linear(5, 3)]
        features = torch.randn(6, 5)
    expected = F.normalize(nn.Sequential(*layers)(features), dim=1)
    torch.testing.assert_close(head(features), expected)
    torch.testing.assert_close(head(features).norm(dim=1), torch.ones(6))


def test_points_are_float32_and_of_unit_length_under_autocast() -> None:
    head = ProjectionHead(5, 7, 3, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        points = head(torch.ones(2, 5))
    assert points.dtype == torch.float32
    torch.testing.assert_close(points.norm(dim=1), torch.ones(2))


def test_raw_pixels_are_the_image() -> None:
    encoder = RawPixels((2, 3, 4))
    images = torch.arange(48.0).view(2, 2, 3, 4)
    assert encoder.dimension == 24
    assert torch.equal(encoder(images).view_as(images), images)
