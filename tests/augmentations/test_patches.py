"""Patch negatives: every patch is found again in the image, wherever it was cut."""

import pytest
import torch
from torch import Tensor

from ndabench.augmentations.registry import implementations

NEGATIVES = implementations("corrected")

patches = NEGATIVES["patches"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def positions(n: int, h: int, w: int) -> Tensor:
    """Images whose two channels say the row and the column that a pixel comes from."""
    row, column = torch.meshgrid(torch.arange(float(h)), torch.arange(float(w)), indexing="ij")
    return torch.stack([row, column]).expand(n, 2, h, w)


def corners(output: Tensor, side: int) -> Tensor | None:
    """Where the patches of an output come from, `[rows, columns, 2]`; None when they are not of this side."""
    h, w = output.shape[-2:]
    corner = output - positions(1, h, w)[0] % side
    each = corner[:, ::side, ::side]
    if not torch.equal(corner, each.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, :h, :w]):
        return None
    return each.permute(1, 2, 0).long()


def side_of(output: Tensor, low: int, high: int) -> int:
    """The side of the patches (the largest that explains the output, as its divisors do, too)."""
    return next(side for side in range(high, low - 1, -1) if corners(output, side) is not None)


@pytest.mark.parametrize(("h", "w", "low", "high"), [(32, 32, 3, 10), (28, 20, 2, 6), (33, 64, 3, 10)])
def test_images_are_paved_with_patches_of_their_own(h: int, w: int, low: int, high: int) -> None:
    sides, reached = set(), set()
    for output in patches(positions(300, h, w), generator=seeded()):
        side = side_of(output, low, high)
        sides.add(side)
        corner, last = corners(output, side), torch.tensor([h - side, w - side])
        assert corner is not None
        assert ((corner >= 0) & (corner <= last)).all()
        reached |= {(axis, "last") for axis in range(2) if (corner == last)[..., axis].any()}
        reached |= {(axis, "first") for axis in range(2) if (corner == 0)[..., axis].any()}
    assert sides == set(range(low, high + 1))
    assert len(reached) == 4


def test_published_pixels_at_224() -> None:
    drawn = {side_of(output, 16, 72) for output in patches(positions(60, 224, 224), generator=seeded())}
    assert min(drawn) < 20
    assert max(drawn) > 68


def test_places_are_uniform_but_the_first_patch_is_never_in_its_own() -> None:
    # patches of 2 pixels in images of 3×4: four patches, of which two are cut off, and 2 · 3 places
    count = 6000
    outputs = patches(positions(count, 3, 4), generator=seeded(), smallest=0.5, largest=0.8)
    found = [corner for output in outputs if (corner := corners(output, 2)) is not None]
    assert len(found) == count
    corner = torch.stack(found)
    place = (corner[..., 0] * 3 + corner[..., 1]).view(count, -1)
    assert place.shape[1] == 4
    for patch in range(4):
        counts = place[:, patch].bincount(minlength=6)
        expected = torch.full((6,), count / 6)
        if patch == 0:
            assert counts[0] == 0
            expected = torch.tensor([0.0, *[count / 5] * 5])
        # chi-square with at most 5 degrees of freedom: 20.5 at p = 0.001
        assert ((counts - expected)[expected > 0] ** 2 / expected[expected > 0]).sum() < 20.5
    assert abs(torch.corrcoef(place[:, 1:3].T.double())[0, 1]) < 0.05
