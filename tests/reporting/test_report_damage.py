"""A report of damaged records names what it leaves out, and shows the rest."""

from pathlib import Path

import pytest

from ndabench.config import parse
from ndabench.ownership import take_ownership
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.reporting.frames import _read_sweep
from ndabench.reporting.page import report_spec
from tests.reporting.synthetic import Trial, finals, record


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    store = RecordStore(str(tmp_path))
    record(store, Trial("none", 1, 0), finals(1.0))
    record(store, Trial("none", 1, 1), finals(2.0))
    return store


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- 1",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"a: [",
        b"seeds: 5",
        b"arms: [{}]",
        b"arms: 3",
        b"seeds: [[1]]",
    ],
)
def test_a_damaged_sweep_file(store: RecordStore, content: bytes) -> None:
    store.write_bytes("sweep.yaml", content)
    (line,) = (line for line in report_spec(store).headline if line.startswith("Left out: "))
    assert line.startswith(f"Left out: {store.root}/sweep.yaml: damaged (")
    assert len(line) < 300


def test_a_damaged_trial_is_named_and_the_other_is_shown(store: RecordStore) -> None:
    first, _ = sorted(Path(store.root, "trials").iterdir())
    first.write_bytes(first.read_bytes()[:100])
    spec = report_spec(store)
    assert any(line.startswith(f"Left out: {first}: damaged (") for line in spec.headline)
    assert [fact.value for fact in spec.facts if fact.name == "trials"] == ["1: 1 finished"]


def test_a_name_that_acts_is_escaped(store: RecordStore) -> None:
    first, _ = sorted(Path(store.root, "trials").iterdir())
    first.with_name("a\x1b[2J.parquet").write_bytes(b"")
    (line,) = (line for line in report_spec(store).headline if line.startswith("Left out: "))
    assert line.startswith(rf"Left out: {store.root}/trials/a\x1b[2J.parquet: ")


def test_every_flipped_bit_of_a_sweep_file_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    """One bit of every fourth byte; a flip in the words before the checksum is in a comment."""
    sweep = {"name": "s", "task": "gan", "data": "digits", "arms": ["none"], "seeds": [1, 2]}
    store = RecordStore(str(tmp_path))
    take_ownership(store, parse(SweepConfig, sweep, "s"), resume=False, data_hash="")
    content = store.read_bytes("sweep.yaml") or b""
    whole, problems = _read_sweep(content)
    assert not problems
    for place in range(0, len(content), 4):
        changed = bytearray(content)
        changed[place] ^= 1 << place // 4 % 8
        read, problems = _read_sweep(bytes(changed))
        assert problems or read == whole, place
