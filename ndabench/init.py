"""`python -m ndabench.init FOLDER`: a commented sweep file for one's own folder of images or videos."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log2
from pathlib import Path
from typing import Annotated

import typer

from ndabench.command_line import run, write_text
from ndabench.errors import UserError, first_of, unknown

FOLDER = typer.Argument(help="A folder of images or videos; asked for if left out.")
TASK = typer.Option(metavar="gan|contrastive", help="What is trained; asked for if left out.")
NEGATIVES = typer.Option(
    metavar="NAME,…", help="The negatives to compare with none; `ndabench list negatives`."
)
SIZE = typer.Option("--size", min=8, max=1024, help="Pixels of a side: squares are cut out and resized.")
SEEDS = typer.Option(
    min=1, max=1000, help="Repeats of every arm; below three nothing can be told from noise."
)
OUT = typer.Option(help="The file to write; default: <name of the folder>.yaml here.")


@dataclass(frozen=True)
class Kind:
    """A kind of sweep that can be written."""

    videos: bool
    negatives: tuple[str, ...]
    size: int
    batch_size: int
    template: str
    needs_classes: bool


TRAINED = 0.7
"""About the share of a set that is trained on, of which a batch should be at most half."""

HEAD = """\
# {title}
# ndabench preview {out}                draws the data, and what the negatives make of them
# ndabench sweep {out} --check --time   opens everything, tries each arm, says how long it will take
# ndabench sweep {out}                  runs it; Ctrl-C at any time, --resume continues
# `ndabench explain KEY` says what a key means, e.g. `ndabench explain {task}`.
name: {name}
"""

GAN = """\
task:
  name: gan
  width: 8               # channels; 64 or more for good pictures, on a GPU
  batch_size: {batch_size}
  num_steps: 300         # a first look, minutes on two cores; tens of thousands for good pictures
  num_discriminator_steps: 2
  losses: hinge
  checkpoint_every: 150
data: {data}
arms:                    # all are compared with the first
  - none
{arms}
search:
  lambda: [0.25]         # the weight of the generated pictures; the negatives weigh 1 − λ
seeds: {seeds}
evaluate:                # on validation and test pictures that no training sees
  - {{name: fd, num_samples: {samples}, every: 150}}   # Fréchet distance, by a small classifier trained here
objective: {{metric: fd_classifier}}
resources: {{cpus_per_worker: 1, gpus_per_worker: 0}}   # of each trial; gpus_per_worker: 1 where there is one
"""

CONTRASTIVE = """\
task:
  name: image_contrastive
  method: {{name: moco, queue_size: {queue_size}}}
  encoder: {{name: resnet, depth: 18, width: 8}}   # width 64 is the usual ResNet-18, for GPUs
  batch_size: {batch_size}
  num_steps: 500         # a first look, minutes on two cores; hundreds of epochs are usual
  checkpoint_every: 250
data: {data}
arms:                    # all are compared with the first
  - none
{arms}
  - {{name: untrained encoder, task: {{num_steps: 0}}}}   # what the network gives without any training
search:
  lambda: [1.0]          # the weight of the negatives among the keys; 0 is the plain loss
seeds: {seeds}
evaluate:                # on validation and test pictures that no training sees
  - {{name: knn, every: 250}}
  - linear_probe_lbfgs
objective: {{metric: knn}}
resources: {{cpus_per_worker: 1, gpus_per_worker: 0}}   # of each trial; gpus_per_worker: 1 where there is one
"""

VIDEO_CONTRASTIVE = """\
task:
  name: video_contrastive
  method: {{name: dpc, num_blocks: 4, num_predicted: 1}}
  encoder: {{name: resnet2d3d, width: 8}}   # width 64 is the usual one, for GPUs
  clip_frames: 20        # frames of a clip, so many apart:
  frame_stride: 1
  batch_size: {batch_size}
  num_steps: 300         # a first look, minutes on two cores
  checkpoint_every: 150
data: {data}
arms:                    # all are compared with the first
  - none
{arms}
  - {{name: untrained encoder, task: {{num_steps: 0}}}}   # what the network gives without any training
search:
  lambda: [1.0]          # the weight of the negatives among the keys; 0 is the plain loss
seeds: {seeds}
evaluate: [linear_probe, retrieval]   # on validation and test videos that no training sees
objective: {{metric: linear_probe}}
resources: {{cpus_per_worker: 1, gpus_per_worker: 0}}   # of each trial; gpus_per_worker: 1 where there is one
"""

IMAGE_KINDS = {
    "gan": Kind(False, ("jigsaw", "cutout"), 32, 32, GAN, needs_classes=False),
    "contrastive": Kind(False, ("jigsaw", "stitch"), 32, 64, CONTRASTIVE, needs_classes=True),
}
VIDEO_KINDS = {"contrastive": Kind(True, ("shuffle_frames",), 64, 16, VIDEO_CONTRASTIVE, needs_classes=True)}


def init(
    folder: Annotated[Path | None, FOLDER] = None,
    task: Annotated[str | None, TASK] = None,
    negatives: Annotated[str | None, NEGATIVES] = None,
    size: Annotated[int | None, SIZE] = None,
    seeds: Annotated[int, SEEDS] = 3,
    out: Annotated[Path | None, OUT] = None,
) -> None:
    """Write a commented sweep file for your own folder of images or videos."""
    # late: --help must not wait for pydantic
    from ndabench.config import parse
    from ndabench.planning.sweep_file import SweepConfig
    from ndabench.yaml_reading import parse_yaml

    found = look_at(folder if folder is not None else Path(_asked("A folder of images or videos")))
    kind = _kind(found, task)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", found.name).strip("._-") or "mine"
    out = out or Path(f"{name}.yaml")
    if out.exists():
        raise UserError(f"--out: {out} exists; name a new file")
    arms = negatives.split(",") if negatives is not None else kind.negatives
    text = _written(found, kind, name, [arm.strip() for arm in arms], size or kind.size, seeds, out)
    config = parse(SweepConfig, parse_yaml(text), str(out))
    write_text(out, text)
    print(f"{out}: {found.title}; {config.trial_count()} trials")
    if found.unread:
        print(f"files that are not read: {found.unread}")
    print(f"next: ndabench preview {out}")


@dataclass(frozen=True)
class Found:
    """A folder of pictures or of videos, and how a sweep file names it."""

    name: str
    title: str
    videos: bool
    data: dict[str, object]
    """The keys of `data`, without the size."""
    count: int
    classes: int
    unread: str = ""
    """How many files of other kinds there are, by their ending."""


def look_at(folder: Path) -> Found:
    """What a folder holds; `UserError` where it is none that a data set can read."""
    # late: --help must not wait for numpy and PIL
    from ndabench.data.class_folders import files_below
    from ndabench.data.image_folder import IMAGES
    from ndabench.data.videos.video_folder import VIDEOS

    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    endings = Counter(file.suffix.lower() for file in files_below(folder))
    images, videos = (sum(endings[one] for one in kind.suffixes) for kind in (IMAGES, VIDEOS))
    if not images and not videos:
        if unreadable := sorted(IMAGES.unreadable & set(endings)):
            raise UserError(
                f"{folder}: its {sum(endings[one] for one in unreadable):,} pictures end in "
                f"{' '.join(unreadable)}, which cannot be read; convert them to JPEG or PNG"
            )
        known = " ".join(sorted(one[1:] for one in IMAGES.suffixes | VIDEOS.suffixes))
        raise UserError(f"{folder}: holds neither images nor videos ({known})")
    read = VIDEOS if videos >= images else IMAGES
    unread = [
        f"{count:,} {one or 'without ending'}"
        for one, count in endings.most_common()
        if one not in read.suffixes
    ]
    found = _videos(folder, videos) if read is VIDEOS else _images(folder, images)
    return replace(found, unread=first_of(unread))


def _images(folder: Path, count: int) -> Found:
    # late: --help must not wait for pydantic
    from ndabench.config import parse
    from ndabench.data.image_folder import ImageFolderConfig

    data: dict[str, object] = {"name": "image_folder", "path": str(folder)}
    source = parse(ImageFolderConfig, data, str(folder)).open()
    classes = len(source.class_names)
    title = f"{count:,} images" + (f" in {classes:,} classes" if classes > 1 else "")
    return Found(folder.name, title, False, data, count, classes)


def _videos(folder: Path, count: int) -> Found:
    from ndabench.config import parse  # late: --help must not wait for pydantic
    from ndabench.data.videos.video_folder import VideoFolderConfig

    data: dict[str, object] = {"name": "video_folder", "path": str(folder)}
    classes = len(parse(VideoFolderConfig, data, str(folder)).lists().class_names)
    return Found(folder.name, f"{count:,} videos in {classes:,} classes", True, data, count, classes)


def _kind(found: Found, task: str | None) -> Kind:
    kinds = VIDEO_KINDS if found.videos else IMAGE_KINDS
    usable = {name: kind for name, kind in kinds.items() if found.classes > 1 or not kind.needs_classes}
    if not usable:
        raise UserError(f"{found.data['path']}: has one class, and evaluations of encoders need two")
    if task is None:
        task = next(iter(usable))
        if len(usable) > 1 and sys.stdin.isatty():
            task = _asked(f"What to train ({' or '.join(usable)})", task)
    if task in kinds and task not in usable:
        raise UserError(
            f"--task: {task} needs at least two classes to evaluate; {found.data['path']} has one"
        )
    if task not in usable:
        raise UserError(f"--task: {unknown('task', task, usable)}")
    return usable[task]


def _written(
    found: Found, kind: Kind, name: str, arms: Sequence[str], size: int, seeds: int, out: Path
) -> str:
    key = "frame_size" if kind.videos else "image_size"
    data = ", ".join(f"{one}: {json.dumps(value)}" for one, value in {**found.data, key: size}.items())
    power = 2 ** max(int(log2(found.count * TRAINED / 2)), 3)
    body = kind.template.format(
        data=f"{{{data}}}",
        arms="\n".join(f"  - {arm}" for arm in arms),
        seeds=list(range(seeds)),
        samples=1000,
        batch_size=min(kind.batch_size, power),
        queue_size=min(1024, power),
    )
    task = body.partition("name: ")[2].partition("\n")[0]
    title = f"Do {' and '.join(arms)} help on {found.name} ({found.title})?"
    return HEAD.format(title=title, out=out, task=task, name=name) + body


def _asked(question: str, default: str | None = None) -> str:
    """The answer on a terminal; `UserError` where there is none to answer."""
    if not sys.stdin.isatty():
        raise UserError("init: name a folder of images or videos")
    return str(typer.prompt(question, default=default))


if __name__ == "__main__":
    run(init)
