"""From listed video files to the three splits that a task sees."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from ndabench.data.config import SplitName
from ndabench.data.splits import TEST_FRACTION, TEST_SEED
from ndabench.data.videos import decoding, torchcodec_decoding
from ndabench.data.videos.clips import ClipData, ClipSplit
from ndabench.data.videos.facts import UPRIGHT, Orientation, VideoFacts, frames_at
from ndabench.data.videos.feeding import DecodedClips, ReadFrames, ResidentClips, ScannedVideo
from ndabench.data.videos.frame_store import KeptFrames, keep_frames
from ndabench.data.videos.groups import held_out_groups
from ndabench.data.videos.scanning import scan_once
from ndabench.data.videos.source import Video, VideoConfig, VideoLists
from ndabench.errors import UserError, first_of

DECODERS: dict[str, ReadFrames] = {
    "pyav": decoding.read_frames,
    "torchcodec": torchcodec_decoding.read_frames,
}


def load_clips(config: VideoConfig, *, device: torch.device) -> ClipData:
    """The data set, ready; clips are given out on `device`.

    The first use on a machine scans the set into the cache, and decodes it where the frames are kept. Test
    and validation videos are cut from the training list where the set has no list of them. Raises `UserError`
    for what is missing, damaged or contradictory.
    """
    lists = config.lists()
    framing = config.framing
    if config.decoder == "torchcodec":
        torchcodec_decoding.require_torchcodec()
    readable = _readable(config, lists)
    train, validation, test = readable.train, readable.validation, readable.test
    if not test:
        train, test = _cut(train, TEST_FRACTION, TEST_SEED, "test", lists.class_names)
    if not validation:
        fraction, seed = config.validation_fraction, config.split_seed
        train, validation = _cut(train, fraction, seed, "validation", lists.class_names)
    scanned: dict[SplitName, list[ScannedVideo]] = {"train": train, "validation": validation, "test": test}
    kept = keep_frames(config, DECODERS[config.decoder], [video for own in scanned.values() for video in own])
    splits = {name: _split(config, videos, kept, device) for name, videos in scanned.items()}
    return ClipData(
        name=config.title_of(len(lists.class_names)),
        content_hash=_content_hash(config, lists.class_names, scanned),
        class_names=lists.class_names,
        frame_shape=(3, framing.height, framing.width),
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        unreadable=readable.left_out,
        notes=(*lists.notes, *readable.notes),
        kept=kept.line,
    )


def _split(
    config: VideoConfig, videos: Sequence[ScannedVideo], kept: KeptFrames, device: torch.device
) -> ClipSplit:
    if kept.frames is not None:
        labels = torch.tensor([video.label for video, _ in videos], dtype=torch.int64)
        starts = torch.tensor([kept.starts[facts.sha256] for _, facts in videos], dtype=torch.int64)
        num_frames = [frames_at(facts, config.frame_rate) for _, facts in videos]
        return ResidentClips(kept.frames, labels, starts, num_frames, device=device)
    return DecodedClips(
        videos,
        read_frames=DECODERS[config.decoder],
        framing=config.framing,
        frame_rate=config.frame_rate,
        workers=config.decode_workers,
        device=device,
    )


class Readable(NamedTuple):
    """The videos of each split that can be read."""

    train: list[ScannedVideo]
    validation: list[ScannedVideo]
    test: list[ScannedVideo]
    left_out: tuple[str, ...]
    """A line about each video that cannot be read."""
    notes: tuple[str, ...]
    """One line about all of them."""


def _readable(config: VideoConfig, lists: VideoLists) -> Readable:
    """Scans the listed videos; `UserError` where one cannot be read and must be, or a class has none left."""
    listed: dict[SplitName, Sequence[Video]] = {
        "train": lists.train, "validation": lists.validation, "test": lists.test
    }  # fmt: skip
    facts = scan_once([video.path for videos in listed.values() for video in videos])
    unreadable = {path: line for path, line in facts.items() if isinstance(line, str)}
    lines = tuple(unreadable.values())
    if unreadable and config.unreadable == "error":
        more = f" (and {len(unreadable) - 1} more of {len(facts)} videos)" if len(unreadable) > 1 else ""
        raise UserError(f"{lines[0]}{more}; `unreadable: skip` would leave it out")
    found: dict[SplitName, list[ScannedVideo]] = {}
    for name, videos in listed.items():
        seen = ((video, facts[video.path]) for video in videos)
        found[name] = [ScannedVideo(video, known) for video, known in seen if not isinstance(known, str)]
    for name in ("train", "test"):
        if listed[name] and not found[name]:
            raise UserError(f"{config.title}: the {name} list has no video that can be read")
    trained = {scanned.video.label for scanned in found["train"]}
    absent = [name for label, name in enumerate(lists.class_names) if label not in trained]
    if absent:
        raise UserError(
            f"{config.title}: {len(absent)} of {len(lists.class_names)} classes have no training video that "
            f"can be read: {first_of(absent)}"
        )
    names = first_of([path.name for path in unreadable])
    note = f"{len(unreadable)} of {len(facts)} videos cannot be read and are left out: {names}"
    return Readable(found["train"], found["validation"], found["test"], lines, (note,) if unreadable else ())


def _cut(
    train: Sequence[ScannedVideo], fraction: float, seed: int, split: SplitName, class_names: Sequence[str]
) -> tuple[list[ScannedVideo], list[ScannedVideo]]:
    videos = [video for video, _ in train]
    kept, held = held_out_groups(videos, fraction, seed=seed, class_names=class_names, split=split)
    return [train[row] for row in kept], [train[row] for row in held]


def _content_hash(
    config: VideoConfig, class_names: Sequence[str], splits: Mapping[SplitName, Sequence[ScannedVideo]]
) -> str:
    """A digest of everything that decides a clip's pixels and labels; the same wherever the files are."""
    content = {
        name: [(facts.sha256, video.label, *_turned(config, facts)) for video, facts in splits[name]]
        for name in splits
    }
    identity = [class_names, config.framing, config.frame_rate, config.decoder, content]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _turned(config: VideoConfig, facts: VideoFacts) -> tuple[Orientation, ...]:
    """What the hash adds for a video that is not shown as it is stored: with PyAV earlier versions did not
    turn it, with TorchCodec they did."""
    return (facts.orientation,) if facts.orientation != UPRIGHT and config.decoder == "pyav" else ()
