"""`python -m ndabench.preview`: a PNG sheet of a data set's images, a row for each negative."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ndabench.command_line import SET, run

if TYPE_CHECKING:
    import torch
    from PIL import Image


def preview(
    file: Annotated[Path, typer.Argument(help="The sweep file whose data to show.")] = Path(
        "sweeps/quickstart.yaml"
    ),
    set_: Annotated[list[str] | None, SET] = None,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("preview.png"),
    images: Annotated[int, typer.Option(min=2, max=64, help="Images in a row.")] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write a PNG sheet of a data set's images beside every negative of each."""
    import torch

    from ndabench.augmentations import NEGATIVES, RELEASED
    from ndabench.errors import UserError
    from ndabench.sweepfile import read_sweep
    from ndabench.tasks.registry import load_data

    data = load_data(read_sweep(file, set_ or []).data, torch.device("cpu"))
    real, _ = next(iter(data.train.batches([torch.arange(images)])))
    rows = {"real": real}
    for title, registry in (("{}", NEGATIVES), ("{} (released)", RELEASED)):
        for name, negative in registry.items():
            try:
                rows[title.format(name)] = negative(real, generator=torch.Generator().manual_seed(seed))
            except UserError as error:
                print(f"left out: {error}")
    try:
        out.write_bytes(sheet(rows))
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from None
    print(f"{out}: {images} images of {data.name}, {len(rows) - 1} negatives of each")


def sheet(rows: "dict[str, torch.Tensor]", cell: int = 64) -> bytes:
    """A PNG with a labelled row for each entry, uint8 `[N, C, H, W]` all alike; cells `cell` px high."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    margin = 12 + max(int(font.getlength(name)) for name in rows)
    pictures = {name: [_picture(image, cell) for image in images] for name, images in rows.items()}
    width = pictures[next(iter(rows))][0].width
    count = len(next(iter(rows.values())))
    canvas = Image.new("RGB", (margin + count * (width + 2), len(rows) * (cell + 2)), "white")
    draw = ImageDraw.Draw(canvas)
    for y, (name, row) in enumerate(pictures.items()):
        draw.text((6, y * (cell + 2) + cell // 2), name, fill="black", font=font, anchor="lm")
        for x, picture in enumerate(row):
            canvas.paste(picture, (margin + x * (width + 2), y * (cell + 2)))
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG")
    return buffer.getvalue()


def _picture(image: "torch.Tensor", height: int) -> "Image.Image":
    from PIL import Image

    array = image.permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).convert("RGB")
    return picture.resize((height * picture.width // picture.height, height), Image.Resampling.NEAREST)


if __name__ == "__main__":
    run(preview)
