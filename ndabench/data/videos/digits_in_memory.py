"""Loading the moving digits: drawn into memory, or decoded from files that are written once."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from ndabench.data.videos.clips import ClipData
from ndabench.data.videos.digit_rendering import CLASS_NAMES, TEST_GROUPS, draw_motions, render
from ndabench.data.videos.feeding import greyscale_clips
from ndabench.data.videos.groups import held_out_groups
from ndabench.data.videos.load import load_clips
from ndabench.data.videos.moving_digits import FRAME_RATE, MovingDigitsConfig
from ndabench.data.videos.source import Video
from ndabench.errors import UserError


def load_moving_digits(config: MovingDigitsConfig, *, device: torch.device) -> ClipData:
    """The data set, ready; without `files` its videos live on `device`, as uint8 greyscale."""
    if config.files is not None:
        return load_clips(config, device=device)
    if config.frame_rate not in (None, FRAME_RATE):
        raise UserError(
            f"data.frame_rate: moving digits in memory have {FRAME_RATE:g} frames a second; "
            "with data.files they can have others"
        )
    framing = config.framing
    motions = draw_motions(config.clips_per_group, config.seed)
    seconds = torch.arange(config.video_frames, dtype=torch.float64) / FRAME_RATE
    grey = render(motions, seconds, framing.height, framing.width)
    rows = _split(config, motions.labels, motions.groups)
    videos = grey.to(device)
    splits = {name: greyscale_clips(videos, motions.labels[own], own) for name, own in rows.items()}
    return ClipData(
        name=config.title,
        content_hash=_content_hash(grey, motions.labels, rows),
        class_names=CLASS_NAMES,
        frame_shape=(3, framing.height, framing.width),
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
    )


def _split(config: MovingDigitsConfig, labels: torch.Tensor, groups: torch.Tensor) -> dict[str, torch.Tensor]:
    """The rows of each split, exactly those that the written files would have."""
    for_test = torch.isin(groups, torch.tensor(list(TEST_GROUPS[config.split])))
    trained = (~for_test).nonzero()[:, 0]
    pairs = zip(labels[trained].tolist(), groups[trained].tolist(), strict=True)
    videos = [Video(Path(), label, f"{CLASS_NAMES[label]} g{group}") for label, group in pairs]
    kept, held = held_out_groups(
        videos, config.validation_fraction, seed=config.split_seed, class_names=CLASS_NAMES
    )
    return {"train": trained[kept], "validation": trained[held], "test": for_test.nonzero()[:, 0]}


def _content_hash(grey: torch.Tensor, labels: torch.Tensor, rows: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(list(grey.shape)).encode())
    for part in (grey, labels, *(rows[name] for name in sorted(rows))):
        digest.update(part.numpy().tobytes())
    return digest.hexdigest()
