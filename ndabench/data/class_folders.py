"""Files in class folders, `<split>/<class>/**`: which of them count, and which folder is which split.

Links are followed, but a link to a folder that it lies in is left out. Hidden names (`._1.png`,
`.ipynb_checkpoints`) and the folders that file servers and archives leave behind are skipped.
"""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ndabench.data.config import SplitName
from ndabench.errors import UserError, nearest

JUNK_FOLDERS = frozenset(
    {
        "@eadir",
        "__macosx",
        "__pycache__",
        "#recycle",
        "$recycle.bin",
        "lost+found",
        "system volume information",
    }
)
SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
"""In small letters; folders and files may have capitals."""
DEFAULT_TEST_FOLDER = "test"

Identity = tuple[int, int]
"""Device and inode, the same for a folder and for every link to it."""


class FileKind(NamedTuple):
    """The files that a data set reads."""

    noun: str
    suffixes: frozenset[str]
    """Of the files that are read, in small letters."""
    unreadable: frozenset[str] = frozenset()
    """Of files that are of this kind, too, but cannot be read; such a file is an error."""


def split_folders(path: Path, test_folder: str, kind: FileKind) -> dict[SplitName, Path]:
    """The folder of each split, whatever its capitals; empty where `path` is one pool of class folders.

    A folder named like a split is a class of a pool if it holds files itself, other classes lie next to it
    and they are not a train and a test folder. Raises `UserError` for two folders of one split, and for a
    train folder without a test folder or the reverse.
    """
    folders = class_folders(path)
    named: dict[SplitName, Path] = {}
    for folder in folders:
        if (split := _split_named(folder.name, test_folder)) is None:
            continue
        if split in named:
            raise UserError(
                f"{path}: {named[split].name} and {folder.name} both name the {split} split; rename one"
            )
        named[split] = folder
    if not named or ("train" in named and "test" in named):
        return named
    if len(named) < len(folders) and all(_is_class(folder, kind) for folder in named.values()):
        return {}
    if "train" in named:
        raise UserError(
            f"{path}: has a folder {named['train'].name} but no folder {test_folder} "
            f"(data.test_folder names the folder of the test {kind.noun}s)"
        )
    raise UserError(f"{path}: has a folder {_names(named.values())} but no folder train")


def read_as(path: Path, splits: Collection[Path]) -> tuple[str, ...]:
    """What deserves a note about the folders of `path`: in a pool, which is its own split, a class that is
    named like one; else folders that are not read."""
    folders = class_folders(path)
    if path in splits:
        classes = [folder for folder in folders if folder.name.casefold() in SPLIT_NAMES]
        return (f"read as a class, not as a split: {_names(classes)}",) if classes else ()
    unread = [folder for folder in folders if folder not in splits]
    return (f"folders that are not read: {_names(unread)}",) if unread else ()


def _split_named(name: str, test_folder: str) -> SplitName | None:
    if name.casefold() == test_folder.casefold():
        return "test"
    split = SPLIT_NAMES.get(name.casefold())
    return None if split == "test" and test_folder != DEFAULT_TEST_FOLDER else split


def _is_class(folder: Path, kind: FileKind) -> bool:
    entries = [entry for entry in _entries(folder) if not is_junk(entry.name)]
    holds_files = any(Path(entry.name).suffix.lower() in kind.suffixes for entry in entries)
    return holds_files and not any(entry.is_dir() for entry in entries)


def _names(folders: Collection[Path]) -> str:
    return ", ".join(folder.name for folder in folders)


def files_by_class(
    folder: Path, kind: FileKind, wanted: Collection[str] | None = None
) -> dict[str, list[Path]]:
    """The files to read below each class folder of `folder`, or below those `wanted`; all ascending.

    Raises `UserError` for a file of this kind that cannot be read.
    """
    folders = [entry for entry in class_folders(folder) if wanted is None or entry.name in wanted]
    return {entry.name: files_of(entry, kind) for entry in folders}


def training_classes(
    folder: Path, files: Mapping[str, Sequence[Path]], kind: FileKind, wanted: Collection[str] | None = None
) -> tuple[str, ...]:
    """The classes of the training `folder`, whose `files` are known.

    Raises `UserError` for a wanted class that has no folder and for a class without a file.
    """
    missing = sorted(set(wanted or ()) - set(files))
    if missing:
        known = [entry.name for entry in class_folders(folder)]
        raise UserError(f"{folder}: has no folder for the class {missing[0]!r}{nearest(missing[0], known)}")
    if not files:
        raise UserError(f"{folder}: has no class folders; {kind.noun}s belong in {folder}/<class>/")
    for name, found in files.items():
        if not found:
            formats = " ".join(sorted(suffix[1:] for suffix in kind.suffixes))
            raise UserError(
                f"{folder / name}: the class has no {kind.noun} to train on{_endings(folder / name)}; "
                f"remove the folder, or add {kind.noun}s ({formats})"
            )
    return tuple(files)


def labelled(
    folder: Path, files: Mapping[str, Sequence[Path]], class_names: Sequence[str]
) -> list[tuple[Path, int]]:
    """The `files` of a split with their labels, which are places in `class_names`; ascending.

    Raises `UserError` for a class that has files in this `folder` and none to train on.
    """
    labels = {name: label for label, name in enumerate(class_names)}
    for name, found in files.items():
        if found and name not in labels:
            raise UserError(
                f"{folder / name}: the class {name!r} is not among the {len(labels)} of the train folder"
                f"{nearest(name, labels)}"
            )
    return [(file, labels[name]) for name, found in files.items() for file in found]


def class_folders(folder: Path) -> list[Path]:
    """The folders in `folder`, or linked there, without junk and without links back to where it lies."""
    around = _around(folder) | {_identity(folder)}
    folders = [
        Path(entry.path) for entry in _entries(folder) if _is_folder(entry) and not is_junk(entry.name)
    ]
    return sorted(inner for inner in folders if _identity(inner) not in around)


def files_of(folder: Path, kind: FileKind) -> list[Path]:
    """The files to read below a folder, ascending; `UserError` for one of this kind that cannot be read."""
    return to_read(files_below(folder), kind)


def to_read(files: Sequence[Path], kind: FileKind) -> list[Path]:
    """The `files` of this kind; `UserError` for one that cannot be read."""
    for file in files:
        if file.suffix.lower() in kind.unreadable:
            raise UserError(
                f"{file}: {kind.noun}s that end in {file.suffix} cannot be read; convert or remove them"
            )
    return [file for file in files if file.suffix.lower() in kind.suffixes]


def files_below(folder: Path) -> list[Path]:
    """Every file below `folder` that is neither junk nor a pipe or device, through links, too; ascending.
    Links to missing files are among them."""
    found: list[Path] = []
    _collect(folder, _around(folder), found)
    return sorted(found)


def _collect(folder: Path, around: frozenset[Identity], found: list[Path]) -> None:
    identity = _identity(folder)
    if identity in around:  # a link to a folder that it lies in: its files are read where they are
        return
    for entry in _entries(folder):
        if is_junk(entry.name):
            continue
        if _is_folder(entry):
            _collect(Path(entry.path), around | {identity}, found)
        elif entry.is_file() or not Path(entry.path).exists():
            found.append(Path(entry.path))


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name belongs to a system or a tool, not to the data."""
    return name.startswith(".") or name.casefold() in JUNK_FOLDERS


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Raises `UserError` for a link to what may have been a folder and is gone."""
    path = Path(entry.path)
    if entry.is_symlink() and not path.suffix and not path.exists():
        raise UserError(f"{path}: is a link to {path.readlink()}, which is not there")
    return entry.is_dir()


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None


def _around(folder: Path) -> frozenset[Identity]:
    """The folders in which `folder` lies, by its name and by its place."""
    return frozenset(_identity(parent) for parent in {*folder.parents, *folder.resolve().parents})


def _identity(folder: Path) -> Identity:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _endings(folder: Path) -> str:
    """` (its 12 files end in .txt, .xml)`, the most frequent first."""
    endings = Counter(file.suffix.lower() or "no suffix" for file in files_below(folder))
    if not endings:
        return ""
    return f" (its {endings.total()} files end in {', '.join(name for name, _ in endings.most_common(3))})"
