"""Which Parquet files of a folder make up which split, and whether they are all there, each once.

Two layouts are read: `train-00000-of-00002.parquet` next to the files of the other splits, and a folder for
each split, `train/0000.parquet`. Hubs keep the configurations of a set in sibling folders: one of them is
read.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ndabench.data.class_folders import SPLIT_NAMES, files_below
from ndabench.data.config import SplitName
from ndabench.errors import UserError

PART = re.compile(r"(?P<before>.*?)(?P<number>\d+)-of-(?P<count>\d+)(?:-[0-9a-f]{8,})?")
"""`train-00001-of-00003`, also with the hash that a hub appends."""
NUMBERED = re.compile(r"\d{4,}")
"""`0001`, in the folder of a split."""
COPY = re.compile(r".*(?: \(\d+\)|[ _-]+copy(?: ?\(?\d+\)?)?)", re.IGNORECASE)
"""What browsers and file managers call a second copy: `train-0 (1)`, `train-0 - Copy`, `train-0 copy 2`."""


class Found(NamedTuple):
    """A file of a split."""

    file: Path
    configuration: Path
    """The folder with the files, or the folders, of all splits."""


def split_files(folder: Path) -> tuple[dict[SplitName, list[Path]], tuple[str, ...]]:
    """The files of each split, ascending, and a note about files that belong to none.

    Raises `UserError` for a missing part, a second copy of a file, several configurations, and a missing
    split.
    """
    found: dict[SplitName, list[Found]] = defaultdict(list)
    unread = []
    for file in (file for file in files_below(folder) if file.suffix.lower() == ".parquet"):
        for name, configuration in _readings(file, folder):
            if split := _split_named(name):
                found[split].append(Found(file, configuration))
                break
        else:
            unread.append(file)
    for split in ("train", "test"):
        if split not in found:
            raise UserError(f"{folder}: holds no {split}-*.parquet file")
    _require_one_configuration(folder, found)
    for files in found.values():
        _require_all_parts_once([one.file for one in files])
    ordered = {split: [one.file for one in found[split]] for split in SPLIT_NAMES.values() if split in found}
    return ordered, (_not_read(unread),) if unread else ()


def _readings(file: Path, folder: Path) -> tuple[tuple[str, Path], ...]:
    """The names that may say a file's split, each with the configuration that the file then belongs to."""
    parent = file.parent
    in_folder_of_split = parent != folder and _split_named(parent.name) == _split_named(file.name)
    return (
        (file.name, parent.parent if in_folder_of_split else parent),
        (parent.name, parent.parent),
    )


def _split_named(name: str) -> SplitName | None:
    prefix = re.match("[a-z]*", name.lower())
    return SPLIT_NAMES.get(prefix[0]) if prefix else None


def _require_one_configuration(folder: Path, found: Mapping[SplitName, Sequence[Found]]) -> None:
    configurations = sorted({one.configuration for files in found.values() for one in files})
    if len(configurations) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in configurations)
        raise UserError(
            f"{folder}: holds the files of {len(configurations)} configurations ({names}); "
            "set path to one of them"
        )
    for split, files in found.items():
        parents = sorted({one.file.parent for one in files})
        if len(parents) > 1:
            places = " and ".join(str(parent) for parent in parents)
            raise UserError(f"{folder}: files of the {split} split lie in {places}; keep those of one folder")


def _require_all_parts_once(files: Sequence[Path]) -> None:
    """`UserError` for a second copy, and where the files' numbers have a gap or fall short of their count."""
    parts: dict[str, dict[int, Path]] = defaultdict(dict)
    for file in files:
        if COPY.fullmatch(file.stem):
            raise UserError(
                f"{file}: looks like a second copy of a file; remove it, or rename it if it is not"
            )
        if part := PART.fullmatch(file.stem):
            same, number = parts[part["before"]], int(part["number"])
            if number in same:
                raise UserError(f"{file}: is the same part as {same[number].name}; keep one of them")
            same[number] = file
    for same in parts.values():
        _require_the_stated_count(same)
    _require_no_gap(sorted(file for file in files if NUMBERED.fullmatch(file.stem)))


def _require_the_stated_count(parts: Mapping[int, Path]) -> None:
    counts = {number: int(_part(file)["count"]) for number, file in parts.items()}
    count = next(iter(counts.values()))
    for number, other in counts.items():
        if other != count:
            raise UserError(
                f"{parts[number]}: is one of {other} parts, but others here are of {count}; "
                "keep those of one set"
            )
    if len(parts) >= count:
        return
    first = 0 if 0 in parts or count not in parts else 1
    missing = next(number for number in range(first, first + count) if number not in parts)
    example = next(iter(parts.values()))
    part = _part(example)
    widths = len(part["number"]), len(part["count"])
    name = f"{part['before']}{missing:0{widths[0]}}-of-{count:0{widths[1]}}.parquet"
    raise UserError(f"{example.parent}: {name} is missing{_and_more(count - len(parts) - 1)}")


def _require_no_gap(files: Sequence[Path]) -> None:
    for number, file in enumerate(files):
        if int(files[0].stem) == 0 and int(file.stem) != number:
            name = f"{number:0{len(file.stem)}}.parquet"
            raise UserError(f"{file.parent}: {name} is missing")


def _part(file: Path) -> "re.Match[str]":
    part = PART.fullmatch(file.stem)
    assert part is not None  # it was matched before
    return part


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""


def _not_read(files: Sequence[Path]) -> str:
    names = ", ".join(file.name for file in files[:3])
    return f"Parquet files of no split, which are not read: {names}{_and_more(len(files) - 3)}"
