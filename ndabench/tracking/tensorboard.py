"""Curves for TensorBoard: `tensorboard --logdir <folder of the sweep>/tensorboard`.

A trial's folder holds one small event file a step, named by it, written whole and never again: so they suit
object stores, and a trial that is run again or resumed replaces them. TensorBoard reads a folder's files in
the order of their names.

When the trial has ended they are folded into the first one, which only grows by that: a TensorBoard that has
read any of them finds nothing that it has read already.
"""

import struct
import time
from collections.abc import Iterator, Mapping

from ndabench.measurement import Measurement
from ndabench.records import RecordStore

FOLDER = "tensorboard"


def write_curves(store: RecordStore, trial_id: str, step: int, metrics: Mapping[str, Measurement]) -> None:
    """Writes the event file of one step; nothing without tensorboardX, which comes with Ray."""
    values = {name: float(measurement.value) for name, measurement in metrics.items()}
    data = event_file(step, values, time.time()) if values else None
    if data is not None:
        store.write_bytes(f"{FOLDER}/{trial_id}/events.out.tfevents.{step:010d}", data)


def compact_curves(store: RecordStore, trial_id: str) -> None:
    """Puts the event files of a trial into one. May be cut short or begun anew: the later file counts."""
    files = store.list(f"{FOLDER}/{trial_id}")
    try:
        from tensorboardX.proto.event_pb2 import Event
    except ImportError:
        return
    if len(files) < 2:
        return
    head, steps = b"", dict[int, bytes]()
    for content in store.read_all(files):
        for record in _framed_records(content or b""):
            event = Event.FromString(record[12:-4])
            if event.file_version:
                head = head or record
            else:
                steps[event.step] = record
    store.write_bytes(files[0], head + b"".join(steps[step] for step in sorted(steps)))
    store.delete_all(files[1:])


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


def _framed_records(content: bytes) -> Iterator[bytes]:
    """The records of an event file, each with its length and checksums around it."""
    start = 0
    while start < len(content):
        end = start + 16 + struct.unpack_from("<Q", content, start)[0]
        yield content[start:end]
        start = end
