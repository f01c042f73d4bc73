"""MLflow and Weights & Biases themselves, without a network: what they hold, and what a user gets wrong."""

import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from ndabench.config import Config, parse
from ndabench.errors import UserError
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore, TrialRow
from ndabench.tracking.mirror import Mirror
from ndabench.tracking.registry import TRACKERS, Track, TrackerEntry, make_trackers
from tests.command_lines import TINY
from tests.tracking.tracked import write_row, write_step


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path / "out"))


def track(**keys: Any) -> Mapping[str, Config]:
    kind: Any = Track
    return parse(kind, {"tensorboard": False, **keys}, "track")


def follow(store: RecordStore, wanted: Mapping[str, Config]) -> None:
    """As a driver does, whose records are all there already."""
    with Mirror(store, make_trackers(wanted, "synthetic", store), pause=0.01) as mirror:
        mirror.changed("jigsaw-01")


def test_no_server_is_asked_for_by_default(store: RecordStore) -> None:
    for wanted in (track(), track(mlflow=False, wandb=None)):
        assert make_trackers(wanted, "synthetic", store) == []


@pytest.mark.parametrize(("key", "package"), [("mlflow", "mlflow-skinny"), ("wandb", "wandb")])
def test_what_is_not_installed_is_said_in_a_line(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch, key: str, package: str
) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == key:
            raise ModuleNotFoundError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError) as caught:
        make_trackers(track(**{key: True}), "synthetic", store)
    assert str(caught.value) == (
        f"track.{key}: {package} is not installed; `pip install {package}`, or leave the key out"
    )


def test_wandb_keeps_a_run_for_later(store: RecordStore, capfd: pytest.CaptureFixture) -> None:
    wandb = pytest.importorskip("wandb")
    write_row(store, "finished")
    write_step(store, 0, loss=3.0, val_fd=9.0)
    write_step(store, 10, loss=2.0)
    follow(store, track(wandb={"project": "mine"}))
    wandb.teardown()
    (file,) = Path(store.root).glob("wandb/offline-run-*-jigsaw-01/run-jigsaw-01.wandb")
    content = file.read_bytes()
    for part in (b"mine", b"synthetic", "jigsaw λ=0.25 seed 1".encode(), b"val_fd", b"loss", b"git_commit"):
        assert part in content
    assert capfd.readouterr() == ("", "")


def test_wandb_keeps_every_attempt_of_one_second(store: RecordStore) -> None:
    wandb = pytest.importorskip("wandb")
    row = write_row(store, "failed", error="RuntimeError: no")
    (tracker,) = make_trackers(track(wandb=True), "synthetic", store)
    for _ in range(4):
        tracker.begin(row)
        tracker.log(row.trial_id, 0, {"loss": 3.0})
        tracker.end(row)
    wandb.teardown()
    files = list(Path(store.root).glob("wandb/offline-run-*-jigsaw-01/run-jigsaw-01.wandb"))
    assert [b"RuntimeError: no" in file.read_bytes() for file in files] == [True] * 4


def test_wandb_online_needs_a_key(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UserError, match=r"^track\.wandb: no API key; `wandb login` first, or mode: offline$"):
        make_trackers(track(wandb={"mode": "online"}), "synthetic", store)


def test_an_object_store_has_no_room_for_their_files() -> None:
    pytest.importorskip("mlflow")
    store = RecordStore("mock:///bucket/out")
    with pytest.raises(UserError, match=r"^track\.mlflow\.tracking_uri: must be given"):
        make_trackers(track(mlflow=True), "synthetic", store)
    make_trackers(track(mlflow={"tracking_uri": "http://127.0.0.1:1"}), "synthetic", store)


class Printing(Config):
    """The settings of a tracker from outside."""

    prefix: str = Field("> ", min_length=1)


class PrintTracker:
    """A tracker from outside: prints what it is told."""

    name = "print"

    def __init__(self, config: Printing, sweep: str, store: RecordStore) -> None:
        self._prefix = config.prefix

    def begin(self, row: TrialRow) -> int:
        return -1

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None:
        print(f"{self._prefix}{trial_id} {step} {values}")

    def end(self, row: TrialRow) -> None:
        print(f"{self._prefix}{row.status}")

    def close(self) -> None:
        print(f"{self._prefix}closed")


def test_a_tracker_from_outside_is_registered_and_named(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(TRACKERS, "_entries", dict(TRACKERS))  # what follows leaves no trace
    TRACKERS.register("print", TrackerEntry(config=Printing, make=f"{__name__}:PrintTracker"))
    write_row(store, "finished")
    write_step(store, 10, loss=2.0)
    follow(store, track(print={"prefix": "# "}))
    assert capsys.readouterr().out == "# jigsaw-01 10 {'loss': 2.0}\n# finished\n# closed\n"
    assert track(print=True) == {"print": Printing()}


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            {"wandbb": True},
            "track: unknown key 'wandbb'; did you mean 'wandb'? (known: mlflow, tensorboard, wandb)",
        ),
        ({"wandb": {"mode": "on"}}, "track: wandb.mode: input should be 'offline' or 'online', got 'on'"),
        ({"mlflow": {"experiment": ""}}, "track: mlflow.experiment: string should have at least 1 character"),
        ({"mlflow": 3}, "track: mlflow: "),
    ],
)
def test_a_wrong_key_is_named(keys: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        track(**keys)
    assert str(caught.value).startswith(line)


def test_a_sweep_file_keeps_what_is_on_and_off(tmp_path: Path) -> None:
    sweep = parse(SweepConfig, {**TINY, "track": {"tensorboard": False, "mlflow": True}}, "tiny")
    dumped = sweep.model_dump(mode="json", by_alias=True)
    assert dumped["track"] == {
        "tensorboard": None,
        "mlflow": {"tracking_uri": None, "experiment": None},
        "wandb": None,
    }
    assert parse(SweepConfig, dumped, "tiny").track == sweep.track
    assert list(parse(SweepConfig, TINY, "tiny").track) == ["tensorboard"]
