"""The trackers that a sweep file can name under `track`, and the reading of that key.

A tracker is a class with the methods of `tracker.Tracker`. One from outside is registered like this, and a
sweep file then says `track: {print: {prefix: "> "}}`:

    class PrintConfig(Config):
        prefix: str = ""

    TRACKERS.register("print", TrackerEntry(config=PrintConfig, make="my_package.printing:PrintTracker"))
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationError, create_model

from ndabench.config import Config, PartError
from ndabench.records import RecordStore
from ndabench.registry import Registry, load
from ndabench.tracking.config import MlflowConfig, TensorBoardConfig, WandbConfig
from ndabench.tracking.tracker import Tracker


@dataclass(frozen=True)
class TrackerEntry:
    """One kind of tracker."""

    config: type[Config]
    make: str
    """`package.module:attribute` of the class or function that makes the tracker from its configuration, the
    sweep's name and its records. It raises `UserError` if the tracker is not installed or not set up, and
    writes nothing yet; it may return None to leave the tracker out."""
    by_default: bool = False
    """Whether it is on by default; `name: false` in the sweep file then turns it off."""


TRACKERS: Registry[TrackerEntry] = Registry(
    "tracker",
    "ndabench.trackers",
    {
        "tensorboard": TrackerEntry(
            TensorBoardConfig, "ndabench.tracking.tensorboard:tensorboard_tracker", by_default=True
        ),
        "mlflow": TrackerEntry(MlflowConfig, "ndabench.tracking.mlflow:MlflowTracker"),
        "wandb": TrackerEntry(WandbConfig, "ndabench.tracking.wandb:WandbTracker"),
    },
)


def _read(value: Any) -> dict[str, Config]:
    """The configurations of the trackers that are on; `true` means one with its defaults.

    One that an installed package offers is on only if it is named.
    """
    named = [name for name in value if name in TRACKERS] if isinstance(value, Mapping) else []
    known = {**TRACKERS.at_hand, **{name: TRACKERS[name] for name in named}}
    fields: dict[str, Any] = {
        name: (entry.config | None, entry.config() if entry.by_default else None)
        for name, entry in known.items()
    }
    model = create_model("Track", __base__=Config, **fields)
    short: dict[bool, Any] = {True: {}, False: None}
    if isinstance(value, Mapping):
        value = {key: short[one] if isinstance(one, bool) else one for key, one in value.items()}
    try:
        read = model.model_validate(value)
    except ValidationError as error:
        raise PartError(model, error) from None
    return {name: config for name in fields if (config := getattr(read, name)) is not None}


def _dump(track: Mapping[str, Config]) -> dict[str, Any]:
    """Every known tracker, null where it is off."""
    off: dict[str, Any] = dict.fromkeys(TRACKERS.at_hand)
    return off | {name: config.model_dump(mode="json", by_alias=True) for name, config in track.items()}


Track = Annotated[Mapping[str, Config], PlainValidator(_read), PlainSerializer(_dump)]
"""The key `track` of a sweep file: where metrics are shown in addition to the report. It changes no
result."""


def make_trackers(track: Mapping[str, Config], sweep: str, store: RecordStore) -> list[Tracker]:
    """The trackers of a sweep; `UserError` if one is not installed or not set up. Writes nothing yet."""
    made = [load(TRACKERS[name].make)(config, sweep, store) for name, config in track.items()]
    return [tracker for tracker in made if tracker is not None]
