"""From a data set's configuration to its three splits on the training device."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ndabench.data.config import SplitName
from ndabench.data.feeding import ResidentSplit, StreamedSplit
from ndabench.data.images import ImageData, ImageSplit
from ndabench.data.source import ImageConfig
from ndabench.data.splits import TEST_FRACTION, TEST_SEED, Rows, stratified_cut
from ndabench.data.store import Manifest, decode_once, opened, read_decoded


class Cut(NamedTuple):
    """Which rows of which published split make up a split."""

    origin: SplitName
    rows: Rows


def load_images(config: ImageConfig, *, device: torch.device) -> ImageData:
    """The data set, ready on `device`; `UserError` for what is missing, damaged or cannot be split.

    The first use on a machine decodes the set into the cache; several processes may start at once.
    """
    manifest = decode_once(config)
    load = _streamed if manifest.streamed else _resident
    cuts, splits = load(config, manifest, device)
    return ImageData(
        name=config.title,
        content_hash=_content_hash(manifest, cuts),
        class_names=manifest.class_names,
        image_shape=manifest.image_shape,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        notes=manifest.notes,
    )


def load_whole(config: ImageConfig, *, device: torch.device) -> tuple[ImageSplit, Manifest]:
    """All pictures of a set that is one pool, uncut, and what is known of them; errors as `load_images`."""
    manifest = decode_once(config)
    if not manifest.streamed:
        images, labels = read_decoded(manifest)["train"]
        rows = torch.arange(len(labels))
        return ResidentSplit(torch.from_numpy(images).to(device), torch.from_numpy(labels), rows), manifest
    pictures = opened(config).splits["train"]
    split = StreamedSplit(
        pictures,
        torch.from_numpy(pictures.labels),
        torch.arange(len(pictures.labels)),
        image_size=config.image_size,
        channels=config.channels,
        workers=config.decode_workers,
        device=device,
    )
    return split, manifest


Loaded = tuple[Mapping[SplitName, Cut], Mapping[SplitName, ImageSplit]]


def _resident(config: ImageConfig, manifest: Manifest, device: torch.device) -> Loaded:
    decoded = read_decoded(manifest)
    labels = {name: labels for name, (_, labels) in decoded.items()}
    images = {name: torch.from_numpy(images).to(device) for name, (images, _) in decoded.items()}
    cuts = cut_splits(config, labels, manifest.class_names)
    return cuts, {
        name: ResidentSplit(
            images[origin], torch.from_numpy(labels[origin][rows]), rows=torch.from_numpy(rows)
        )
        for name, (origin, rows) in cuts.items()
    }


def _streamed(config: ImageConfig, manifest: Manifest, device: torch.device) -> Loaded:
    pictures = opened(config).splits
    labels = {name: split.labels for name, split in pictures.items()}
    cuts = cut_splits(config, labels, manifest.class_names)
    return cuts, {
        name: StreamedSplit(
            pictures[origin],
            torch.from_numpy(labels[origin][rows]),
            rows=torch.from_numpy(rows),
            image_size=config.image_size,
            channels=config.channels,
            workers=config.decode_workers,
            device=device,
        )
        for name, (origin, rows) in cuts.items()
    }


def cut_splits(
    config: ImageConfig, labels: Mapping[SplitName, Rows], class_names: Sequence[str]
) -> dict[SplitName, Cut]:
    """The three splits: the published ones; missing validation and test splits are cut from train."""
    cuts = {name: Cut(name, np.arange(len(own))) for name, own in labels.items()}
    if "test" not in cuts:
        fixed = (TEST_FRACTION, TEST_SEED, "the test fraction")
        cuts["train"], cuts["test"] = _cut_from_train(
            cuts["train"].rows, labels["train"], class_names, *fixed
        )
    if "validation" not in cuts:
        chosen = (config.validation_fraction, config.split_seed, "validation_fraction")
        cuts["train"], cuts["validation"] = _cut_from_train(
            cuts["train"].rows, labels["train"], class_names, *chosen
        )
    return cuts


def _cut_from_train(
    rows: Rows, labels: Rows, class_names: Sequence[str], fraction: float, seed: int, key: str
) -> tuple[Cut, Cut]:
    kept, cut = stratified_cut(labels[rows], fraction, seed=seed, key=key, class_names=class_names)
    return Cut("train", rows[kept]), Cut("train", rows[cut])


def _content_hash(manifest: Manifest, cuts: Mapping[SplitName, Cut]) -> str:
    digest = hashlib.sha256(manifest.decoded_hash.encode())
    for name, (origin, rows) in sorted(cuts.items()):
        digest.update(json.dumps([name, origin, len(rows)]).encode())
        digest.update(rows.astype("<i8").tobytes())
    return digest.hexdigest()
