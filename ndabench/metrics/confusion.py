"""Which classes are taken for which: counts, as numbers and as a picture for people to look at."""

import io
import json
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

LARGEST_CELL, SMALLEST_CELL = 52, 12
MATRIX_SIDE = 1000
"""Pixels that the cells share out among them, as far as their bounds allow."""
COUNTED_CELL = 28
"""From this side on there is room for a number in a cell."""
LARGEST_FONT = 14
LONGEST_NAME = 28
BAR = 120
"""Width of the bar of 100 percent."""
GAP = 8
RIGHT, WRONG = (0, 114, 178), (213, 94, 0)
"""Told apart with any kind of colour vision (Okabe and Ito)."""
DARK = 0.75
"""From this strength on numbers are white."""
FAINTEST = 0.15
"""Strength of the colour of a cell that is hardly above 0."""


def confusion_counts(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """int64 `[k, k]` on the CPU: how often the class of the row was taken for that of the column."""
    places = labels.cpu() * num_classes + predicted.cpu()
    return places.bincount(minlength=num_classes**2).view(num_classes, num_classes)


def class_accuracies(counts: Tensor) -> list[float | None]:
    """Percent of each class's examples that were recognised; None for a class without any."""
    rows = zip(counts.diag().tolist(), counts.sum(1).tolist(), strict=True)
    return [100.0 * right / total if total else None for right, total in rows]


def confusion_json(counts: Tensor, class_names: Sequence[str]) -> bytes:
    """The counts (rows: true, columns: predicted) and each class's accuracy in percent, as a JSON file."""
    content = {
        "rows": "true class",
        "columns": "predicted class",
        "class_names": list(class_names),
        "class_accuracies": class_accuracies(counts),
        "counts": counts.tolist(),
    }
    return json.dumps(content).encode()


def confusion_picture(counts: Tensor, class_names: Sequence[str]) -> bytes:
    """The PNG file: a row a true class, a column a predicted one, the share of the row as the colour's
    strength, and at the right each class's accuracy."""
    num = len(class_names)
    cell = max(SMALLEST_CELL, min(LARGEST_CELL, MATRIX_SIDE // num))
    font = ImageFont.load_default(min(LARGEST_FONT, cell - 2))
    names = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in class_names]
    margin = GAP + max(round(font.getlength(name)) for name in [*names, "true \\ predicted"]) + GAP
    left, top, side = margin, margin, cell * num
    percent_width = round(font.getlength("100 %"))
    picture = Image.new(
        "RGB", (left + side + GAP + BAR + GAP + percent_width + GAP, top + side + GAP), "white"
    )
    draw = ImageDraw.Draw(picture)
    draw.text((left - GAP, top - GAP), "true \\ predicted", fill="black", font=font, anchor="rs")
    draw.text((left + side + GAP, top - GAP), "recognised", fill="black", font=font, anchor="ls")
    _column_names(picture, names, font, left, top, cell)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    for row, accuracy in enumerate(class_accuracies(counts)):
        middle = top + row * cell + cell // 2
        draw.text((left - GAP, middle), names[row], fill="black", font=font, anchor="rm")
        for column in range(num):
            corner = (left + column * cell, top + row * cell)
            share, count = float(shares[row, column]), int(counts[row, column])
            _cell(draw, corner, cell, share, count, RIGHT if row == column else WRONG, font)
        if accuracy is not None:
            bar = left + side + GAP
            length = round(BAR * accuracy / 100)
            draw.rectangle((bar, middle - cell // 4, bar + length, middle + cell // 4), fill=RIGHT)
            at = (bar + BAR + GAP, middle)
            draw.text(at, f"{accuracy:.0f} %", fill="black", font=font, anchor="lm")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _cell(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    side: int,
    share: float,
    count: int,
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    x, y = corner
    strength = FAINTEST + (1 - FAINTEST) * share if count else 0.0
    fill = tuple(round(255 + (level - 255) * strength) for level in colour)
    draw.rectangle((x, y, x + side - 1, y + side - 1), fill=fill, outline="#dddddd")
    if count and side >= COUNTED_CELL:
        shade = "white" if strength > DARK else "black"
        draw.text((x + side / 2, y + side / 2), str(count), fill=shade, font=font, anchor="mm")


def _column_names(
    picture: Image.Image,
    names: Sequence[str],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    left: int,
    top: int,
    cell: int,
) -> None:
    """From below to above over each column."""
    for column, name in enumerate(names):
        strip = Image.new("RGB", (top - 2 * GAP, cell), "white")
        ImageDraw.Draw(strip).text((0, cell // 2), name, fill="black", font=font, anchor="lm")
        picture.paste(strip.transpose(Image.Transpose.ROTATE_90), (left + column * cell, GAP))
