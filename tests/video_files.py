"""Writes small, truly encoded videos whose every frame tells its number by its level."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

STEP = 6
"""Between the grey levels of neighbouring frames: more than any codec here is off."""


def write_video(
    file: Path,
    codec: str = "mpeg4",
    *,
    num_frames: int = 40,
    height: int = 48,
    width: int = 64,
    rate: int = 25,
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
) -> Path:
    """`times`: when each frame is shown, in units of `1 / rate` (default 0, 1, 2, …)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = height, width, pixel_format
        stream.codec_context.thread_count = 1
        stream.bit_rate = 4_000_000
        stream.codec_context.time_base = Fraction(1, rate)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered(number, height, width), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def numbered(number: int, height: int, width: int) -> np.ndarray:
    """A level that tells the number, and a bar that moves, so that codecs predict motion."""
    picture = np.full((height, width, 3), STEP * number % 252, dtype=np.uint8)
    left = number * 2 % width
    picture[: height // 4, left : left + 8] = 255
    return picture


def numbers_of(frames: np.ndarray) -> list[int]:
    """The numbers that frames `[T, H, W, 3]` of fewer than 42 bear in their lower half."""
    levels = frames[:, frames.shape[1] // 2 :].mean(axis=(1, 2, 3))
    return [round(float(level) / STEP) for level in levels]


def write_ucf101(
    root: Path,
    classes: Sequence[str] = ("Archery", "Biking"),
    *,
    groups: Sequence[int] = (1, 8, 9, 10),
    sizes: Sequence[tuple[int, int]] = ((48, 64), (48, 80)),
    rates: Sequence[int] = (25,),
    codecs: Sequence[str] = ("mpeg4",),
) -> None:
    """Two clips a group of each class; group 1 is split 1's test, as officially groups 1 to 7 are.

    Sizes (height, width), frame rates and codecs are taken in turns, and every video is longer than the last.
    """
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True, exist_ok=True)
    train: list[str] = []
    test: list[str] = []
    number = 0
    for label, name in enumerate(classes, 1):
        for group in groups:
            for clip in (1, 2):
                listed = f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi"
                number += 1
                height, width = sizes[number % len(sizes)]
                write_video(
                    root / "UCF-101" / listed,
                    codecs[number % len(codecs)],
                    num_frames=10 + number,
                    height=height,
                    width=width,
                    rate=rates[number % len(rates)],
                )
                (test if group <= 7 else train).append(listed if group <= 7 else f"{listed} {label}")
    (lists / "classInd.txt").write_text("".join(f"{i} {name}\r\n" for i, name in enumerate(classes, 1)))
    (lists / "trainlist01.txt").write_text("".join(f"{line}\n" for line in train))
    (lists / "testlist01.txt").write_text("".join(f"{line}\n" for line in test))
