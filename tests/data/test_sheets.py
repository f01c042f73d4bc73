"""Film strips: which clips and frames are shown, and where they stand."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from ndabench.data.sheets import comparison_sheet, film_strips, sheet


def _clips(num: int, frames: int, first: int = 0) -> torch.Tensor:
    """Clips `[num, 3, frames, 2, 4]` of one grey a frame: 20 steps a clip, one a frame."""
    greys = first + 20 * torch.arange(num)[:, None] + torch.arange(frames)
    return greys.to(torch.uint8)[:, None, :, None, None].expand(-1, 3, -1, 2, 4)


def _greys(png: bytes) -> list[list[int]]:
    """The grey of each cell of a sheet of 2 × 4 pictures, row by row."""
    pixels = np.array(Image.open(io.BytesIO(png)))
    return pixels[1::3, 1::5, 0][: pixels.shape[0] // 3].tolist()


def test_a_clip_is_a_row_of_frames_above_what_became_of_it() -> None:
    png = film_strips(_clips(2, 4), _clips(2, 4, first=100))
    rows = [[0, 1, 2, 3], [100, 101, 102, 103], [20, 21, 22, 23], [120, 121, 122, 123]]
    assert _greys(png) == rows
    assert Image.open(io.BytesIO(png)).size == (4 * 5 + 1, 4 * 3 + 1)


def test_long_clips_are_shown_from_first_to_last_frame_in_even_steps() -> None:
    assert _greys(film_strips(_clips(1, 15))) == [[0, 2, 4, 6, 8, 10, 12, 14]]


def test_four_clips_are_shown() -> None:
    assert [row[0] for row in _greys(film_strips(_clips(6, 1)))] == [0, 20, 40, 60]


def test_versions_of_other_lengths_are_below_each_other() -> None:
    assert _greys(film_strips(_clips(1, 5), _clips(1, 3, first=100))) == [[0, 2, 4], [100, 101, 102]]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_comparison_of_clips_is_one_of_strips(channels: int) -> None:
    clips = _clips(2, 3)[:, :channels]
    assert comparison_sheet(clips, 100 + clips) == film_strips(clips, 100 + clips)


def test_a_comparison_of_images_has_them_in_rows_of_eight() -> None:
    images = torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 4)
    assert comparison_sheet(images, 100 + images) == sheet(torch.cat([images, 100 + images]))
