"""Test pictures with what a detector found in them, as one PNG file."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ndabench.data.detection.scenes import Scene
from ndabench.metrics.detection.average_precision import Detections

COLUMNS = 4
SIDE = 320
"""Pixels of a picture's longer side on the sheet: labels must be legible even on small pictures."""
GAP = 8
FONT_SIZE = 13
TRUE_COLOUR = "#56b4e9"
FOUND_COLOUR = "#e69f00"
"""Distinguishable with any kind of colour vision (Okabe and Ito)."""
CONFIDENT = 0.5


def detection_sheet(
    scenes: Sequence[Scene], found: Sequence[Detections], class_names: Sequence[str]
) -> bytes:
    """A PNG file of `scenes` with true boxes, boxes found with a score above `CONFIDENT`, and a key."""
    tiles = [_tile(scene, one, class_names) for scene, one in zip(scenes, found, strict=True)]
    columns, rows = min(COLUMNS, len(tiles)), -(-len(tiles) // COLUMNS)
    key_height = FONT_SIZE + 2 * GAP
    width, height = columns * (SIDE + GAP) + GAP, rows * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (width, height + key_height), "white")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        sheet.paste(tile, (GAP + column * (SIDE + GAP), GAP + row * (SIDE + GAP)))
    _key(ImageDraw.Draw(sheet), height)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _tile(scene: Scene, found: Detections, class_names: Sequence[str]) -> Image.Image:
    picture = Image.fromarray(scene.image.permute(1, 2, 0).contiguous().numpy())
    scale = SIDE / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    tile = picture.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(tile)
    for label, box in zip(scene.labels.tolist(), (scene.boxes * scale).tolist(), strict=True):
        draw.rectangle(box, outline=TRUE_COLOUR, width=3)
        _text(draw, (box[0] + 2, box[3] - FONT_SIZE - 5), class_names[label], TRUE_COLOUR, size)
    boxes, scores, labels = (found.boxes * scale).tolist(), found.scores.tolist(), found.labels.tolist()
    for box, score, label in zip(boxes, scores, labels, strict=True):
        if score > CONFIDENT:
            draw.rectangle(box, outline=FOUND_COLOUR, width=2)
            _text(draw, (box[0], box[1]), f"{class_names[label]} {score:.2f}", FOUND_COLOUR, size)
    return tile


def _text(
    draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, colour: str, size: tuple[int, int]
) -> None:
    """Writes black text on the box's colour, moved inside the picture where it would stick out."""
    font = ImageFont.load_default(FONT_SIZE)
    _, _, right, bottom = draw.textbbox((0, 0), text, font=font)
    x = max(0.0, min(corner[0], size[0] - right - 4))
    y = max(0.0, min(corner[1], size[1] - bottom - 4))
    draw.rectangle((x, y, x + right + 3, y + bottom + 3), fill=colour)
    draw.text((x + 2, y + 1), text, fill="black", font=font)


def _key(draw: ImageDraw.ImageDraw, top: int) -> None:
    font = ImageFont.load_default(FONT_SIZE)
    x = float(GAP)
    for colour, meaning in ((TRUE_COLOUR, "true"), (FOUND_COLOUR, f"found, score > {CONFIDENT}")):
        draw.rectangle((x, top + GAP, x + FONT_SIZE, top + GAP + FONT_SIZE), fill=colour)
        draw.text((x + FONT_SIZE + 5, top + GAP), meaning, fill="black", font=font)
        x += FONT_SIZE + 5 + draw.textlength(meaning, font=font) + 3 * GAP
