"""Decoding a set of videos once: the frames that all trials and evaluations share.

An entry `cache_folder()/videos/frames/<key>` holds the frames of all videos of a set, at their final size and
rate, in one `.npy` file that is mapped into memory: processes share its pages, and the system drops those
that nobody reads. The key is made of the videos' bytes and of what decides the pixels, so that other cuts
into splits and copies of a set share an entry.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ndabench.data.build_cache import build_once, cache_folder
from ndabench.data.progress import told
from ndabench.data.store import RESIDENT_LIMIT_BYTES
from ndabench.data.videos.facts import VideoFacts, frames_at, shown_frames
from ndabench.data.videos.feeding import ReadFrames, ScannedVideo
from ndabench.data.videos.source import VideoConfig
from ndabench.errors import UserError
from ndabench.machine import usable_cpus

FRAMES = "frames.npy"
FORMAT = 1
"""Part of every key; raise it when decoding gives other pixels or the entry has another layout."""
CHUNK_BYTES = 2**24
"""Of frames that a thread decodes before it writes them."""

_log = logging.getLogger(__name__)


class KeptFrames(NamedTuple):
    """What is kept of a set's decoded frames."""

    line: str
    """For the user: how much, or why not."""
    frames: Tensor | None = None
    """uint8 `[F, 3, H, W]`, mapped into memory, those of each video one after the other; None: nothing."""
    starts: Mapping[str, int] = MappingProxyType({})
    """The place of a video's first frame, by the SHA-256 of its file."""


class _NoRoomError(UserError):
    """The disk cannot hold the frames."""


class _Video(NamedTuple):
    path: Path
    facts: VideoFacts
    start: int
    length: int


def keep_frames(config: VideoConfig, read_frames: ReadFrames, videos: Sequence[ScannedVideo]) -> KeptFrames:
    """The decoded frames of `videos`, as `config.cache` says; the first process to ask decodes them all.

    Raises `UserError` where they must be kept and the cache cannot hold them, and for a video that changed.
    """
    framing, placed = config.framing, list(_placed(config, videos))
    num_frames = sum(video.length for video in placed)
    size = num_frames * 3 * framing.height * framing.width
    told_size = f"{num_frames:,} frames of {framing.height}×{framing.width} take {_mib(size)} decoded"
    if config.cache == "none":
        return KeptFrames(f"{told_size}; every clip is decoded anew (data.cache: none)")
    if config.cache == "auto" and size > RESIDENT_LIMIT_BYTES:
        limit = f"more than {_mib(RESIDENT_LIMIT_BYTES)}: every clip is decoded anew"
        return KeptFrames(f"{told_size}, {limit} (data.cache: disk would keep them)")
    folder = cache_folder() / "videos" / "frames"

    def build(entry: Path) -> None:
        if (free := _free_bytes(entry)) < size:
            raise _NoRoomError(f"{told_size}, but {cache_folder()} has {_mib(free)} left")
        _log.info("decoding %s videos of %s, once; kept in %s", f"{len(placed):,}", config.title, folder)
        _write(entry / FRAMES, config, read_frames, placed)

    try:
        entry = build_once(folder, _key(config, placed), build)
    except _NoRoomError as error:
        if config.cache == "auto":
            return KeptFrames(f"{error}: every clip is decoded anew")
        raise UserError(f"data.cache: {config.cache}: {error}; set NDABENCH_CACHE to a larger disk") from None
    # Copy-on-write, because torch wants writable memory; nothing is ever written to it.
    frames = torch.from_numpy(np.load(entry / FRAMES, mmap_mode="c"))
    starts = {video.facts.sha256: video.start for video in placed}
    return KeptFrames(f"{told_size}; all trials share them (data.cache: {config.cache})", frames, starts)


def _placed(config: VideoConfig, videos: Sequence[ScannedVideo]) -> Iterator[_Video]:
    """Every file once, in an order that does not depend on names or splits, with the place of its frames."""
    distinct = {facts.sha256: (video.path, facts) for video, facts in videos}
    start = 0
    for _, (path, facts) in sorted(distinct.items()):
        length = frames_at(facts, config.frame_rate)
        yield _Video(path, facts, start, length)
        start += length


def _key(config: VideoConfig, videos: Sequence[_Video]) -> str:
    version = metadata.version({"pyav": "av"}.get(config.decoder, config.decoder))
    facts = [video.facts.model_dump(mode="json") for video in videos]
    identity = [FORMAT, config.decoder, version, config.framing, config.frame_rate, facts]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _write(file: Path, config: VideoConfig, read_frames: ReadFrames, videos: Sequence[_Video]) -> None:
    """Decodes the videos in threads (FFmpeg frees the interpreter lock), which write frames at their
    place."""
    framing, last = config.framing, videos[-1]
    shape = (3, framing.height, framing.width)
    frame_bytes = int(np.prod(shape))
    with file.open("wb") as opened:
        # Written, not mapped: a full disk under a mapping would kill the process.
        header = {"descr": "|u1", "fortran_order": False, "shape": (last.start + last.length, *shape)}
        np.lib.format.write_array_header_1_0(opened, header)
        offset = opened.tell()

    def write(chunk: tuple[_Video, range]) -> None:
        video, ticks = chunk
        wanted = shown_frames(video.facts, ticks, config.frame_rate)
        frames = read_frames(video.path, video.facts, wanted, framing)
        with file.open("r+b") as opened:
            opened.seek(offset + (video.start + ticks.start) * frame_bytes)
            opened.write(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)).data)

    step = max(CHUNK_BYTES // frame_bytes, 1)
    chunks = [
        (video, range(first, min(first + step, video.length)))
        for video in videos
        for first in range(0, video.length, step)
    ]
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for _ in told(pool.map(write, chunks), f"decoding {config.title}", len(chunks)):
            pass
