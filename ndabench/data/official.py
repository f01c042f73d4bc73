"""Data sets in the form in which their authors publish them, read with torchvision.

Nothing is downloaded unless the configuration says `download: true`. torchvision checks the files' MD5 sums
but only says "not found or corrupted"; the errors here name the damaged file.
"""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock

from ndabench.data.config import FullPath
from ndabench.data.source import ImageConfig, Source
from ndabench.errors import UserError


class OfficialConfig(ImageConfig):
    """What the torchvision sets share: `path` is the folder that torchvision calls `root`."""

    torchvision_name: ClassVar[str]

    path: FullPath = Path("~/data")
    download: bool = False
    """Fetch missing files from the authors' site (once, even if several processes start together)."""

    @property
    def torchvision_class(self) -> Any:
        """torchvision's class of this data set."""
        from torchvision import datasets  # late: importing it takes two seconds and brings torch

        return getattr(datasets, self.torchvision_name)

    @abstractmethod
    def official_files(self) -> Sequence[tuple[str, str | None]]:
        """Paths below `path` with their MD5 sums (None: not checked, or a folder)."""

    @abstractmethod
    def torchvision_set(self, split: str, *, download: bool) -> Any:
        """torchvision's data set of `split` ("train", "test", ...)."""

    @abstractmethod
    def open_checked(self) -> Source:
        """The source, by `torchvision_set`; may raise any error that torchvision raises for damaged files."""

    def files(self) -> Sequence[Path]:
        if self._missing() and self.download:
            self._fetch()
        if missing := self._missing():
            hint = "" if self.download else "; `download: true` would fetch it"
            more = f" (and {len(missing) - 1} more of its files)" if len(missing) > 1 else ""
            raise UserError(f"{self.name}: {missing[0]} is missing{more}{hint}")
        return [self.path / file for file, _ in self.official_files()]

    def open(self) -> Source:
        try:
            with warnings.catch_warnings():
                # The pickles of 2009 describe their dtypes in a way that numpy >= 2.4 warns of.
                warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
                return self.open_checked()
        except UserError:
            raise
        except Exception as error:  # unpickling or parsing a damaged file can raise anything
            from torchvision.datasets.utils import check_integrity  # late: as above

            for file, md5 in self.official_files():
                if md5 is not None and not check_integrity(str(self.path / file), md5):
                    raise UserError(
                        f"{self.path / file}: damaged or not the official file (its MD5 sum is not {md5}); "
                        "delete it and fetch it again"
                    ) from None
            raise UserError(f"{self.name} in {self.path} cannot be read: {_line(error)}") from error

    def _missing(self) -> list[Path]:
        return [self.path / file for file, _ in self.official_files() if not (self.path / file).exists()]

    def _fetch(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / f".{self.name}.lock"):
                if self._missing():
                    for split in ("train", "test"):
                        self.torchvision_set(split, download=True)
        except Exception as error:  # no network, no space, no gdown, a moved address
            raise UserError(f"{self.name} cannot be downloaded to {self.path}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
