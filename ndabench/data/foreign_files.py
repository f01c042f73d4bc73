"""What a file is that was taken for a picture and is none: its first bytes say so, whatever its name."""

from pathlib import Path
from typing import IO

BEGINNINGS = (
    (b"\xff\x0a", "a JPEG XL picture; convert it to PNG or JPEG"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture; convert it to PNG or JPEG"),
    (b"version https://git-lfs", "a pointer of Git LFS; `git lfs pull` fetches the file"),
    (b"%PDF", "a PDF document"),
    (b"<", "text in HTML, XML or SVG"),
    (b"PK\3\4", "a zip archive"),
    (b"\x1aE\xdf\xa3", "a video"),
)
BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "HEIC"
)
"""Of the container that these pictures share with MP4 videos, at its bytes 4 to 12."""


def what_it_is(file: Path | IO[bytes]) -> str:
    """The file's kind, with what to do about it, as the end of a sentence."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return what_it_is(opened)
    file.seek(0)
    head = file.read(64)
    if not head:
        return "an empty file"
    if head[4:8] == b"ftyp":
        brand = BRANDS.get(head[8:12])
        return f"a picture in {brand}; convert it to PNG or JPEG" if brand else "a video"
    known = (kind for beginning, kind in BEGINNINGS if head.lstrip().startswith(beginning))
    return next(known, "no picture in a format that Pillow knows")
