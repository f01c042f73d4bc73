"""Each rule for clips against a plain loop or a property that gives it away."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ndabench.augmentations.registry import implementations

CLIP_NEGATIVES = implementations("clips")
NEGATIVES = implementations("corrected")

GEOMETRIC = ["jigsaw", "rotate", "shift", "random_crop", "flip", "patches"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(n: int, t: int, c: int = 2, h: int = 2, w: int = 3) -> Tensor:
    """Float clips in which pixel values tell clip and frame: frame t of clip n is flat with n + t / 100."""
    values = torch.arange(n)[:, None] + torch.arange(t) / 100
    return values[:, None, :, None, None].expand(n, c, t, h, w)


def sources(output: Tensor) -> tuple[Tensor, Tensor]:
    """Which clip and which frame each frame of `output` is, `[N, T]` each, from a batch of `numbered`."""
    assert torch.equal(output, output[:, :1, :, :1, :1].expand_as(output))
    values = output[:, 0, :, 0, 0]
    return values.add(0.001).floor().long(), values.mul(100).round().long() % 100


@settings(max_examples=30, deadline=None)
@given(block=st.integers(2, 8), num_blocks=st.integers(1, 4), seed=st.integers(0, 99))
def test_shuffled_frames_stay_in_their_block_and_never_in_order(
    block: int, num_blocks: int, seed: int
) -> None:
    t = block * num_blocks
    output = CLIP_NEGATIVES["shuffle_frames"](numbered(5, t), generator=seeded(seed), block=block)
    clip, frame = sources(output)
    assert torch.equal(clip, torch.arange(5)[:, None].expand(5, t))
    straight = torch.arange(t).view(num_blocks, block)
    blocks = frame.view(5, num_blocks, block)
    assert torch.equal(blocks.sort(-1).values, straight.expand_as(blocks))
    assert not (blocks == straight).all(-1).any()


def test_without_blocks_frames_are_shuffled_over_the_whole_clip() -> None:
    _, frame = sources(CLIP_NEGATIVES["shuffle_frames"](numbered(200, 8), generator=seeded()))
    assert torch.equal(frame.sort(1).values, torch.arange(8).expand(200, 8))
    for place in range(8):
        assert len(frame[:, place].unique()) == 8


@settings(max_examples=30, deadline=None)
@given(block=st.integers(1, 5), num_blocks=st.integers(2, 5), seed=st.integers(0, 99))
def test_shuffled_blocks_are_whole_and_never_in_order(block: int, num_blocks: int, seed: int) -> None:
    batch = numbered(5, block * num_blocks)
    clip, frame = sources(CLIP_NEGATIVES["shuffle_blocks"](batch, generator=seeded(seed), block=block))
    assert (clip == torch.arange(5)[:, None]).all()
    blocks = frame.view(5, num_blocks, block)
    assert torch.equal(blocks % block, torch.arange(block).expand_as(blocks))
    order = blocks[..., 0] // block
    assert torch.equal(blocks // block, order[..., None].expand_as(blocks))
    assert torch.equal(order.sort(1).values, torch.arange(num_blocks).expand_as(order))
    assert not (order == torch.arange(num_blocks)).all(1).any()


def test_a_splice_continues_in_another_clip_at_the_same_moment_with_any_cut() -> None:
    batch = numbered(60, 6)
    cuts = set()
    for seed in range(3):
        clip, frame = sources(CLIP_NEGATIVES["splice"](batch, generator=seeded(seed)))
        assert torch.equal(frame, torch.arange(6).expand(60, 6))
        for own, row in enumerate(clip.tolist()):
            cut = row.count(own)
            assert row[:cut] == [own] * cut
            assert len(set(row[cut:])) == 1
            cuts.add(cut)
    assert cuts == {1, 2, 3, 4, 5}


def test_reverse_runs_backwards() -> None:
    batch = numbered(3, 7)
    output = CLIP_NEGATIVES["reverse"](batch, generator=seeded())
    for t in range(7):
        assert torch.equal(output[:, :, t], batch[:, :, 6 - t])


@pytest.mark.parametrize("negative", GEOMETRIC)
def test_one_draw_a_clip_does_to_every_frame_what_the_images_rule_does(negative: str) -> None:
    batch = torch.rand(3, 3, 4, 16, 16, generator=seeded(1)) * 2 - 1
    output = CLIP_NEGATIVES[negative](batch, generator=seeded(5))
    for t in range(4):
        expected = NEGATIVES[negative](batch[:, :, t], generator=seeded(5))
        assert torch.equal(output[:, :, t], expected)


@pytest.mark.parametrize("negative", ["stitch", "mixup", "cutmix", "cutout"])
def test_so_do_those_that_pair_or_fill(negative: str) -> None:
    batch = torch.rand(5, 3, 4, 16, 16, generator=seeded(1)) * 2 - 1
    output = CLIP_NEGATIVES[negative](batch, generator=seeded(5), per="clip")
    for t in range(4):
        expected = NEGATIVES[negative](batch[:, :, t], generator=seeded(5))
        torch.testing.assert_close(output[:, :, t], expected)


@pytest.mark.parametrize("negative", [*GEOMETRIC, "cutout", "gaussian_noise"])
def test_one_draw_a_frame_is_the_images_rule_on_all_frames(negative: str) -> None:
    batch = torch.randint(0, 256, (3, 3, 4, 16, 16), generator=seeded(1)).byte()
    output = CLIP_NEGATIVES[negative](batch, generator=seeded(5), per="frame")
    if negative == "gaussian_noise":
        expected = NEGATIVES[negative](batch, generator=seeded(5))
    else:
        frames = torch.stack([clip[:, t] for clip in batch for t in range(4)])
        expected = NEGATIVES[negative](frames, generator=seeded(5)).view(3, 4, 3, 16, 16).transpose(1, 2)
    assert torch.equal(output, expected)


@pytest.mark.parametrize("per", ["clip", "frame"])
def test_cutout_fills_each_frame_with_its_own_colour(per: str) -> None:
    colours = torch.rand(4, 3, 6, generator=seeded(2)) * 2 - 1
    batch = colours[..., None, None].expand(4, 3, 6, 16, 16)
    output = CLIP_NEGATIVES["cutout"](batch, generator=seeded(), per=per)
    torch.testing.assert_close(output, batch.clone())


@pytest.mark.parametrize("negative", ["stitch", "cutmix", "mixup"])
@pytest.mark.parametrize("n", [2, 5])
def test_a_frame_is_paired_with_the_same_moment_of_another_clip(negative: str, n: int) -> None:
    t = 8
    # powers of two, so that a mixture tells both clips, and moments by the channel
    value = torch.tensor([[2.0**clip] * t for clip in range(n)])
    moment = torch.arange(t).expand(n, t) / 10
    batch = torch.stack([value, moment], 1)[..., None, None].expand(n, 2, t, 4, 4)
    met = set()
    for seed in range(20):
        output = CLIP_NEGATIVES[negative](batch, generator=seeded(seed), per="frame")
        torch.testing.assert_close(output[:, 1], batch[:, 1].clone())
        for own in range(n):
            for frame in range(t):
                others = set(output[own, 0, frame].unique().tolist()) - {2.0**own}
                assert len(others) == 1
                if negative != "mixup":
                    met.add((own, others.pop()))
    if negative != "mixup":
        assert met == {(own, 2.0**other) for own in range(n) for other in range(n) if own != other}


def test_noise_per_clip_has_the_asked_size_on_uint8_and_float() -> None:
    for batch, unit in [
        (torch.full((4, 3, 5, 32, 32), 128, dtype=torch.uint8), 127.5),
        (torch.zeros(4, 3, 5, 32, 32), 1.0),
    ]:
        output = CLIP_NEGATIVES["gaussian_noise"](batch, generator=seeded(), std=0.1)
        assert ((output.float() - batch.float()) / unit).std().item() == pytest.approx(0.1, rel=0.05)
