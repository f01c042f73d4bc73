"""The base of the configurations of all data sets, none of which may import torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from ndabench.config import Config

SplitName = Literal["train", "validation", "test"]


def _full(path: Path) -> Path:
    if path == Path():  # the empty text, too
        raise ValueError("must name a file or folder below the working folder, or elsewhere")
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"no user has the home folder {path.parts[0]}") from None


FullPath = Annotated[Path, AfterValidator(_full)]
"""A path with `~` filled in, absolute, because workers run in other folders."""


class DataSetConfig(Config):
    """The keys that every data set has."""

    name: str

    @property
    def title(self) -> str:
        """What records and reports call the data set."""
        return self.name
