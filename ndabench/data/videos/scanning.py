"""Scanning a set of videos once: how many frames each has, where decoding may start, whether it can be read.

The result is cached by the files' names, sizes and times, so that all splits and trials share it.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av

from ndabench.config import Config
from ndabench.data.build_cache import build_once, cache_folder
from ndabench.data.progress import told
from ndabench.data.videos.decoding import scan
from ndabench.data.videos.facts import VideoFacts
from ndabench.errors import UserError
from ndabench.machine import usable_cpus

SCAN = "scan.json"
FORMAT = 2
"""Part of every key; raise it when scanning finds or records other facts."""


class Scanned(Config):
    """For each requested file, in order, its facts or the line that says why it cannot be read."""

    found: tuple[VideoFacts | str, ...]


def scan_once(paths: Sequence[Path]) -> dict[Path, VideoFacts | str]:
    """What is known of each video; the first process to ask scans them (in threads), others wait for it."""
    distinct = sorted(set(paths))

    def scan_all(entry: Path) -> None:
        # Threads suffice: FFmpeg decodes without the interpreter's lock.
        with ThreadPoolExecutor(usable_cpus()) as pool:
            found = tuple(told(pool.map(_facts, distinct), "scanning videos", len(distinct)))
        text = Scanned(found=found).model_dump_json(exclude_defaults=True)
        (entry / SCAN).write_text(text, encoding="utf-8")

    entry = build_once(cache_folder() / "videos" / "scans", _key(distinct), scan_all)
    scanned = Scanned.model_validate_json((entry / SCAN).read_text(encoding="utf-8"))
    return dict(zip(distinct, scanned.found, strict=True))


def _facts(path: Path) -> VideoFacts | str:
    try:
        return scan(path)
    except UserError as error:
        return str(error)


def _key(paths: Sequence[Path]) -> str:
    try:
        stats = [(str(path), path.stat()) for path in paths]
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    # Anchors were tried with this version of PyAV; another one might seek differently.
    identity = json.dumps([FORMAT, av.__version__, files])
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
