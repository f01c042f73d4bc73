"""Seconds that a trial spends on its video data, with frames that are kept (`data.cache: disk`) and without.

    PYTHONPATH=. python benchmarks/video_cache.py [--clips-per-group 1] [--side 64] [--batches 25]
        [--rounds 5] [--folder DATA]

A round is what one trial asks of its data: it opens the set, as a new process would, draws `--batches`
training batches of 8 random clips of 16 frames, and tests once on the windows of every validation and test
video. The set is moving digits of UCF-101's size and rate, 2.4 s each, H.264; `--folder` takes a
`video_folder` instead. Contestants take turns; the clips of both are compared first. Decoding once is timed
apart.
"""

import importlib.metadata
import os
import platform
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks import racing
from ndabench.config import parse
from ndabench.data import build_cache
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos.clips import ClipData
from ndabench.data.videos.digit_files import write_moving_digits
from ndabench.data.videos.sampling import random_clips

CPU = torch.device("cpu")
FRAMES = 16


def opened(keys: dict[str, Any], cache: str) -> ClipData:
    """As a new process opens it, which reads the checksums of what is kept."""
    build_cache._checked.clear()
    return load_data(parse(VideoDataConfig, {**keys, "cache": cache}, "data"), CPU)


def trial(keys: dict[str, Any], cache: str, batches: int, digest: list[int] | None = None) -> None:
    """What a trial asks of its data; the sums of all clips go to `digest`."""
    data = opened(keys, cache)
    training = islice(random_clips(data.train, 8, frames=FRAMES, stride=1, seed=0), batches)
    tested = (
        split.clips(split.windows(video, FRAMES, 1, 0.5) for video in range(len(split)))
        for split in (data.validation, data.test)
    )
    for clips in (data.train.clips(training), *tested):
        for batch, _ in clips:
            if digest is not None:
                digest.append(int(batch.long().sum()))


def main(
    clips_per_group: int = 1,
    side: int = 64,
    batches: int = 25,
    workers: Annotated[int, typer.Option(help="decode_workers, without kept frames")] = 2,
    rounds: int = 5,
    threads: int = 1,
    folder: Annotated[Path | None, typer.Option(help="a video_folder instead of moving digits")] = None,
) -> None:
    """Compare kept frames with decoding every clip."""
    torch.set_num_threads(threads)
    console = Console(width=120)
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "av"))
    console.print(
        f"{time.strftime('%Y-%m-%d')}; {racing.hardware(CPU)}; {platform.python_version()}, {packages}; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as written:
        os.environ["NDABENCH_CACHE"] = str(Path(written, "cache"))
        keys: dict[str, Any] = {"frame_size": side, "decode_workers": workers}
        if folder is None:
            write_moving_digits(
                Path(written),
                codec="libx264",
                sizes=((240, 320),),
                seconds=2.4,
                clips_per_group=clips_per_group,
                groups=(1, 2, 8, 9, 10, 11, 12, 13, 14, 15),
            )
            keys |= {"name": "ucf101", "path": written}
        else:
            keys |= {"name": "video_folder", "path": folder}
        spent = {}
        for what, cache in (("scanning", "none"), ("decoding once", "disk")):
            start = time.perf_counter()
            console.print(opened(keys, cache).kept)
            spent[what] = time.perf_counter() - start
        console.print("; ".join(f"{what} {seconds:.1f} s" for what, seconds in spent.items()))
        sums: dict[str, list[int]] = {"none": [], "disk": []}
        for cache, digest in sums.items():
            trial(keys, cache, batches, digest)
        assert sums["none"] == sums["disk"]
        contestants: dict[str, racing.Steps] = {
            f"cache: {cache}": lambda cache=cache: trial(keys, cache, batches)  # type: ignore[misc]
            for cache in sums
        }
        console.print(f"n = {rounds} rounds of one trial each, medians (quartiles)")
        seconds = racing.race(contestants, rounds, CPU)
        racing.show(console, seconds, "cache: none", steps=1, num_images=1, unit="trials")


if __name__ == "__main__":
    typer.run(main)
