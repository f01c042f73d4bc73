"""Writes tiny data sets in exactly the layouts in which they are published."""

import hashlib
import io
import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, STL10, SVHN, CelebA


def random_images(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(
    path: Path,
    images: Sequence[bytes | None],
    labels: Sequence[int | None],
    *,
    names: list[str] | None = None,
    column: str = "img",
    plain: bool = False,
) -> None:
    cells = images if plain else [{"bytes": image, "path": None} for image in images]
    kind = pa.binary() if plain else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({column: pa.array(cells, kind), "label": pa.array(labels, pa.int64())})
    if names is not None:
        features = {column: {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
        metadata = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": metadata})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=7)


def write_parquet_set(folder: Path, *, train: int = 40, test: int = 10, size: int = 8) -> np.ndarray:
    """A hub folder with two classes; returns the training images, `[train, size, size, 3]`."""
    images = random_images(train + test, size, size, 3)
    encoded = [png(image) for image in images]
    labels = [row % 2 for row in range(train + test)]
    half = train // 2
    parts = {"train-00000-of-00002": slice(0, half), "train-00001-of-00002": slice(half, train)}
    for name, rows in {**parts, "test-00000-of-00001": slice(train, None)}.items():
        write_parquet(folder / f"{name}.parquet", encoded[rows], labels[rows], names=["cat", "dog"])
    return images[:train]


def write_folder_set(root: Path, splits: dict[str, int], *, size: tuple[int, ...] = (8, 8, 3)) -> None:
    """`root/<split>/<class>/<number>.png` for classes a and b; the split "" is a pool."""
    for split, count in splits.items():
        for name in ("a", "b"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number, image in enumerate(random_images(count, *size, seed=len(split) + ord(name))):
                (folder / f"{number}.png").write_bytes(png(image))


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch, *, hundred: bool = False) -> np.ndarray:
    """Batches of 20 pictures, or 200 in a hundred classes; torchvision's MD5 sums are set to those of the
    files. Returns all of train."""
    kind = CIFAR100 if hundred else CIFAR10
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    num_classes, key = (100, "fine_labels") if hundred else (10, "labels")
    lists: list[list[list[str]]] = []
    written = []
    for files in (kind.train_list, kind.test_list):
        lists.append([])
        for number, (name, _) in enumerate(files):
            data = random_images(2 * num_classes, 3072, seed=number)
            entry = {"data": data, key: [row % num_classes for row in range(len(data))], "filenames": []}
            (folder / name).write_bytes(pickle.dumps(entry))
            lists[-1].append([name, md5(folder / name)])
            written.append(data)
    meta = folder / kind.meta["filename"]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: [f"class {c}" for c in range(num_classes)]}))
    monkeypatch.setattr(kind, "train_list", lists[0])
    monkeypatch.setattr(kind, "test_list", lists[1])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(meta)})
    return np.concatenate(written[:-1]).reshape(-1, 3, 32, 32)


def write_stl10(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """20 + 20 pictures and 30 without labels, stored column by column as STL-10 does. Returns train,
    `[20, 3, 96, 96]`."""
    folder = root / STL10.base_folder
    folder.mkdir(parents=True)
    images = random_images(20, 3, 96, 96)
    for split in ("train", "test"):
        images.transpose(0, 1, 3, 2).tofile(folder / f"{split}_X.bin")
        (np.arange(20, dtype=np.uint8) % 10 + 1).tofile(folder / f"{split}_y.bin")
    random_images(30, 3, 96, 96, seed=1).tofile(folder / "unlabeled_X.bin")
    (folder / "class_names.txt").write_text("\n".join(f"class {c}" for c in range(10)) + "\n")
    for attribute in ("train_list", "test_list"):
        names = [name for name, _ in getattr(STL10, attribute)]
        monkeypatch.setattr(STL10, attribute, [[name, md5(folder / name)] for name in names])
    return images


def write_svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """20 + 20 pictures, labels 1 to 10, where 10 means the digit 0. Returns train, `[20, 3, 32, 32]`."""
    root.mkdir(parents=True)
    images = random_images(20, 3, 32, 32)
    splits = dict(SVHN.split_list)
    for split in ("train", "test"):
        path = root / f"{split}_32x32.mat"
        labels = (np.arange(20) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": labels})
        splits[split] = [splits[split][0], path.name, md5(path)]
    monkeypatch.setattr(SVHN, "split_list", splits)
    return images


def write_celeba(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 faces: 6 train, 2 validation, 4 test."""
    folder = root / CelebA.base_folder
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, 13)]
    for name, image in zip(names, random_images(12, 218, 178, 3), strict=True):
        Image.fromarray(image).save(folder / "img_align_celeba" / name)
    partition = [0] * 6 + [1] * 2 + [2] * 4
    header = "12\n{}\n"
    texts: dict[str, tuple[str, Sequence[object]]] = {
        "list_eval_partition.txt": ("", partition),
        "identity_CelebA.txt": ("", [7] * 12),
        "list_bbox_celeba.txt": (header.format("image_id x_1 y_1 width height"), ["1 2  3 4"] * 12),
        "list_landmarks_align_celeba.txt": (header.format("lefteye_x lefteye_y"), ["69  109"] * 12),
        "list_attr_celeba.txt": (header.format("5_o_Clock_Shadow Arched_Eyebrows "), ["-1  1"] * 12),
    }
    for file, (head, values) in texts.items():
        lines = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
        (folder / file).write_text(head + "\n".join(lines) + "\n")
    sums = [(key, md5(folder / name) if name in texts else old, name) for key, old, name in CelebA.file_list]
    monkeypatch.setattr(CelebA, "file_list", sums)
