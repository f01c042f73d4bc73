"""Checkpoints: a damaged one is skipped and reported, and costs only the steps since the one before it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_lines import TINY
from object_stores import ObjectStore

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import displayed_name
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.tasks.task import Progress
from ndabench.trials.checkpoints import load_checkpoint
from ndabench.trials.config import Provenance, TrialConfig
from ndabench.trials.run import run_trial


def trial() -> TrialConfig:
    task = {**TINY["task"], "num_steps": 6, "checkpoint_every": 2, "log_every": 1}
    return parse(SweepConfig, {**TINY, "task": task, "arms": ["none"]}, "tiny").grid_trials()[0]


def run(store: RecordStore) -> Iterator[Progress]:
    return run_trial(trial(), store, Provenance("tiny"), Workers())


def interrupted(store: RecordStore, after: int) -> list[str]:
    """Runs until the checkpoint of step `after` is written; returns the checkpoints, newest first."""
    running = run(store)
    for progress in running:
        if progress.step > after:
            break
    running.close()  # type: ignore[attr-defined]
    return sorted(store.list(f"checkpoints/{trial().trial_id}"), reverse=True)


def metrics(store: RecordStore) -> dict[tuple[int, str], float]:
    rows = store.read_metrics().to_pylist()
    values = {
        (row["step"], displayed_name(row["metric"], row["split"], row["label"])): row["value"] for row in rows
    }
    assert len(values) == len(rows)
    return values


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], float]:
    store = RecordStore(str(tmp_path_factory.mktemp("undisturbed")))
    list(run(store))
    return metrics(store)


def torn(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One bit of a weight: torch's own reader would take it."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def empty(content: bytes) -> bytes:
    return b""


def other(content: bytes) -> bytes:
    return b"\0" * len(content)


@pytest.mark.parametrize("damage", [torn, flipped, empty, other])
def test_the_checkpoint_before_a_damaged_one_serves(
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    undisturbed: dict[tuple[int, str], float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = RecordStore(str(tmp_path))
    newest, before = interrupted(store, after=4)
    store.write_bytes(newest, damage(store.read_bytes(newest) or b""))
    steps = [progress.step for progress in run(store)]
    assert min(steps) > 2, "only the steps since the checkpoint before are done again"
    assert metrics(store) == undisturbed
    row = store.read_trial(trial().trial_id)
    assert row is not None
    assert (row.status, row.error) == ("finished", "")
    assert row.notes == "the checkpoint of step 4 was damaged; resumed from that of step 2"
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}/{newest}: damaged (")
    assert before.endswith("000000002.pt")


def test_without_a_whole_checkpoint_a_trial_starts_again(
    tmp_path: Path, undisturbed: dict[tuple[int, str], float]
) -> None:
    store = RecordStore(str(tmp_path))
    for path in interrupted(store, after=4):
        store.write_bytes(path, b"nothing")
    list(run(store))
    assert metrics(store) == undisturbed
    row = store.read_trial(trial().trial_id)
    assert row is not None
    assert row.notes == "the checkpoint of step 4, 2 was damaged; resumed from the beginning"


def test_a_trial_on_an_object_store_resumes_to_the_same_bits(
    object_store: ObjectStore, undisturbed: dict[tuple[int, str], float]
) -> None:
    store = RecordStore(object_store.folder())
    interrupted(store, after=4)
    assert store.read_trials()["status"].to_pylist() == ["stopped"]
    assert min(progress.step for progress in run(store)) > 4
    assert metrics(store) == undisturbed
    assert store.read_trials()["status"].to_pylist() == ["finished"]
    for path in store.read_artifacts()["path"].to_pylist():
        assert (store.read_bytes(path) or b"").startswith(b"\x89PNG")


def test_workers_that_find_different_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RecordStore(str(tmp_path))

    def differ(workers: Workers, value: str, what: str, remedy: str) -> None:
        raise UserError(f"the workers of one trial have different {what}; {remedy}")

    monkeypatch.setattr(Workers, "require_equal", differ)
    with pytest.raises(UserError, match="different checkpoints; --out must lie where every node sees it"):
        load_checkpoint(store, "none-0", Workers())
