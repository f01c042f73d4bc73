"""A folder belongs to one sweep, and one driver at a time writes in it."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.ownership import check_ownership, sole_driver, take_ownership
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.trials.config import Provenance, planned_row

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
    take_ownership(RecordStore(str(tmp_path)), sweep(data=here), resume=False, data_hash="1")
    take_ownership(RecordStore(str(tmp_path)), sweep(data=there), resume=True, data_hash="1")


def test_a_resumed_sweep_must_have_data_of_the_same_content(tmp_path: Path) -> None:
    """Also under the same path: averages over trials of two contents would carry the name of the second."""
    config, store = sweep(data={"name": "image_folder", "path": "/a/cats"}), RecordStore(str(tmp_path))
    take_ownership(store, config, resume=False, data_hash="a" * 64)
    first, second = (planned_row(trial, Provenance("s")) for trial in config.grid_trials()[:2])
    store.write_trial(second)  # it has not opened its data yet
    take_ownership(store, config, resume=True, data_hash="b" * 64)
    store.write_trial(replace(first, dataset_hash="a" * 64, status="finished"))
    moved = sweep(data={"name": "image_folder", "path": "/b/cats"})
    take_ownership(store, moved, resume=True, data_hash="a" * 64)
    written = (tmp_path / "sweep.yaml").read_text()
    assert "/b/cats" in written
    with pytest.raises(UserError) as caught:
        take_ownership(store, config, resume=True, data_hash="b" * 64)
    assert str(caught.value) == (
        f"{tmp_path}: its trials were trained on other data than image_folder:cats in /a/cats holds now "
        "(content hash aaaaaaaaaa, now bbbbbbbbbb); restore these data, or choose another folder with --out"
    )
    assert (tmp_path / "sweep.yaml").read_text() == written


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    with sole_driver(store), pytest.raises(UserError, match="another driver is at work"), sole_driver(store):
        pass
    with sole_driver(store):
        pass


def test_a_folder_belongs_to_one_sweep(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    take_ownership(store, sweep(), resume=False, data_hash="1")
    trial = planned_row(sweep().grid_trials()[0], Provenance("s"))
    store.write_trial(replace(trial, status="finished"))
    with pytest.raises(UserError, match="already holds this sweep: continue it with --resume"):
        take_ownership(store, sweep(), resume=False, data_hash="1")
    with pytest.raises(UserError, match="belongs to the sweep 's'"):
        take_ownership(store, sweep(name="other"), resume=True, data_hash="1")
    with pytest.raises(UserError, match=r"another task.num_steps \(4, now 9\)"):
        take_ownership(store, sweep(task={"name": "gan", "num_steps": 9}), resume=True, data_hash="1")
    with pytest.raises(UserError, match=r"another budget \(steps, now compute\)"):
        take_ownership(store, sweep(budget="compute"), resume=True, data_hash="1")
    take_ownership(store, sweep(seeds=[0, 1, 2]), resume=True, data_hash="1")


def test_who_adds_a_trial_to_a_sweep_does_not_replace_another(tmp_path: Path) -> None:
    """Not even one of which nothing ran; that is for who resumes it."""
    store = RecordStore(str(tmp_path))
    take_ownership(store, sweep(), resume=False, adds=True, data_hash="1")
    failed = replace(
        planned_row(sweep().grid_trials()[0], Provenance("s")), status="failed", dataset_hash="1"
    )
    store.write_trial(failed)
    take_ownership(store, sweep(), resume=False, adds=True, data_hash="1")
    with pytest.raises(UserError, match="belongs to the sweep 's'"):
        take_ownership(store, sweep(name="other"), resume=False, adds=True, data_hash="1")
    with pytest.raises(UserError, match=r"another task.num_steps \(4, now 9\)"):
        take_ownership(
            store, sweep(task={"name": "gan", "num_steps": 9}), resume=False, adds=True, data_hash="1"
        )
    with pytest.raises(UserError, match="trained on other data"):
        take_ownership(store, sweep(), resume=False, adds=True, data_hash="2")
    assert store.read_trials().num_rows == 1


def test_what_a_killed_process_was_writing_is_deleted(tmp_path: Path) -> None:
    """A checkpoint may be large; what is young may belong to a process that lives."""
    names = [
        "checkpoints/none-1/.000000010.pt.0123456789ab.tmp",
        "trials/.none-1.parquet.0123456789ab.tmp",
        "notes/.draft.tmp",
        "notes/x.0123456789ab.tmp",
    ]
    for name in names:
        for age, folder in ((3700, tmp_path / "old"), (60, tmp_path / "young")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x")
            os.utime(folder / name, (time.time() - age,) * 2)
    for aged, kept in (("old", names[2:]), ("young", names)):
        store = RecordStore(str(tmp_path / aged))
        take_ownership(store, sweep(), resume=False, data_hash="1")
        files = [file for file in (tmp_path / aged).rglob("*.tmp") if file.is_file()]
        assert {str(file.relative_to(tmp_path / aged)) for file in files} == set(kept)


OTHERS: dict[str, dict[str, Any]] = {
    "another batch": {"task": {"name": "gan", "num_steps": 4, "batch_size": 8}},
    "another name": {"name": "other"},
    "another arm": {"arms": ["none", {"name": "jigsaw", "negative": {"name": "jigsaw", "grid": 3}}]},
    "other data": {},
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_folder_in_which_nothing_ever_ran_may_be_resumed_with_another_file(
    tmp_path: Path, case: str
) -> None:
    """A batch that does not fit into memory, for example, fails in the first step of every trial."""
    first, other, store = sweep(), sweep(**OTHERS[case]), RecordStore(str(tmp_path))
    take_ownership(store, first, resume=False, data_hash="1")
    planned = planned_row(first.grid_trials()[0], Provenance("s"))
    failed = replace(planned, status="failed", error="out of memory", dataset_hash="1")
    score = {"fd": Measurement(1.0, better="lower", protocol={})}
    store.write_trial(failed)
    store.write_progress("s", failed.trial_id, 0, score, {"samples.png": b"png"})
    with pytest.raises(UserError):
        check_ownership(store, other, resume=False)
    check_ownership(store, other, resume=True)
    take_ownership(store, first, resume=True, data_hash="1")
    assert store.read_trials().num_rows == 1, "the same sweep keeps what it has"
    take_ownership(store, other, resume=True, data_hash="2")
    assert not store.read_trials().num_rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.yaml", "sweep.yaml"]
    check_ownership(store, other, resume=True)


@pytest.mark.parametrize(
    "ran", ["a step", "a checkpoint", "compacted metrics", "running", "finished", "diverged"]
)
def test_a_folder_in_which_something_ran_keeps_its_file(tmp_path: Path, ran: str) -> None:
    first, store = sweep(), RecordStore(str(tmp_path))
    take_ownership(store, first, resume=False, data_hash="1")
    row = replace(planned_row(first.grid_trials()[0], Provenance("s")), status="stopped", dataset_hash="1")
    match ran:
        case "a step" | "compacted metrics":
            loss = {"loss": Measurement(1.0, better="lower", protocol={})}
            store.write_progress("s", row.trial_id, 2, loss, {})
            if ran == "compacted metrics":
                store.compact(row.trial_id)
        case "a checkpoint":
            store.write_bytes(f"checkpoints/{row.trial_id}/000000002.pt", b"")
        case "running" | "finished" | "diverged":
            row = replace(row, status=ran)
    store.write_trial(row)
    with pytest.raises(UserError, match=r"another task\.num_steps"):
        check_ownership(store, sweep(task={"name": "gan", "num_steps": 9}), resume=True)
    with pytest.raises(UserError, match="trained on other data"):
        take_ownership(store, first, resume=True, data_hash="2")
    assert store.read_trials().num_rows == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- 1",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"name: s",
        b"a: [",
        b"name: s\ntask: 1\ndata: 2\narms: [{}]",
    ],
)
def test_a_damaged_sweep_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    store = RecordStore(str(tmp_path))
    store.write_bytes("sweep.yaml", content)
    with pytest.raises(
        UserError, match=r"sweep\.yaml: damaged \(.*\); restore it, or choose another"
    ) as caught:
        check_ownership(store, sweep(), resume=True)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_key_that_an_older_version_did_not_know_has_its_default(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    owner = sweep().model_dump(mode="json", by_alias=True)
    del owner["task"]["latent_dim"], owner["objective"]
    store.write_bytes("sweep.yaml", yaml.safe_dump(owner).encode())
    check_ownership(store, sweep(), resume=True)


def test_negatives_may_move_and_must_keep_their_content(tmp_path: Path) -> None:
    def against(path: str) -> SweepConfig:
        data = {"name": "image_folder", "path": path, "known_as": "near misses"}
        return sweep(arms=["none", {"name": "near", "negative": {"name": "dataset", "data": data}}])

    def take(path: str, content: str) -> None:
        hashes = {"near": [content * 64]}
        take_ownership(store, against(path), resume=True, data_hash="1", negative_data=hashes)

    store = RecordStore(str(tmp_path))
    take_ownership(store, against("/a"), resume=False, data_hash="1")
    trial = next(one for one in against("/a").grid_trials() if one.arm == "near")
    pairs = f'[["image_folder:near misses", "{"a" * 64}"]]'
    store.write_trial(replace(planned_row(trial, Provenance("s")), negative_data_json=pairs))
    take("/b", "a")
    with pytest.raises(UserError) as caught:
        take("/b", "b")
    assert str(caught.value) == (
        f"{tmp_path}: arm 'near' drew negatives from another image_folder:near misses than it is now "
        "(content hash aaaaaaaaaa, now bbbbbbbbbb); restore these data, or choose another folder with --out"
    )


def test_the_plan_is_the_sweep_before_its_first_step(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    take_ownership(store, sweep(), resume=False, data_hash="1")
    take_ownership(store, sweep(seeds=[0, 1, 2]), resume=True, data_hash="1")
    plan = tmp_path / "plan.yaml"
    assert yaml.safe_load(plan.read_text())["seeds"] == [0, 1, 2], "nothing has run yet"
    trial = planned_row(sweep().grid_trials()[0], Provenance("s"))
    store.write_trial(replace(trial, status="finished", dataset_hash="1"))
    take_ownership(store, sweep(seeds=[0, 1, 2, 3]), resume=True, data_hash="1")
    assert yaml.safe_load(plan.read_text())["seeds"] == [0, 1, 2]
    plan.unlink()  # as in a folder of an older version
    take_ownership(store, sweep(seeds=[0, 1, 2, 3, 4]), resume=True, data_hash="1")
    assert yaml.safe_load(plan.read_text())["seeds"] == [0, 1, 2, 3], "the sweep that the folder had"
