"""Checkpoints: a damaged one is skipped and reported, and costs only the steps since the one before it."""

import io
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import displayed_name
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.records.damage import PLACEHOLDER
from ndabench.tasks.task import Progress
from ndabench.trials.checkpoints import _unpacked, load_checkpoint, save_checkpoint
from ndabench.trials.config import Provenance, TrialConfig
from ndabench.trials.run import run_trial
from tests.command_lines import TINY
from tests.object_stores import ObjectStore


def trial() -> TrialConfig:
    task = {**TINY["task"], "num_steps": 6, "checkpoint_every": 2, "log_every": 1}
    return parse(SweepConfig, {**TINY, "task": task, "arms": ["none"]}, "tiny").grid_trials()[0]


def run(store: RecordStore) -> Generator[Progress]:
    return run_trial(trial(), store, Provenance("tiny"), Workers())


def interrupted(store: RecordStore, after: int) -> list[str]:
    """Runs until the checkpoint of step `after` is written; returns the checkpoints, newest first."""
    running = run(store)
    for progress in running:
        if progress.step > after:
            break
    running.close()
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


def with_state(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """A whole file with another content."""

    def changed(content: bytes) -> bytes:
        buffer = io.BytesIO()
        torch.save(change(torch.load(io.BytesIO(content), weights_only=True)), buffer)
        return buffer.getvalue()

    return changed


def other_shapes(state: Any) -> Any:
    for part in state["task"].values():
        for name, value in part.items() if isinstance(part, dict) else ():
            if isinstance(value, torch.Tensor) and value.ndim > 1:
                part[name] = value[:1, :1]
    return state


WRONG = {
    "no task": with_state(lambda state: {key: state[key] for key in state if key != "task"}),
    "task no mapping": with_state(lambda state: {**state, "task": [1]}),
    "task empty": with_state(lambda state: {**state, "task": {}}),
    "a list": with_state(lambda state: [state]),
    "no seconds": with_state(lambda state: {key: state[key] for key in state if key != "seconds"}),
    "other shapes": with_state(other_shapes),
}


@pytest.mark.parametrize(
    "damage", [torn, flipped, empty, other, *(pytest.param(WRONG[name], id=name) for name in WRONG)]
)
def test_the_checkpoint_before_a_damaged_one_serves(
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    undisturbed: dict[tuple[int, str], float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = RecordStore(str(tmp_path))
    newest, before = interrupted(store, after=4)
    for stray in ("notes", "zbest.pt"):
        store.write_bytes(f"checkpoints/{trial().trial_id}/{stray}", b"mine")
    store.write_bytes(newest, damage(store.read_bytes(newest) or b""))
    steps = [progress.step for progress in run(store)]
    assert min(steps) > 2, "only the steps since the checkpoint before are done again"
    assert metrics(store) == undisturbed
    row = store.read_trial(trial().trial_id)
    assert row is not None
    assert (row.status, row.error) == ("finished", "")
    assert row.notes == "the checkpoint of step 4 was damaged; resumed from that of step 2"
    *strays, message = sorted(caplog.messages, key=lambda line: ": damaged (" in line)
    assert [line.partition(": ")[2] for line in strays] == ["not a checkpoint; passed over"] * 2
    assert message.startswith(f"{tmp_path}/{newest}: damaged (")
    assert store.read_bytes(f"checkpoints/{trial().trial_id}/zbest.pt") == b"mine"
    assert before.endswith("000000002.pt")


def test_every_flipped_bit_of_a_checkpoint_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    """One bit of every byte of a small checkpoint: 1,742 flips."""
    store = RecordStore(str(tmp_path))
    task = {"made_by": {}, "step": 4, "streams": {}, "weights": torch.arange(12.0).reshape(3, 4)}
    save_checkpoint(store, "none-0", 4, {"task": task, "seconds": 1.5, "num_images": 8})
    content = store.read_bytes("checkpoints/none-0/000000004.pt") or b""
    whole, unnoticed = repr(_unpacked(content)), 0
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        try:
            read = _unpacked(bytes(changed))
        except Exception:  # whatever a damaged file raises: the checkpoint is passed over
            continue
        unnoticed += 1
        assert repr(read) == whole, place
    assert unnoticed <= len(PLACEHOLDER)


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
        load_checkpoint(store, "none-0", Workers(), lambda state: None)
