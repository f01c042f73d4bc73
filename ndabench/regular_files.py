"""Small files that a user names, read whole: a pipe or a device could block for ever or fill the memory."""

import stat
from pathlib import Path

from ndabench.errors import UserError


def require_regular(file: Path) -> None:
    """`UserError` for a file that is missing, and for a folder, a pipe or a device."""
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(mode):
        raise UserError(f"{file}: cannot be read (it is a folder, a pipe or a device)")


def read_bytes(file: Path, what: str, most_bytes: int) -> bytes:
    """The content of a regular file; `UserError` naming it for any other, and for one of more bytes than any
    `what`, such as a list of classes, has."""
    require_regular(file)
    try:
        with file.open("rb") as opened:
            content = opened.read(most_bytes + 1)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    if len(content) > most_bytes:
        raise UserError(f"{file}: is larger than {most_bytes >> 10:,} KiB, which no {what} is")
    return content


def read_text(file: Path, what: str, most_bytes: int) -> str:
    """`read_bytes` as text in UTF-8, without a byte order mark; `UserError` for anything else."""
    try:
        return read_bytes(file, what, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{file}: not a text file in UTF-8") from None
