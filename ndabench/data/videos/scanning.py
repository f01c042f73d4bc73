"""Scanning a set of videos once: how many frames each has, where decoding may start, whether it can be read.

The result is cached by the files' names, sizes and times, so that all splits and trials share it.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import av

from ndabench.config import Config
from ndabench.data.build_cache import build_once, cache_folder
from ndabench.data.videos.decoding import scan
from ndabench.data.videos.facts import VideoFacts
from ndabench.errors import UserError
from ndabench.machine import usable_cpus

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0
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
            found = tuple(_counted(pool.map(_facts, distinct), len(distinct)))
        text = Scanned(found=found).model_dump_json(exclude_defaults=True)
        (entry / SCAN).write_text(text, encoding="utf-8")

    entry = build_once(cache_folder() / "videos" / "scans", _key(distinct), scan_all)
    scanned = Scanned.model_validate_json((entry / SCAN).read_text(encoding="utf-8"))
    return dict(zip(distinct, scanned.found, strict=True))


def _counted(facts: Iterable[VideoFacts | str], total: int) -> Iterator[VideoFacts | str]:
    """`facts`; logs the progress every few seconds, since scanning a large set takes a quarter of an hour."""
    said = monotonic()
    for number, fact in enumerate(facts, 1):
        if monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = monotonic()
            logger.info("scanned %d of %d videos", number, total)
        yield fact


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
