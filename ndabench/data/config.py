"""The base of the configurations of all data sets, none of which may import torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from ndabench.config import Config

SplitName = Literal["train", "validation", "test"]

FullPath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""A path with `~` filled in, absolute, because workers run in other folders."""


class DataSetConfig(Config):
    """The keys that every data set has."""

    name: str

    @property
    def title(self) -> str:
        """What records and reports call the data set."""
        return self.name
