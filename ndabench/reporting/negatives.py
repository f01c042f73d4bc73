"""The table that says how many outputs of each negative are none, from what trials recorded."""

from typing import Any

from ndabench.measurement import NEGATIVES_EQUAL, NEGATIVES_INSIDE, NEGATIVES_NEARLY_EQUAL
from ndabench.reporting.frames import Frames, decoded
from ndabench.reporting.specs import Cell, Column, TableSpec

COLUMNS = {
    NEGATIVES_EQUAL: ("equal their input", "no value changes by half a grey level"),
    NEGATIVES_NEARLY_EQUAL: ("nearly equal", "less than 4 % of the pixels change, equal ones included"),
    NEGATIVES_INSIDE: ("inside the support", "the data's density is not 0 there"),
}
"""What trials record, with the title and the explanation of its column."""
EQUAL_NOTE = (
    "An output that equals its input lies inside the data, and is no negative. Corrected rules draw such an "
    "output again, twice at most; what is left looks the same after every draw."
)


def negatives_table(frames: Frames) -> TableSpec | None:
    """A row for each negative, and for each group of trials where there are several; None without records."""
    of_negatives = frames.metrics["name"].isin([*COLUMNS])
    recorded = frames.metrics[of_negatives].drop_duplicates(["trial_id", "name"])
    if recorded.empty:
        return None
    keys = ["group", "setting", "protocol_json", "name"]
    shares: dict[tuple[str, str, str, str], dict[str, float]] = {}
    means = recorded.groupby(keys, observed=True)["value"].mean()
    for group, place, protocol, name, value in means.reset_index().itertuples(index=False, name=None):
        setting = frames.settings[place]
        key = (setting.arm, setting.negative, frames.groups[group].label, str(protocol))
        shares.setdefault(key, {}).setdefault(str(name), value)
    measured = [name for name in COLUMNS if any(name in found for found in shares.values())]
    columns = [
        Column("arm"),
        Column("negative"),
        Column("on"),
        Column("outputs", "training images, clips or points that the negative was applied to", numeric=True),
        *(Column(*COLUMNS[name], numeric=True) for name in measured),
    ]
    rows = [
        [
            Cell(arm, arm),
            Cell(negative, negative),
            Cell(group, group),
            _outputs(decoded(protocol)),
            *(_share(found.get(name)) for name in measured),
        ]
        for (arm, negative, group, protocol), found in shares.items()
    ]
    notes = [EQUAL_NOTE] if NEGATIVES_EQUAL in measured else []
    return TableSpec("negatives-table", "How often a negative is none", columns, rows, notes)


def _outputs(protocol: Any) -> Cell:
    count = protocol.get("outputs") if isinstance(protocol, dict) else None
    return Cell("" if count is None else f"{count:,}", count)


def _share(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:.1%}", value)
