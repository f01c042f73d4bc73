"""Pictures of every kind are read as they are meant, or refused by name."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from ndabench.data.source import FilePictures, Pixels, read_pixels
from ndabench.errors import UserError
from tests.data import image_layouts as layouts

COLOURED = layouts.random_images(1, 12, 20, 3)[0]
GREY = layouts.random_images(1, 12, 20)[0]
SMOOTH = np.stack(np.meshgrid(np.arange(0, 160, 8), np.arange(0, 96, 8)), -1).astype(np.uint8)
SMOOTH = np.concatenate([SMOOTH, 255 - SMOOTH[..., :1]], -1)
"""`[12, 20, 3]`, which JPEG keeps within a few levels."""


def read(path: Path, channels: int = 3, **keys: Any) -> Pixels:
    return read_pixels(FilePictures([path], np.zeros(1, np.int64)), 0, None, channels, **keys)


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


def write(path: Path, pixels: np.ndarray, mode: str | None = None, **keys: Any) -> Path:
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **keys)
    return path


def transparent(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels, np.zeros_like(pixels[..., :1])], -1)


@pytest.mark.parametrize(
    ("name", "pixels", "mode", "expected"),
    [
        ("grey.png", GREY, None, np.stack([GREY] * 3, -1)),
        ("grey and transparent.png", GREY, "LA", np.stack([GREY] * 3, -1)),
        ("transparent.png", transparent(COLOURED), None, COLOURED),
        ("transparent.tif", transparent(COLOURED), None, COLOURED),
        ("palette.png", GREY, "P", np.stack([GREY] * 3, -1)),
        ("one frame.gif", GREY, "P", np.stack([GREY] * 3, -1)),
        ("two levels.png", (GREY > 99).astype(np.uint8) * 255, "1", np.stack([(GREY > 99) * 255] * 3, -1)),
        ("a.webp", COLOURED, None, COLOURED),
        ("a.bmp", COLOURED, None, COLOURED),
        ("a.jp2", COLOURED, None, COLOURED),
        ("cmyk.tif", COLOURED, "CMYK", COLOURED),
    ],
)
def test_kinds_that_are_read_exactly(
    name: str, pixels: np.ndarray, mode: str | None, expected: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / name, pixels, mode, **({"lossless": True} if name.endswith("webp") else {}))
    np.testing.assert_array_equal(read(path), expected.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_jpeg_in_the_colours_of_screens_and_of_print(mode: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jfif", SMOOTH, mode, format="JPEG", quality=100, subsampling=0)
    assert np.abs(read(path).astype(int) - SMOOTH.transpose(2, 0, 1)).max() <= 4


def test_colours_of_sixteen_bits_lose_their_lower_byte(tmp_path: Path) -> None:
    """Written by hand, since Pillow cannot."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    deep = (COLOURED.astype(np.uint16) * 256 + 77).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in deep)
    header = struct.pack(">IIBBBBB", 20, 12, 16, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    np.testing.assert_array_equal(read(tmp_path / "a.png"), COLOURED.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("name", "pixels", "mode"),
    [
        ("16.png", GREY.astype(np.uint16), "I;16"),
        ("16.tif", GREY.astype(np.uint16), "I;16"),
        ("32.tif", GREY.astype(np.float32), "F"),
    ],
)
def test_grey_levels_of_more_than_eight_bits_are_refused(
    name: str, pixels: np.ndarray, mode: str, tmp_path: Path
) -> None:
    line = refused(write(tmp_path / name, pixels))
    assert f"its pixels are {mode!r}, not 8 bits a channel; convert it" in line


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("phone.jpg", b"\0\0\0\x18ftypheic" + bytes(99), "a picture in HEIC; convert it to PNG or JPEG"),
        ("burst.png", b"\0\0\0\x18ftypmsf1" + bytes(99), "a picture in HEIC; convert it to PNG or JPEG"),
        ("a.png", b"\xff\x0a" + bytes(99), "a JPEG XL picture; convert it to PNG or JPEG"),
        ("clip.gif", b"\0\0\0\x18ftypmp42" + bytes(99), "a video"),
        ("clip.webp", b"\x1aE\xdf\xa3" + bytes(99), "a video"),
        ("404.jpg", b"\n<!DOCTYPE html><html>", "text in HTML, XML or SVG"),
        ("lfs.png", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS; `git lfs pull`"),
        ("a.jpg", b"%PDF-1.4", "a PDF document"),
        ("b.jpg", b"PK\3\4", "a zip archive"),
        ("c.jpg", b"", "an empty file"),
        ("d.jpg", b"abc", "no picture in a format that Pillow knows"),
    ],
)
def test_what_is_no_picture_is_named_whatever_its_name(
    name: str, content: bytes, kind: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name}: the image cannot be read (it is {kind}" in refused(tmp_path / name)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avif", SMOOTH, quality=100, subsampling="4:4:4")
    assert np.abs(read(path).astype(int) - SMOOTH.transpose(2, 0, 1)).max() <= 8


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_animations_and_pages_are_refused(suffix: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(pixels) for pixels in layouts.random_images(3, 12, 20, 3)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert "the image cannot be read (it holds 3 frames, not one picture)" in refused(
        tmp_path / f"a.{suffix}"
    )


def test_a_photograph_with_previews_in_the_format_of_cameras(tmp_path: Path) -> None:
    """Phones write such files as .jpg; the first picture is the photograph."""
    photograph, preview = Image.fromarray(SMOOTH), Image.fromarray(COLOURED)
    photograph.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview], quality=100)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.format == "MPO"
    assert np.abs(read(tmp_path / "a.jpg").astype(int) - SMOOTH.transpose(2, 0, 1)).max() <= 12


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}
"""By the EXIF standard: 6 means that the stored rows run down the right side, 8 up the left side."""


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_pictures_come_upright(orientation: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    keys: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    path = write(tmp_path / f"a.{suffix}", COLOURED, exif=exif, **keys)
    np.testing.assert_array_equal(read(path), UPRIGHT[orientation](COLOURED).transpose(2, 0, 1))
    grey = write(tmp_path / f"grey.{suffix}", np.stack([GREY] * 3, -1), exif=exif, **keys)
    np.testing.assert_array_equal(read(grey, channels=1)[0], UPRIGHT[orientation](GREY))


def test_a_rotated_photograph_as_a_phone_writes_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    path = write(tmp_path / "a.jpg", SMOOTH, exif=exif, quality=100, subsampling=0)
    upright = np.rot90(SMOOTH, -1).transpose(2, 0, 1)
    assert np.abs(read(path).astype(int) - upright).max() <= 4
    assert read(path, upright=False).shape == (3, 12, 20)


def test_a_damaged_exif_block_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", SMOOTH, quality=100, subsampling=0, exif=b"Exif\0\0nothing of the kind")
    assert np.abs(read(path).astype(int) - SMOOTH.transpose(2, 0, 1)).max() <= 4


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns, too
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp", "a.ppm"])
def test_pictures_that_are_cut_off_are_refused(name: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(COLOURED).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(name[2:], name[2:].upper()))
    content = buffer.getvalue()
    for share in (0.0, 0.02, 0.1, 0.5, 0.9):
        (tmp_path / name).write_bytes(content[: int(len(content) * share)])
        refused(tmp_path / name)
