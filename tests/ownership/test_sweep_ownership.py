"""A folder belongs to one sweep, and one driver at a time writes in it."""

from pathlib import Path
from typing import Any

import pytest

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.ownership import sole_driver, take_ownership
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore

BASE = {
    "name": "s",
    "task": {"name": "gan", "num_steps": 4},
    "data": {"name": "digits"},
    "arms": ["none", "jigsaw", {"positive": "flip"}],
    "search": {"lambda": [0.25, 0.5]},
    "seeds": [0, 1],
}


def sweep(**changes: Any) -> SweepConfig:
    return parse(SweepConfig, {**BASE, **changes}, "s.yaml")


def test_a_sweep_may_move_to_where_its_data_lie_elsewhere(tmp_path: Path) -> None:
    here, there = (
        {"name": "cifar10", "path": path, "decode_workers": n} for path, n in (("/a", 1), ("/b", 2))
    )
    assert [t.trial_id for t in sweep(data=here).grid_trials()] == [
        t.trial_id for t in sweep(data=there).grid_trials()
    ]
    take_ownership(RecordStore(str(tmp_path)), sweep(data=here), resume=False)
    take_ownership(RecordStore(str(tmp_path)), sweep(data=there), resume=True)


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    with sole_driver(store), pytest.raises(UserError, match="another driver is at work"), sole_driver(store):
        pass
    with sole_driver(store):
        pass


def test_a_folder_belongs_to_one_sweep(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    take_ownership(store, sweep(), resume=False)
    with pytest.raises(UserError, match="already holds this sweep: continue it with --resume"):
        take_ownership(store, sweep(), resume=False)
    with pytest.raises(UserError, match="belongs to the sweep 's'"):
        take_ownership(store, sweep(name="other"), resume=True)
    with pytest.raises(UserError, match="another 'task'"):
        take_ownership(store, sweep(task={"name": "gan", "num_steps": 9}), resume=True)
    take_ownership(store, sweep(seeds=[0, 1, 2]), resume=True)
