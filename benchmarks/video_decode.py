"""Clips a second of our decoding compared with pytorchvideo's LabeledVideoDataset, from the same files in one
run.

    PYTHONPATH=. python benchmarks/video_decode.py [--frames 16] [--stride 1] [--workers 0] [--rounds 7]
        [--folder DATA]

The files are moving digits, MPEG-4 in AVI and H.264 in MP4, of UCF-101's size, rate and mean length
(240×320, 25 a second, 7.2 s), with a key frame every 12 frames; `--folder` reads those below another folder
instead. Every contestant gives random clips as RGB of 128×128 (short side, centre), ours as uint8 in
batches, pytorchvideo's as float one by one, since they differ by a frame in length (it cuts in seconds);
its own transforms cannot be imported any more, so torch resizes them. "no DataLoader" calls our PyAV
decoder for the clips of a round one by one; TorchCodec takes part where it is installed. With workers,
starting the processes is counted. Medians over the rounds with their quartiles; the aim is 10 times as many
clips as pytorchvideo.
"""

import importlib.metadata
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, RandomSampler

from benchmarks import racing
from ndabench.data.videos.clips import ClipRequest
from ndabench.data.videos.decoding import read_frames
from ndabench.data.videos.digit_files import Codec, write_moving_digits
from ndabench.data.videos.feeding import DecodedClips, ScannedVideo
from ndabench.data.videos.load import DECODERS
from ndabench.data.videos.sampling import random_clips
from ndabench.data.videos.scanning import scan_once
from ndabench.data.videos.source import Framing, Video
from ndabench.data.videos.torchcodec_decoding import require_torchcodec
from ndabench.data.videos.video_folder import VIDEOS
from ndabench.errors import UserError

SIDE = 128
FRAMING = Framing(SIDE, SIDE, crop=True)


def scanned(folder: Path) -> list[ScannedVideo]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS.suffixes)
    start = time.perf_counter()
    facts = scan_once(paths)
    print(f"{len(paths)} videos scanned (or read from the cache) in {time.perf_counter() - start:.1f} s")
    known = ((path, facts[path]) for path in paths)
    return [ScannedVideo(Video(path, 0, ""), fact) for path, fact in known if not isinstance(fact, str)]


def our_split(videos: list[ScannedVideo], workers: int, decoder: str) -> DecodedClips:
    return DecodedClips(
        videos,
        read_frames=DECODERS[decoder],
        framing=FRAMING,
        frame_rate=None,
        workers=workers,
        device=torch.device("cpu"),
    )


def decoders() -> list[str]:
    """TorchCodec takes part where it is installed."""
    try:
        require_torchcodec()
    except UserError:
        return ["pyav"]
    return ["pyav", "torchcodec"]


def alone(videos: list[ScannedVideo], batches: list[list[ClipRequest]]) -> None:
    for request in (request for batch in batches for request in batch):
        video, facts = videos[request.video]
        read_frames(video.path, facts, request.indices(facts.num_frames), FRAMING)


def resized(clip: Tensor, stride: int) -> Tensor:
    """Float `[3, T, H, W]`, every `stride`-th frame, with its centre at `SIDE` pixels."""
    frames = clip[:, ::stride].transpose(0, 1)
    height, width = FRAMING.scaled_size(*frames.shape[-2:])
    scaled = functional.interpolate(frames, (height, width), mode="bilinear")
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    return scaled[..., top : top + SIDE, left : left + SIDE].transpose(0, 1)


class Resized:
    """A transform of pytorchvideo's: a class, so that worker processes can be handed it."""

    def __init__(self, stride: int) -> None:
        self.stride = stride

    def __call__(self, sample: dict[str, Any]) -> Tensor:
        return resized(sample["video"], self.stride)


def pytorchvideo_clips(
    videos: list[ScannedVideo], seconds: float, stride: int, workers: int
) -> Iterator[Tensor]:
    from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler

    dataset = LabeledVideoDataset(
        [(str(video.path), {"label": video.label}) for video, _ in videos],
        make_clip_sampler("random", seconds),
        video_sampler=RandomSampler,
        transform=Resized(stride),
        decode_audio=False,
        decoder="pyav",
    )
    # Its clips differ by a frame in length, so they cannot be batched as they are.
    return iter(DataLoader(dataset, batch_size=None, num_workers=workers))


def describe() -> str:
    packages = {name: importlib.metadata.version(name) for name in ("torch", "av", "pytorchvideo")}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    device = torch.device("cpu")
    return f"{time.strftime('%Y-%m-%d')}; {racing.hardware(device)}; {platform.python_version()}, {versions}"


def main(
    frames: int = 16,
    stride: int = 1,
    batch_size: int = 8,
    batches: Annotated[int, typer.Option(help="batches a round")] = 4,
    workers: int = 0,
    rounds: int = 7,
    threads: int = 2,
    folder: Annotated[Path | None, typer.Option(help="videos to use instead of moving digits")] = None,
) -> None:
    """Compare the speed of decoding random clips with pytorchvideo's."""
    torch.set_num_threads(threads)
    console = Console(width=120)
    console.print(describe())
    with tempfile.TemporaryDirectory() as written:
        if folder is None:
            os.environ["NDABENCH_CACHE"] = str(
                Path(written, "cache")
            )  # else the scan would outlive the files
            groups: dict[Codec, int] = {"mpeg4": 1, "libx264": 2}
            for codec, group in groups.items():
                write_moving_digits(
                    Path(written, codec),
                    codec=codec,
                    sizes=((240, 320),),
                    seconds=7.2,
                    clips_per_group=2,
                    groups=(group,),
                )
        videos = scanned(folder or Path(written))
        num_clips = batch_size * batches
        if num_clips > len(videos):  # an epoch of theirs would end too early
            raise typer.BadParameter(f"a round of {num_clips} clips needs as many videos, not {len(videos)}")
        splits = {decoder: our_split(videos, workers, decoder) for decoder in decoders()}
        requests = random_clips(splits["pyav"], batch_size, frames=frames, stride=stride, seed=0)

        def ours(decoder: str) -> None:
            assert len(list(splits[decoder].clips(list(islice(requests, batches))))) == batches

        def theirs() -> None:
            clips = pytorchvideo_clips(videos, frames * stride / 25, stride, workers)
            assert len(list(islice(clips, num_clips))) == num_clips

        contestants: dict[str, racing.Steps] = {
            "pytorchvideo": theirs,
            "ndabench, no DataLoader": lambda: alone(videos, list(islice(requests, batches))),
            **{f"ndabench, {decoder}": partial(ours, decoder) for decoder in splits},
        }
        console.print(
            f"clips of {frames} frames, stride {stride}, {SIDE}×{SIDE}; {workers} workers; "
            f"n = {rounds} rounds of {num_clips} clips, median (quartiles)"
        )
        seconds = racing.race(contestants, rounds, torch.device("cpu"))
        racing.show(console, seconds, "pytorchvideo", steps=batches, num_images=num_clips, unit="clips")


if __name__ == "__main__":
    typer.run(main)
