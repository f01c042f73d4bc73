"""Pictures of the trials, inlined: samples, negatives and views as files; the report draws the matrices."""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from ndabench.records import RecordStore
from ndabench.reporting.anomaly import draw_scores, read_scores
from ndabench.reporting.comparison import Comparison, leading
from ndabench.reporting.confusion import draw_confusion, read_confusion
from ndabench.reporting.counts import draw_counts, read_counts
from ndabench.reporting.decisions import decisions
from ndabench.reporting.formatting import count, decimals_of, interval, number
from ndabench.reporting.frames import Frames, Setting
from ndabench.reporting.overview import effects
from ndabench.reporting.specs import Block, ForestSpec, Sheet, SheetSpec, Size, Wall
from ndabench.reporting.tables import VERDICTS

TITLES = {
    "samples": "Generated samples",
    "neighbours": "Test images and their nearest training images",
    "detections": "Detections",
    "negatives": "Negatives, as training sees them",
    "positives": "Positive augmentations, as training sees them",
    "views": "Views",
    "contours": "The discriminator over training, warm where it sees data, with points",
    "counts": "Numbers of objects in generated and in real images",
    "anomaly": "Anomaly scores of the test images and of the outliers",
    "outliers": "Outliers that look most like the data set, a set in each row",
    "confusion_dpc_finetune": "Confusion matrix, after fine-tuning",
    "confusion_coclr_finetune": "Confusion matrix, after fine-tuning by CoCLR's recipe",
    "confusion_coclr_linear_probe": "Confusion matrix, by CoCLR's linear probe",
    "confusion_linear_probe": "Confusion matrix, by the linear probe",
}
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_SMALL, LARGEST_HALF = 480, 1200
"""Pixels; wider pictures take half of the page, or all of it, so that their detail is readable."""
EXAMPLES = ("negatives", "positives")
"""Kinds that show what an arm trains on, of whatever seed; next to them is the effect of the arm."""
MOST_MORE, MOST_BYTES = 60, 1_000_000
"""Pictures inlined behind a button, per kind; for more, the report says where the rest is."""


def sheet_specs(store: RecordStore, frames: Frames, comparisons: list[Comparison]) -> list[SheetSpec]:
    """One for each kind of picture, from the last step at which a trial made one.

    Each arm is shown at its setting with the best mean: small pictures of all seeds, larger ones of one. The
    other trials follow behind a button.
    """
    suffix = frames.artifacts["path"].str.lower().str.extract(r"\.(json|png)$")[0]
    pictures = frames.artifacts[suffix.notna()].assign(suffix=suffix).sort_values("suffix", kind="stable")
    last = pictures.groupby(["trial_id", "kind"])["step"].transform("max")
    pictures = pictures[pictures["step"] == last]
    # Records of schema 1 have a confusion matrix both as counts and as a picture: the counts are drawn.
    pictures = pictures.drop_duplicates(["trial_id", "kind"]).sort_index()
    leaders = [frames.settings.index(setting) for setting in leading(comparisons)]
    shown_effects = _effects(frames, comparisons)
    present = set(pictures["kind"])
    titles = {kind: title for kind, title in _titles(frames).items() if kind in present}
    titles |= {kind: re.sub("[_-]", " ", kind).capitalize() for kind in sorted(present - set(titles))}
    specs = [
        _sheet_spec(
            store,
            frames,
            pictures[pictures["kind"] == kind],
            kind,
            title,
            leaders,
            shown_effects if kind in EXAMPLES else {},
        )
        for kind, title in titles.items()
    ]
    return [spec for spec in specs if spec.sheets]


def with_pictures(
    blocks: Sequence[Block], sheets: Sequence[SheetSpec], frames: Frames, comparisons: Sequence[Comparison]
) -> list[Block]:
    """The blocks; next to the first forest plot the first kind of small pictures, of the baseline and of the
    first arm of a claim (else of the next arm)."""
    small = next((one.sheets for one in sheets if one.size == "small" and len(one.sheets) > 1), ())
    claimed = {one.row.setting.label for one in decisions(frames, list(comparisons)).claims if one.row}
    others = sorted(small[1:], key=lambda sheet: sheet.caption.rpartition(", seed ")[0] not in claimed)
    first = next((block for block in blocks if isinstance(block, ForestSpec)), None)
    if first is None or not others:
        return list(blocks)
    illustrated = replace(first, pictures=[small[0], others[0]])
    return [illustrated if block is first else block for block in blocks]


def _titles(frames: Frames) -> dict[str, str]:
    """The titles of the kinds that ndabench makes, also with each label that `as` gave to an evaluation."""
    labels = sorted(set(frames.metrics["label"]) - {""})
    labelled = {f"{kind}_{label}": f"{title} ({label})" for kind, title in TITLES.items() for label in labels}
    return TITLES | labelled


def _effects(frames: Frames, comparisons: Sequence[Comparison]) -> dict[Setting, str]:
    """What each setting does to the first measure: `fd −1.2 [−2.0, −0.4] better`."""
    if not comparisons or comparisons[0].on_validation:
        return {}
    shown = {}
    for effect in effects(frames, comparisons[0], comparisons):
        summary, name = effect.difference.summary, comparisons[0].name
        mean = number(summary.mean, decimals_of(summary), signed=True)
        shown[effect.setting] = f"{name} {mean} {interval(summary)}".rstrip() + VERDICTS[effect.verdict]
    return shown


def _sheet_spec(
    store: RecordStore,
    frames: Frames,
    pictures: pd.DataFrame,
    kind: str,
    title: str,
    leaders: list[int],
    shown_effects: Mapping[Setting, str],
) -> SheetSpec:
    status = pictures["trial_id"].map(frames.trials["status"])
    ordered = pictures.assign(
        label=pictures["setting"].map(lambda place: frames.settings[place].label),
        effect=pictures["setting"].map(lambda place: shown_effects.get(frames.settings[place], "")),
        arm=pictures["setting"].map(lambda place: frames.settings[place].arm),
        unfinished=status != "finished",
        passed_over=~pictures["setting"].isin(leaders),
    ).sort_values(["unfinished", "passed_over", "setting", "seed"], kind="stable")
    shown = ordered.drop_duplicates("arm").sort_values("setting", kind="stable")
    sheets = [sheet for sheet in _sheets(store, shown, title) if sheet is not None]
    in_wall = ordered.iloc[:0]
    if kind not in EXAMPLES:
        of_arms = ordered[ordered["setting"].isin(shown["setting"])]
        photos = _size(sheets) == "small" and all(sheet.media_type == "image/png" for sheet in sheets)
        in_wall = _fitting_seeds(of_arms, sheets) if photos else in_wall  # a chart in a wall is too small
    wall = _wall(store, in_wall, title) if len(in_wall) else None
    rest = ordered.drop(in_wall.index if wall is not None else shown.index)
    more, hidden = _fitting(store, rest.sort_values(["setting", "seed"], kind="stable"), title)
    notes = []
    if leaders and len(pictures) > len(shown):
        notes.append(f"Each arm at its setting of the best mean{', one seed' if wall is None else ''}.")
    if hidden:
        notes.append(f"{count(hidden, 'more picture')} under {store.local_path('files')}.")
    return SheetSpec(f"sheet-{kind}", title, sheets, more, notes, _size([*sheets, *more]), wall)


def _fitting_seeds(pictures: pd.DataFrame, of_one_seed: Sequence[Sheet]) -> pd.DataFrame:
    """The pictures of as many seeds as `MOST_BYTES` hold, where there are several; else none."""
    seeds = sorted(pictures["seed"].unique())
    fit = MOST_BYTES // max(1, sum(len(sheet.data) for sheet in of_one_seed))
    return pictures[pictures["seed"].isin(seeds[:fit] if min(fit, len(seeds)) > 1 else [])]


def _wall(store: RecordStore, pictures: pd.DataFrame, title: str) -> Wall:
    seeds = sorted(pictures["seed"].unique())
    rows = []
    for _, of_setting in pictures.groupby("setting", sort=True):
        of_seeds = dict(zip(of_setting["seed"], _sheets(store, of_setting, title), strict=True))
        rows.append((str(of_setting["label"].iloc[0]), [of_seeds.get(seed) for seed in seeds]))
    return Wall([f"seed {seed}" for seed in seeds], rows)


def _fitting(store: RecordStore, pictures: pd.DataFrame, title: str) -> tuple[list[Sheet], int]:
    """As many as may be behind a button, and how many pictures are left out."""
    sheets: list[Sheet] = []
    size = 0
    for place, sheet in enumerate(_sheets(store, pictures, title)):
        size += len(sheet.data) if sheet is not None else 0
        if size > MOST_BYTES or len(sheets) == MOST_MORE:
            return sheets, len(pictures) - place
        sheets += [sheet] if sheet is not None else []
    return sheets, 0


def _size(sheets: list[Sheet]) -> Size:
    widest = max((sheet.width for sheet in sheets), default=0)
    return "small" if widest <= LARGEST_SMALL else "half" if widest <= LARGEST_HALF else "whole"


def _sheets(store: RecordStore, pictures: pd.DataFrame, title: str) -> Iterator[Sheet | None]:
    """One for each row; None where the file is gone, or is no picture."""
    rows: list[dict[Any, Any]] = pictures.to_dict("records")
    for row in rows:
        caption = f"{row['label']}, seed {row['seed']}, step {row['step']:,}"
        data = store.read_artifact(row["path"], row["sha256"]) or b""
        sheet = _drawn(data, caption, f"{title} of {caption}")
        yield sheet if sheet is None else replace(sheet, effect=row["effect"])


def _drawn(data: bytes, caption: str, alt: str) -> Sheet | None:
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
