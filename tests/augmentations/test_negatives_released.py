"""The released rules' own behaviour, faults included."""

from math import sqrt

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ndabench.augmentations.registry import implementations

RELEASED = implementations("released")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(n: int, h: int = 32, w: int = 32) -> Tensor:
    """Image i is flat with value i, so that a value names the image a pixel came from."""
    return torch.arange(float(n)).view(-1, 1, 1, 1).expand(n, 1, h, w)


def test_jigsaw_gives_the_true_image_once_in_23_and_never_the_transposed_layout() -> None:
    count = 20_000
    image = torch.arange(4.0).view(1, 1, 2, 2)
    outputs = RELEASED["jigsaw"](image.expand(count, -1, -1, -1), generator=seeded())
    rate = (outputs == image).flatten(1).all(1).float().mean().item()
    assert rate == pytest.approx(1 / 23, abs=4 * sqrt(22 / 23**2 / count))
    assert not (outputs == image.transpose(2, 3)).flatten(1).all(1).any()
    assert len(outputs.flatten(1).unique(dim=0)) == 23


@pytest.mark.parametrize("name", ["stitch", "mixup"])
def test_about_one_image_a_batch_is_its_own_partner(name: str) -> None:
    generator = seeded()
    own = [
        (RELEASED[name](flat(16, 4, 4), generator=generator) == flat(16, 4, 4)).flatten(1).all(1).sum().item()
        for _ in range(400)
    ]
    assert sum(own) / 400 == pytest.approx(1, abs=0.2)


def test_stitch_draws_one_axis_a_batch() -> None:
    axes = set()
    for seed in range(8):
        output = RELEASED["stitch"](flat(16, 4, 4), generator=seeded(seed))
        by_rows = (output[:, :, 2:] != flat(16, 2, 4)).flatten(1).all(1)
        by_columns = (output[..., 2:] != flat(16, 4, 2)).flatten(1).all(1)
        assert by_rows.any() != by_columns.any()
        axes.add(by_rows.any().item())
    assert axes == {True, False}


def test_mixup_draws_one_share_a_batch() -> None:
    batch = torch.zeros(32, 1, 1, 1)
    batch[::2] = 1
    values = RELEASED["mixup"](batch, generator=seeded()).unique()
    mixed = values[(values > 0) & (values < 1)]
    assert len(mixed) == 2
    assert mixed.sum() == pytest.approx(1)


def test_cutout_never_reaches_the_last_row_or_column() -> None:
    batch = torch.rand(2000, 1, 32, 32, generator=seeded(1))
    changed = (RELEASED["cutout"](batch, generator=seeded()) != batch)[:, 0]
    assert not changed[:, -1].any()
    assert not changed[:, :, -1].any()
    assert changed[:, -2].any()
    assert set(changed.any(1).sum(1).tolist()) == set(range(10, 20))


def test_cutmix_draws_one_box_a_batch_and_sometimes_none() -> None:
    generator = seeded()
    empty = 0
    for _ in range(3000):
        changed = RELEASED["cutmix"](flat(3), generator=generator) != flat(3)
        boxes = changed[changed.flatten(1).any(1)]
        assert (boxes == boxes[:1]).all()
        empty += not changed.any().item()
    assert 3 <= empty <= 30  # 0.4 % of 3000 is 12


def test_shift_leaves_one_block_unmoved() -> None:
    batch = torch.rand(3, 2, 32, 32, generator=seeded(1))
    drawn = set()
    for seed in range(100):
        output = RELEASED["shift"](batch, generator=seeded(seed))
        matches = []
        for k in range(10, 25):
            expected = batch.clone()
            expected[..., :k, :k] = batch[..., -k:, -k:]
            expected[..., :k, k:] = batch[..., -k:, :-k]
            expected[..., k:, :k] = batch[..., :-k, -k:]
            if torch.equal(output, expected):
                matches.append(k)
        assert len(matches) == 1
        drawn.update(matches)
    assert drawn == set(range(10, 25))


def test_rotate_is_pillows_with_its_bytes() -> None:
    batch = torch.rand(2, 3, 32, 32, generator=seeded(1)) * 2 - 1
    output = RELEASED["rotate"](batch, generator=seeded())
    for image, turned in zip(batch, output, strict=True):
        levels = (image * 255).int().numpy().astype(np.uint8)  # wraps, as the float-to-byte cast does
        expected = np.asarray(Image.fromarray(levels.transpose(1, 2, 0)).rotate(60)) / 255
        agreement = np.isclose(turned.permute(1, 2, 0).numpy(), expected, atol=1e-6).mean()
        assert agreement > 0.99
