"""Pictures of the trials, inlined: samples, negatives and views as files; the report draws the matrices."""

import re
import struct
from typing import Any

import pandas as pd

from ndabench.records import RecordStore
from ndabench.reporting.anomaly import draw_scores, read_scores
from ndabench.reporting.comparison import Comparison, leading
from ndabench.reporting.confusion import draw_confusion, read_confusion
from ndabench.reporting.counts import draw_counts, read_counts
from ndabench.reporting.formatting import count
from ndabench.reporting.frames import Frames
from ndabench.reporting.specs import Sheet, SheetSpec, Size

TITLES = {
    "samples": "Generated samples",
    "neighbours": "Test images and their nearest training images",
    "detections": "Detections",
    "negatives": "Negatives, as training sees them",
    "views": "Views",
    "contours": "The discriminator over training, warm where it sees data, with points",
    "counts": "Numbers of objects in generated and in real images",
    "anomaly": "Anomaly scores of the test images and of the outliers",
    "outliers": "Outliers that look most like the data set, a set in each row",
    "confusion_dpc_finetune": "Confusion matrix, after fine-tuning",
    "confusion_linear_probe": "Confusion matrix, by the linear probe",
}
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_SMALL, LARGEST_HALF = 480, 1200
"""Pixels; wider pictures take half of the page, or all of it, so that their detail is readable."""
MOST_MORE = 60
"""Pictures inlined behind a button, per kind; for more, the report says where the rest is."""


def sheet_specs(store: RecordStore, frames: Frames, comparisons: list[Comparison]) -> list[SheetSpec]:
    """One for each kind of picture, from the last step at which a trial made one.

    Each arm shows one seed at its setting with the best mean; the other trials follow behind a button.
    """
    suffix = frames.artifacts["path"].str.lower().str.extract(r"\.(json|png)$")[0]
    pictures = frames.artifacts[suffix.notna()].assign(suffix=suffix).sort_values("suffix", kind="stable")
    last = pictures.groupby(["trial_id", "kind"])["step"].transform("max")
    pictures = pictures[pictures["step"] == last]
    # Records of schema 1 have a confusion matrix both as counts and as a picture: the counts are drawn.
    pictures = pictures.drop_duplicates(["trial_id", "kind"]).sort_index()
    leaders = [frames.settings.index(setting) for setting in leading(comparisons)]
    present = set(pictures["kind"])
    titles = {kind: title for kind, title in _titles(frames).items() if kind in present}
    titles |= {kind: re.sub("[_-]", " ", kind).capitalize() for kind in sorted(present - set(titles))}
    specs = [
        _sheet_spec(store, frames, pictures[pictures["kind"] == kind], kind, title, leaders)
        for kind, title in titles.items()
    ]
    return [spec for spec in specs if spec.sheets]


def _titles(frames: Frames) -> dict[str, str]:
    """The titles of the kinds that ndabench makes, also with each label that `as` gave to an evaluation."""
    labels = sorted(set(frames.metrics["label"]) - {""})
    labelled = {f"{kind}_{label}": f"{title} ({label})" for kind, title in TITLES.items() for label in labels}
    return TITLES | labelled


def _sheet_spec(
    store: RecordStore, frames: Frames, pictures: pd.DataFrame, kind: str, title: str, leaders: list[int]
) -> SheetSpec:
    status = pictures["trial_id"].map(frames.trials["status"])
    ordered = pictures.assign(
        arm=pictures["setting"].map(lambda place: frames.settings[place].arm),
        unfinished=status != "finished",
        passed_over=~pictures["setting"].isin(leaders),
    ).sort_values(["unfinished", "passed_over", "setting", "seed"], kind="stable")
    shown = ordered.drop_duplicates("arm").sort_values("setting", kind="stable")
    rest = ordered.drop(shown.index).sort_values(["setting", "seed"], kind="stable")
    sheets = _sheets(store, frames, shown, title)
    notes = ["Each arm at its setting of the best mean, one seed."] if leaders and len(rest) else []
    if len(rest) > MOST_MORE:
        notes.append(f"{count(len(rest) - MOST_MORE, 'more picture')} under {store.local_path('files')}.")
    more = _sheets(store, frames, rest.head(MOST_MORE), title)
    return SheetSpec(f"sheet-{kind}", title, sheets, more, notes, _size([*sheets, *more]))


def _size(sheets: list[Sheet]) -> Size:
    widest = max((sheet.width for sheet in sheets), default=0)
    return "small" if widest <= LARGEST_SMALL else "half" if widest <= LARGEST_HALF else "whole"


def _sheets(store: RecordStore, frames: Frames, pictures: pd.DataFrame, title: str) -> list[Sheet]:
    rows: list[dict[Any, Any]] = pictures.to_dict("records")
    sheets = []
    for row in rows:
        name = frames.settings[row["setting"]].label
        caption = f"{name}, seed {row['seed']}, step {row['step']:,}"
        sheet = _sheet(
            store.read_artifact(row["path"], row["sha256"]) or b"", caption, f"{title} of {caption}"
        )
        if sheet is not None:
            sheets.append(sheet)
    return sheets


def _sheet(data: bytes, caption: str, alt: str) -> Sheet | None:
    """A PNG as it is; confusions, anomaly scores and numbers of objects drawn; None for anything else."""
    if data.startswith(PNG) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return Sheet(caption, alt, "image/png", data, width, height)
    if (confusion := read_confusion(data)) is not None:
        return Sheet(caption, alt, "image/svg+xml", *draw_confusion(confusion))
    if (scores := read_scores(data)) is not None:
        return Sheet(caption, alt, "image/svg+xml", *draw_scores(scores))
    if (counts := read_counts(data)) is not None:
        return Sheet(caption, alt, "image/svg+xml", *draw_counts(counts))
    return None
