"""The text files in which data sets list classes, pictures and videos, one a line."""

from pathlib import Path

from ndabench.regular_files import read_text

LARGEST_LIST = 2**26
"""Bytes; a list of ImageNet's training images has half of it."""


def read_lines(file: Path, what: str) -> list[tuple[str, str]]:
    """The lines of a list that are not blank, stripped, each with `file:number` for errors.

    `UserError` for what is no regular file of text; `what` is listed, as in "list of classes".
    """
    lines = enumerate(read_text(file, what, LARGEST_LIST).splitlines(), 1)
    return [(f"{file}:{number}", line.strip()) for number, line in lines if line.strip()]
