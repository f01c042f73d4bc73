"""TensorBoard's event files: framed as it wants them, one a step, replaced when a step is done again."""

import math
import struct
from pathlib import Path

import pytest

from ndabench.measurement import Measurement
from ndabench.records import RecordStore
from ndabench.tracking.tensorboard import compact_curves, event_file, write_curves

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


def test_an_event_file_holds_the_values_of_its_step() -> None:
    data = event_file(250, {"loss": 1.5, "val_fd": math.nan}, 1e9)
    assert data is not None
    head, body = (event_pb2.Event.FromString(record) for record in records(data))
    assert head.file_version == "brain.Event:2"
    assert (body.step, body.wall_time) == (250, 1e9)
    loss, distance = body.summary.value
    assert (loss.tag, loss.simple_value) == ("loss", 1.5)
    assert distance.tag == "val_fd"
    assert math.isnan(distance.simple_value)


def test_a_step_that_is_done_again_replaces_its_file(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    for step, value in ((0, 3.0), (20, 2.0), (100, 1.0), (20, 2.5)):
        write_curves(store, "none-01", step, {"loss": Measurement(value)})
    write_curves(store, "none-01", 30, {})
    files = sorted((tmp_path / "tensorboard/none-01").iterdir())
    assert [file.name for file in files] == [
        "events.out.tfevents.0000000000",
        "events.out.tfevents.0000000020",
        "events.out.tfevents.0000000100",
    ]
    event = event_pb2.Event.FromString(records(files[1].read_bytes())[1])
    assert event.summary.value[0].simple_value == 2.5


def read(folder: Path) -> list[tuple[int, float]]:
    """Steps and values in the order in which TensorBoard comes upon them."""
    found = []
    for file in sorted(folder.iterdir()):
        head, *events = [event_pb2.Event.FromString(record) for record in records(file.read_bytes())]
        assert head.file_version == "brain.Event:2"
        found += [(event.step, event.summary.value[0].simple_value) for event in events]
    return found


def test_the_files_of_a_trial_are_folded_into_its_first(tmp_path: Path) -> None:
    store, folder = RecordStore(str(tmp_path)), tmp_path / "tensorboard/none-01"
    for step, value in ((20, 2.0), (0, 3.0), (100, 1.0)):
        write_curves(store, "none-01", step, {"loss": Measurement(value)})
    first = (folder / "events.out.tfevents.0000000000").read_bytes()
    compact_curves(store, "none-01")
    assert [file.name for file in folder.iterdir()] == ["events.out.tfevents.0000000000"]
    assert read(folder) == [(0, 3.0), (20, 2.0), (100, 1.0)]
    assert (folder / "events.out.tfevents.0000000000").read_bytes().startswith(first)
    write_curves(store, "none-01", 100, {"loss": Measurement(0.5)})  # it went on after all
    write_curves(store, "none-01", 120, {"loss": Measurement(0.25)})
    for _ in range(2):
        compact_curves(store, "none-01")
        assert read(folder) == [(0, 3.0), (20, 2.0), (100, 0.5), (120, 0.25)]
    compact_curves(store, "never-02")
