"""Batches, cuts and image scales: pure functions, checked against what they promise."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ndabench.data.images import to_float, to_uint8
from ndabench.data.sampling import in_order, shuffled_batches
from ndabench.data.splits import stratified_cut
from ndabench.errors import UserError


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31), st.integers(0, 100))
def test_a_batch_depends_on_seed_and_number_alone(
    num_examples: int, batch_size: int, seed: int, start: int
) -> None:
    batch_size = min(num_examples, batch_size)
    whole = list(islice(shuffled_batches(num_examples, batch_size, seed=seed), start + 3))
    skipped = list(islice(shuffled_batches(num_examples, batch_size, seed=seed, start=start), 3))
    assert all(torch.equal(a, b) for a, b in zip(whole[start:], skipped, strict=True))


def test_an_epoch_holds_no_example_twice_and_the_next_is_another_one() -> None:
    batches = list(islice(shuffled_batches(10, 3, seed=1), 6))
    assert all(batch.shape == (3,) and batch.dtype == torch.int64 for batch in batches)
    first, second = torch.cat(batches[:3]), torch.cat(batches[3:])
    assert len(first.unique()) == len(second.unique()) == 9
    assert not torch.equal(first, second)


def test_seeds_differ_and_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    a, b = (next(shuffled_batches(100, 100, seed=seed)) for seed in (0, 1))
    assert not torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("batch_size", [0, 11])
def test_a_batch_that_cannot_be_filled_is_refused(batch_size: int) -> None:
    with pytest.raises(
        UserError, match=rf"batch_size {batch_size} must lie between 1 and the number of images, 10"
    ):
        shuffled_batches(10, batch_size, seed=0)


def test_in_order_ends_with_the_rest() -> None:
    assert [batch.tolist() for batch in in_order(5, 2)] == [[0, 1], [2, 3], [4]]


def test_scales() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = to_float(levels)
    assert floats.dtype == torch.float32
    assert floats.min() == -1
    assert floats.max() == 1
    assert torch.equal(to_uint8(floats), levels)
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


@given(st.lists(st.integers(2, 30), min_size=1, max_size=6), st.floats(0.1, 0.9), st.integers(0, 99))
def test_cuts_are_disjoint_complete_and_stratified(sizes: list[int], fraction: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    names = [str(c) for c in range(len(sizes))]
    try:
        kept, cut = stratified_cut(labels, fraction, seed=seed, key="f", class_names=names)
    except UserError:
        assert sum(sizes) * fraction <= 0.5
        return
    assert sorted([*kept, *cut]) == list(range(len(labels)))
    for c, size in enumerate(sizes):
        share = int((labels[cut] == c).sum())
        assert abs(share - size * fraction) < 1
        assert share < size


def test_cuts_depend_on_the_seed_and_never_change() -> None:
    labels = np.arange(20) % 2
    cuts = [stratified_cut(labels, 0.2, seed=s, key="f", class_names="ab")[1].tolist() for s in (0, 0, 1)]
    assert cuts[0] == cuts[1] != cuts[2]
    assert cuts[0] == CUT_OF_SEED_0


CUT_OF_SEED_0 = [4, 7, 11, 16]


def test_an_impossible_fraction_is_one_line() -> None:
    with pytest.raises(
        UserError, match=r"validation_fraction 0\.01 of 20 images in 2 classes cuts off no image"
    ):
        stratified_cut(np.arange(20) % 2, 0.01, seed=0, key="validation_fraction", class_names="ab")
