"""Moving digits as real video files, in exactly the layout of UCF-101."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch
from av.video.stream import VideoStream

from ndabench.data.videos.digit_rendering import CLASS_NAMES, TEST_GROUPS, Motions, draw_motions, render
from ndabench.data.videos.source import Pixels

Codec = Literal["mpeg4", "libx264"]
SUFFIXES: dict[Codec, str] = {"mpeg4": ".avi", "libx264": ".mp4"}
KEY_FRAME_DISTANCE = "12"


def write_moving_digits(
    folder: Path,
    *,
    codec: Codec = "mpeg4",
    sizes: Sequence[tuple[int, int]] = ((48, 48),),
    frame_rates: Sequence[float] = (25.0,),
    seconds: float = 1.28,
    clips_per_group: int = 4,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> None:
    """Writes `folder/UCF-101/<class>/*` and `folder/ucfTrainTestlist/*`, MPEG-4 in AVI or H.264 in MP4.

    Each video has one of `sizes` (height, width; even numbers) and one of `frame_rates`, in turns; all last
    `seconds` and move at the same speed. `groups` (of 1..25; None: all) writes a part of the set; splits
    without a test group have empty lists.
    """
    motions = draw_motions(clips_per_group, seed)
    wanted = torch.ones(len(motions.labels), dtype=torch.bool)
    if groups is not None:
        wanted = torch.isin(motions.groups, torch.tensor(list(groups)))
    names = []
    for number, row in enumerate(wanted.nonzero()[:, 0].tolist()):
        motion = Motions(*(field[row : row + 1] for field in motions))
        # Sizes change with every video, rates with every round of sizes, so that every pair occurs.
        height, width = sizes[number % len(sizes)]
        rate = frame_rates[number // len(sizes) % len(frame_rates)]
        times = torch.arange(max(round(seconds * rate), 1)) / rate
        names.append(_name(motion, SUFFIXES[codec]))
        file = folder / "UCF-101" / names[-1]
        file.parent.mkdir(parents=True, exist_ok=True)
        encode(file, render(motion, times, height, width)[0].numpy(), rate, codec)
    _write_lists(folder / "ucfTrainTestlist", names, motions.labels[wanted], motions.groups[wanted])


def encode(file: Path, grey: Pixels, frame_rate: float, codec: Codec) -> None:
    """Writes greyscale frames, uint8 `[T, H, W]`, as a video."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream(
            codec, rate=Fraction(frame_rate).limit_denominator(1001), options={"g": KEY_FRAME_DISTANCE}
        )
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = grey.shape[1:]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # else the bytes may depend on the machine
        for number, picture in enumerate(grey):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _name(motion: Motions, suffix: str) -> str:
    name = CLASS_NAMES[int(motion.labels)]
    return f"{name}/v_{name}_g{int(motion.groups):02d}_c{int(motion.clips):02d}{suffix}"


def _write_lists(folder: Path, names: Sequence[str], labels: torch.Tensor, groups: torch.Tensor) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    numbered = (f"{number} {name}" for number, name in enumerate(CLASS_NAMES, 1))
    (folder / "classInd.txt").write_text("\n".join(numbered) + "\n")
    listed = list(zip(names, labels.tolist(), groups.tolist(), strict=True))
    for split, test_groups in TEST_GROUPS.items():
        train = [f"{name} {label + 1}\n" for name, label, group in listed if group not in test_groups]
        test = [f"{name}\n" for name, _, group in listed if group in test_groups]
        (folder / f"trainlist{split:02d}.txt").write_text("".join(train))
        (folder / f"testlist{split:02d}.txt").write_text("".join(test))
