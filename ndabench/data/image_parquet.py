"""Image sets in the Parquet layout that data set hubs serve.

A folder of `train-*.parquet`, `test-*.parquet` and perhaps `validation-*.parquet`, each with an image column
(`struct<bytes, path>`, or the encoded bytes themselves) and an integer label column; the schema's
`huggingface` metadata holds the class names.
"""

from pathlib import Path
from typing import Literal

from ndabench.data.config import FullPath, SplitName
from ndabench.data.parquet_folder import split_files
from ndabench.data.source import ImageConfig, Source
from ndabench.errors import UserError


class ImageParquetConfig(ImageConfig):
    """A folder of split files, or one Parquet file, of which a fixed fifth is the test split.

    The encoded bytes of the whole set are in memory while it is read (a streamed set: all the time).
    """

    name: Literal["image_parquet"] = "image_parquet"
    path: FullPath
    image_column: str | None = None
    """Default: the first existing one of `img`, `image`."""
    label_column: str | None = None
    """Default: the first existing one of `label`, `labels`, `fine_label`."""

    @property
    def title(self) -> str:
        return f"{self.name}:{self.path.name.removesuffix('.parquet')}"

    def files(self) -> list[Path]:
        return [file for files in self._split_files()[0].values() for file in files]

    def open(self) -> Source:
        try:
            from ndabench.data.parquet_pictures import open_parquet  # late: other sets need no pyarrow
        except ImportError as error:
            raise UserError(f"{self.name} cannot be read without pyarrow ({error})") from None
        files, notes = self._split_files()
        return open_parquet(files, self.image_column, self.label_column, notes=notes)

    def _split_files(self) -> tuple[dict[SplitName, list[Path]], tuple[str, ...]]:
        """The files of each split, and notes about files that are in none."""
        if self.path.is_file():
            return {"train": [self.path]}, ()
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such file or folder (data.path of an image_parquet)")
        return split_files(self.path)
