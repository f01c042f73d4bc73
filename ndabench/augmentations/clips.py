"""Negatives for clips: those for images, once per clip or per frame, and those that break temporal order.

Every function takes clips `[N, C, T, H, W]`, uint8 or float in [-1, 1], and a generator on their device, and
returns new clips of the same shape and dtype. Draws are made per clip; nothing waits for the device, and the
host loops over neither clips nor frames. As in `images.py`, no draw is the identity *operation*, but a clip
can be invariant to one: a still clip looks the same in any order of its frames.

A negative for images has a parameter `per`. With "clip" all frames get the same draw, so that what moved
still moves as it did (a still clip stays still). With "frame" every frame gets a separate draw, which also
breaks motion; negatives that pair images take each frame's partner from the same moment of *another* clip,
since frames of one clip hardly differ.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ndabench.augmentations import draws, images, pixels
from ndabench.augmentations.registry import Per
from ndabench.errors import UserError


def shuffle_frames(clips: Tensor, *, generator: torch.Generator, block: int | None = None) -> Tensor:
    """The frames of each block of `block` consecutive frames (None: of the whole clip) in a new order.

    Each block's order is drawn separately, uniform over all but the right one; the blocks stay in place.
    A clip changes unless the frames that change places look the same.
    """
    n, _, t = clips.shape[:3]
    size = t if block is None else block
    _check_frames("shuffle_frames", t)
    if size < 2 or t % size:
        raise UserError(
            f"shuffle_frames: clips of {t} frames are not made up of blocks of {size} frames; "
            f"block must be one of {_listed(_divisors(t)[1:])}"
        )
    order = draws.orders(n * (t // size), size, generator=generator).view(n, t // size, size)
    start = torch.arange(0, t, size, device=clips.device)
    return _frames_from(clips, frame=(order + start[:, None]).flatten(1))


def shuffle_blocks(clips: Tensor, *, generator: torch.Generator, block: int = 5) -> Tensor:
    """The blocks of `block` consecutive frames (DPC's are of 5) in a new order, each block intact.

    The order is uniform over all but the right one; a clip changes unless the blocks that change places look
    the same.
    """
    n, _, t = clips.shape[:3]
    _check_frames("shuffle_blocks", t)
    if block < 1 or t % block or t == block:
        raise UserError(
            f"shuffle_blocks: clips of {t} frames are not two or more blocks of {block} frames; "
            f"block must be one of {_listed(_divisors(t)[:-1])}"
        )
    order = draws.orders(n, t // block, generator=generator)
    within = torch.arange(block, device=clips.device)
    return _frames_from(clips, frame=(order[:, :, None] * block + within).flatten(1))


def splice(clips: Tensor, *, generator: torch.Generator) -> Tensor:
    """The first part of a clip, then another clip from the same moment on; the cut is uniform over 1..T-1.

    The clip changes unless its partner's part looks the same.
    """
    n, _, t = clips.shape[:3]
    _check_frames("splice", t)
    _check_partners("splice", n)
    own = torch.arange(n, device=clips.device)
    partner = draws.partners("splice", own, generator=generator)
    cut = draws.integers(1, t - 1, n, generator=generator)[:, None]
    frame = torch.arange(t, device=clips.device)
    return _frames_from(clips, clip=torch.where(frame < cut, own[:, None], partner[:, None]), frame=frame)


def reverse(clips: Tensor, *, generator: torch.Generator) -> Tensor:
    """Every clip backwards. Nothing is drawn, so `generator` is not used.

    The result is often *inside* the support of the data: many movements look as natural backwards (a swing, a
    step, a ball in the air), and then it is no negative, just as a mirrored photograph is none. A clip
    changes unless it is its own reverse.
    """
    _check_frames("reverse", clips.shape[2])
    return clips.flip(2)


def gaussian_noise(
    clips: Tensor, *, generator: torch.Generator, per: Per = "clip", std: float = 0.2
) -> Tensor:
    """The noise of `images.gaussian_noise`: the same on all frames of a clip, or drawn for each frame."""
    _check_per("gaussian_noise", per)
    if per == "frame":
        return images.gaussian_noise(clips, generator=generator, std=std)
    if not 0 < std < math.inf:
        raise UserError(f"gaussian_noise: std must be finite and above 0, got {std}")
    n, c, _, h, w = clips.shape
    noise = torch.empty(n, c, 1, h, w, device=clips.device).normal_(0.0, std, generator=generator)
    if clips.is_floating_point():
        return (noise.to(clips.dtype) + clips).clamp_(-1, 1)
    return pixels.to_dtype_of(clips, noise.mul_(127.5) + clips)


def lifted(
    negative: Callable[..., Tensor], paired: Callable[..., Tensor] | None = None
) -> Callable[..., Tensor]:
    """Turns a negative for images into one for clips, with the parameter `per`; see `registry.PER`.

    Frames are folded into the channels (`per="clip"`) or into the batch (`per="frame"`). In the channels
    every frame keeps one plane for each colour, so that a value per channel, such as cutout's mean, is still
    computed for each frame. A negative that pairs images is also given as `paired`, with the partners as its
    second argument.
    """
    name = negative.__name__

    def lifted(
        clips: Tensor, *, generator: torch.Generator, per: Per = "clip", **parameters: object
    ) -> Tensor:
        _check_per(name, per)
        if paired is not None:
            _check_partners(name, len(clips))
        if per == "clip":
            return negative(clips.flatten(1, 2), generator=generator, **parameters).view(clips.shape)
        frames = _folded(clips)
        if paired is None:
            output = negative(frames, generator=generator, **parameters)
        else:
            partner = _folded(_other_clips(clips, generator=generator))
            output = paired(frames, partner, generator=generator, **parameters)
        return output.unflatten(0, (clips.shape[0], clips.shape[2])).transpose(1, 2).contiguous()

    lifted.__name__ = lifted.__qualname__ = name
    lifted.__doc__ = f"`images.{name}`, drawn once `per` clip or frame.\n\n    {negative.__doc__}"
    own = inspect.signature(lifted).parameters
    theirs = list(inspect.signature(negative).parameters.values())[2:]
    taken = [own[key] for key in ("clips", "generator", "per")]
    shown: Any = lifted  # functions take the attribute, but their type does not know it
    shown.__signature__ = inspect.Signature([*taken, *theirs], return_annotation=Tensor)
    return lifted


def _folded(clips: Tensor) -> Tensor:
    """The frames as images, `[N * T, C, H, W]`."""
    return clips.transpose(1, 2).flatten(0, 1)


def _other_clips(clips: Tensor, *, generator: torch.Generator) -> Tensor:
    """Clips whose frame t is frame t of another clip, along one uniformly drawn cycle for each t."""
    n, _, t = clips.shape[:3]
    cycle = torch.rand(n, t, generator=generator, device=clips.device).argsort(0)
    partner = torch.empty_like(cycle).scatter_(0, cycle, cycle.roll(1, 0))
    return _frames_from(clips, clip=partner, frame=torch.arange(t, device=clips.device))


def _frames_from(clips: Tensor, *, frame: Tensor, clip: Tensor | None = None) -> Tensor:
    """Clips whose frame t is number `frame[n, t]` of clip `clip[n, t]` (None: of clip n itself).

    Both are int64 and broadcast to `[N, T]`. Reading whole planes is far faster than gathering values.
    """
    n, c, t, h, w = clips.shape
    if clip is None:
        clip = torch.arange(n, device=clips.device)[:, None]
    channel = torch.arange(c, device=clips.device)[:, None]
    plane = (clip[:, None] * c + channel) * t + frame.expand(n, t)[:, None]
    return clips.reshape(n * c * t, h * w).index_select(0, plane.flatten()).view(clips.shape)


def _check_per(name: str, per: str) -> None:
    if per not in ("clip", "frame"):
        raise UserError(f"{name}: per must be clip or frame, got {per!r}")


def _check_frames(name: str, count: int) -> None:
    if count < 2:
        raise UserError(f"{name}: changes the order of time, so clips need at least 2 frames, got {count}")


def _check_partners(name: str, count: int) -> None:
    if count < 2:
        raise UserError(f"{name}: pairs each clip with another, so a batch needs at least 2, got {count}")


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


jigsaw = lifted(images.jigsaw)
stitch = lifted(images.stitch, images.stitch_with)
mixup = lifted(images.mixup, images.mixup_with)
cutout = lifted(images.cutout)
cutmix = lifted(images.cutmix, images.cutmix_with)
rotate = lifted(images.rotate)
shift = lifted(images.shift)
random_crop = lifted(images.random_crop)
flip = lifted(images.flip)
patches = lifted(images.patches)
