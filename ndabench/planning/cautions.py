"""What may be a mistake in a sweep file, one line each. A caution stops nothing."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ndabench.planning.sweep_file import SweepConfig
from ndabench.tasks.registry import evaluations_of


def cautions(config: SweepConfig, results: str) -> list[str]:
    """Those of the task, of the file, of the files that it names, and of the folder `results`."""
    return [*config.cautions, *_nothing_measured(config), *_unreadable(config), *_unwritable(results)]


def _nothing_measured(config: SweepConfig) -> Iterator[str]:
    if not config.evaluate:
        usual = next(iter(evaluations_of(config.task)))
        yield (
            "nothing is measured, so there will be nothing to compare; "
            f"add an evaluation, e.g. evaluate: [{usual}]"
        )


def _unreadable(config: SweepConfig) -> Iterator[str]:
    for key, path in dict.fromkeys(_paths(config)):
        if not path.exists():
            yield f"{key}: {path} does not exist on this machine"
        elif not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
            yield f"{key}: {path} cannot be read by this user"


def _unwritable(results: str) -> Iterator[str]:
    if "://" in results:
        return
    folder = Path(results).absolute()
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        yield f"--out: nothing can be written into {nearest}"


def _paths(value: Any, key: str = "") -> Iterator[tuple[str, Path]]:
    """Every file or folder that the configuration names, with its key, such as `evaluate.fd.weights`."""
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name), f"{key}.{name}".lstrip("."))
    elif is_dataclass(value):  # a negative, whose parts are no keys of the file
        for part in fields(value):
            yield from _paths(getattr(value, part.name), key)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _paths(one, f"{key}.{name}")
    elif isinstance(value, tuple | list):
        for index, one in enumerate(value):
            yield from _paths(one, f"{key}.{getattr(one, 'name', index)}")
