"""Curves for TensorBoard: `tensorboard --logdir <folder of the sweep>/tensorboard`.

A trial's folder holds one small event file a step, named by it, written whole and never again: so they suit
object stores, and a trial that is run again or resumed replaces them. TensorBoard reads a folder's files in
the order of their names.
"""

import struct
import time
from collections.abc import Mapping

from ndabench.measurement import Measurement
from ndabench.records import RecordStore

FOLDER = "tensorboard"


def write_curves(store: RecordStore, trial_id: str, step: int, metrics: Mapping[str, Measurement]) -> None:
    """Writes the event file of one step; nothing without tensorboardX, which comes with Ray."""
    values = {name: float(measurement.value) for name, measurement in metrics.items()}
    data = event_file(step, values, time.time()) if values else None
    if data is not None:
        store.write_bytes(f"{FOLDER}/{trial_id}/events.out.tfevents.{step:010d}", data)


def event_file(step: int, values: Mapping[str, float], wall_time: float) -> bytes | None:
    """A whole event file of scalars; None without tensorboardX."""
    try:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary
    except ImportError:
        return None
    scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    events = [
        Event(wall_time=wall_time, file_version="brain.Event:2"),
        Event(wall_time=wall_time, step=step, summary=Summary(value=scalars)),
    ]
    return b"".join(_framed(event.SerializeToString()) for event in events)


def _framed(record: bytes) -> bytes:
    """A record of a TFRecord file: length, its checksum, the bytes, their checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(record))
    checksums = [struct.pack("<I", masked_crc32c(part)) for part in (length, record)]
    return length + checksums[0] + record + checksums[1]
