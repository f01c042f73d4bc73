"""TensorBoard's event files: one a trial, framed as TensorBoard wants them, and no point is there twice."""

import math
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ndabench.config import Config, parse
from ndabench.records import RecordStore
from ndabench.tracking.mirror import Mirror
from ndabench.tracking.registry import Track, make_trackers
from tests.object_stores import ObjectStore
from tests.tracking.tracked import write_row, write_step

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2", reason="tensorboardX is not installed")


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def records(data: bytes) -> list[bytes]:
    """The records of a TFRecord file; every checksum must hold."""
    found = []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        record = data[12 : 12 + length]
        for part, at in ((data[:8], 8), (record, 12 + length)):
            crc = crc32c(part)
            masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack("<I", data[at : at + 4]) == (masked,)
        found.append(record)
        data = data[16 + length :]
    return found


def events(store: RecordStore, trial_id: str = "jigsaw-01") -> list:
    """The events of a trial's only file, after the version that it begins with."""
    (file,) = store.list(f"tensorboard/{trial_id}")
    assert Path(file).name.startswith("events.out.tfevents.")
    content = store.read_bytes(file)
    assert content is not None
    head, *rest = [event_pb2.Event.FromString(record) for record in records(content)]
    assert head.file_version == "brain.Event:2"
    return rest


def points(store: RecordStore, trial_id: str = "jigsaw-01") -> list[tuple[int, float]]:
    """Steps and losses in the order in which TensorBoard comes upon them."""
    return [
        (event.step, event.summary.value[0].simple_value)
        for event in events(store, trial_id)
        if event.HasField("summary")
    ]


def track(**keys: Any) -> Mapping[str, Config]:
    kind: Any = Track
    return parse(kind, keys, "track")


def follow(store: RecordStore) -> None:
    """As a driver does, whose records are all there already."""
    with Mirror(store, make_trackers(track(), "synthetic", store), pause=0.01) as mirror:
        mirror.changed("jigsaw-01")


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path / "out"))


def test_an_event_holds_the_values_of_its_step(store: RecordStore) -> None:
    write_row(store, "finished")
    write_step(store, 250, loss=1.5, val_fd=math.nan)
    follow(store)
    (body,) = events(store)
    assert body.step == 250
    loss, distance = body.summary.value
    assert (loss.tag, loss.simple_value) == ("loss", 1.5)
    assert distance.tag == "val_fd"
    assert math.isnan(distance.simple_value)


def test_points_are_there_while_the_trial_runs(store: RecordStore) -> None:
    write_row(store, "running")
    write_step(store, 0, loss=3.0)
    write_step(store, 20, loss=2.0)
    follow(store)
    assert points(store) == [(0, 3.0), (20, 2.0)]


def test_a_resumed_trial_has_each_point_once(store: RecordStore) -> None:
    """Step 100 was measured, its checkpoint was not: the next driver's trial measures it again."""
    write_row(store, "running")
    for step, value in ((0, 3.0), (20, 2.0), (100, 1.0)):
        write_step(store, step, loss=value)
    follow(store)
    write_step(store, 100, loss=0.5)
    write_step(store, 120, loss=0.25)
    write_row(store, "finished")
    for _ in range(2):
        follow(store)
        assert points(store) == [(0, 3.0), (20, 2.0), (100, 0.5), (120, 0.25)]
        first, *_ = events(store)  # to a TensorBoard that has read the first file: drop it
        assert first.session_log.status == event_pb2.SessionLog.START
        assert first.step == 0


def test_a_trial_lost_and_restarted_by_the_same_driver_has_each_point_once(store: RecordStore) -> None:
    (tracker,) = make_trackers(track(), "synthetic", store)
    row = write_row(store, "running")
    for _ in range(2):
        assert tracker.begin(row) == -1
        tracker.log(row.trial_id, 10, {"loss": 1.0})
    tracker.end(row)
    tracker.close()
    assert points(store) == [(10, 1.0)]


def test_an_object_store_has_the_file_once_trial_or_driver_has_ended(
    object_store: ObjectStore,
) -> None:
    store = RecordStore(object_store.folder())
    write_row(store, "running")
    write_step(store, 10, loss=2.0)
    follow(store)
    assert points(store) == [(10, 2.0)]  # copied when the first driver ended
    write_step(store, 20, loss=1.0)
    write_row(store, "finished")
    for _ in range(2):
        follow(store)
        assert points(store) == [(10, 2.0), (20, 1.0)]


def test_it_is_on_unless_switched_off_or_not_installed(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [tracker.name for tracker in make_trackers(track(), "synthetic", store)] == ["TensorBoard"]
    assert make_trackers(track(tensorboard=False), "synthetic", store) == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert make_trackers(track(), "synthetic", store) == []


@pytest.mark.slow
def test_it_does_not_import_torch(tmp_path: Path) -> None:
    code = f"""
import sys
from ndabench.config import parse
from ndabench.records import RecordStore
from ndabench.tracking.registry import Track, make_trackers
assert make_trackers(parse(Track, {{}}, "track"), "synthetic", RecordStore({str(tmp_path)!r}))
assert "torch" not in sys.modules
import torch
assert torch.zeros(1).item() == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)
