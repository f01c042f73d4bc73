"""A folder of results belongs to one sweep, and one driver at a time writes in it."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import yaml
from filelock import FileLock, Timeout

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.ownership.lease import Lease
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import PLAN_FILE, RECORDED, SCHEMA_VERSION, SWEEP_FILE, RecordStore
from ndabench.records.damage import PLACEHOLDER, DamagedError, require_intact, sealed
from ndabench.records.retry import reason
from ndabench.trials.config import without_locations
from ndabench.yaml_reading import parse_yaml

MUST_AGREE = ("task", "data", "evaluate", "objective", "budget")


def take_ownership(
    store: RecordStore,
    config: SweepConfig,
    *,
    resume: bool,
    adds: bool = False,
    data_hash: str,
    negative_data: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Marks the folder as this sweep's. Raises `UserError` where `check_ownership` does, and where recorded
    trials saw data of another content than `data_hash`, or drew their negatives from data of another content
    than `negative_data` gives for their arm.

    Replaces what another sweep, or one of other data, recorded without a single training step.
    """
    check_ownership(store, config, resume=resume, adds=adds)
    now = store.without_retry()
    other = _other_content(now, config, data_hash) or _other_negative_data(now, negative_data)
    if problem := _conflict(now, config) or other:
        if not resume or _has_run(now):
            raise UserError(problem)
        for folder in RECORDED:
            now.delete(folder)
    mine = config.model_dump(mode="json", by_alias=True)
    text = f"# {PLACEHOLDER}\n{yaml.safe_dump(mine, sort_keys=False, allow_unicode=True)}"
    content, before = sealed(text.encode()), now.read_bytes(SWEEP_FILE)
    if before is None or not _has_run(now):
        now.write_bytes(PLAN_FILE, content)
    elif now.read_bytes(PLAN_FILE) is None:  # the folder is of a version that kept no plan
        now.write_bytes(PLAN_FILE, before)
    now.write_bytes(SWEEP_FILE, content)
    now.delete_unfinished()


def check_ownership(store: RecordStore, config: SweepConfig, *, resume: bool, adds: bool = False) -> None:
    """Raises `UserError` where this sweep must not write in the folder; writes nothing.

    A driver that only `adds` trials to those of the same sweep need not `resume` it.
    A resumed sweep may add arms, seeds and searched values. Its task, data and evaluations must be the same,
    or its arms would no longer be comparable. An arm must not change either, or the report would average the
    results of two different arms under one name. None of that matters before a trial has taken a step.
    """
    now = store.without_retry()  # a mistake in --out must not look like an outage
    theirs, where = _owner(now), store.root
    if theirs is None:
        return
    if not (resume or adds) and theirs["name"] == config.name:
        raise UserError(
            f"{where} already holds this sweep: continue it with --resume, or choose another --out"
        )
    problem = _conflict(now, config)
    if problem and (not resume or _has_run(now)):
        raise UserError(problem)


def recorded_sweep(store: RecordStore) -> SweepConfig:
    """The sweep that the folder belongs to; `UserError` where there is none, or it cannot be read."""
    content, where = store.without_retry().read_bytes(SWEEP_FILE), store.local_path(SWEEP_FILE)
    if content is None:
        raise UserError(f"{store.root}: no sweep here; give the folder of one, e.g. reports/quickstart")
    try:
        keys = _intact_keys(content)
    except DamagedError as error:
        raise UserError(f"{where}: damaged ({error}); restore it") from None
    return parse(SweepConfig, keys, where)


def _intact_keys(content: bytes) -> dict[str, Any]:
    """The keys in the content of a recorded sweep file; `DamagedError` where it is not as it was written."""
    require_intact(content)
    try:
        keys = parse_yaml(content.decode())
    except ValueError as error:
        raise DamagedError(str(error)[:200]) from None
    if not isinstance(keys, dict):
        raise DamagedError("it is no mapping of keys to values")
    return keys


def _owner(store: RecordStore) -> dict[str, Any] | None:
    """The sweep that the folder belongs to; None for a new one, `UserError` where that cannot be told."""
    where, version = store.root, store.schema_version()
    if version is not None and version < SCHEMA_VERSION:
        raise UserError(
            f"{where} holds records of schema version {version}, which ndabench.report still reads; "
            f"a sweep can only continue version {SCHEMA_VERSION}: choose another folder with --out"
        )
    existing = store.read_bytes(SWEEP_FILE)
    if existing is not None:
        return _read_owner(existing, store.local_path(SWEEP_FILE))
    if store.list("trials"):
        raise UserError(f"{where} holds the records of an unknown sweep; choose another folder with --out")
    return None


def _conflict(store: RecordStore, config: SweepConfig) -> str:
    """Why the results of this sweep do not belong with those in the folder; empty if they do."""
    theirs, where = _owner(store), store.root
    if theirs is None:
        return ""
    mine = config.model_dump(mode="json", by_alias=True)
    if theirs["name"] != mine["name"]:
        return f"{where} belongs to the sweep {theirs['name']!r}; choose another folder with --out"
    before, after = without_locations(theirs), without_locations(mine)
    for key in MUST_AGREE:
        if changed := _difference(before[key], after[key], key):
            return (
                f"{where} was started with another {changed}, which a resumed sweep must keep; "
                "choose another folder with --out"
            )
    known = {arm["name"]: arm for arm in before["arms"]}
    for arm in after["arms"]:
        if known.get(arm["name"], arm) != arm:
            return (
                f"{where} was started with another arm {arm['name']!r}, which a resumed sweep must keep; "
                "give the new arm another name, or choose another folder with --out"
            )
    return ""


def _has_run(store: RecordStore) -> bool:
    """Whether any trial in the folder has taken a training step, or may be taking its first one now."""
    files = [PurePosixPath(path) for path in (*store.list("metrics"), *store.list("checkpoints"))]
    ended = {"failed", "stopped"}  # every other status is a result, or of a process that may live
    return bool(set(store.read_trials()["status"].to_pylist()) - ended) or any(
        file.stem != f"{0:09d}" for file in files
    )


def _read_owner(content: bytes, path: str) -> dict[str, Any]:
    """The sweep that a folder belongs to, with the defaults of keys that an older version did not know.

    Raises `UserError` for a file that is no sweep's, or not as it was written.
    """
    theirs: dict[str, Any] = {}
    try:
        theirs = _intact_keys(content)
        filled = parse(SweepConfig, theirs, path).model_dump(mode="json", by_alias=True)
    except DamagedError as error:
        filled, why = {}, str(error)
    except UserError as error:
        filled, why = {"budget": "steps", **theirs}, str(error).removeprefix(f"{path}: ")
    missing = [key for key in ("name", "arms", *MUST_AGREE) if key not in filled]
    named = isinstance(filled.get("arms"), list) and all(
        isinstance(arm, dict) and isinstance(arm.get("name"), str) for arm in filled["arms"]
    )
    blocks = isinstance(filled.get("evaluate"), (list, tuple)) and all(
        isinstance(filled.get(key), dict) for key in ("task", "data")
    )
    if missing or not named or not blocks:
        raise UserError(f"{path}: damaged ({why}); restore it, or choose another folder with --out")
    return filled


def _difference(theirs: Any, mine: Any, key: str) -> str:
    """The first key below `key` whose values differ, with both; empty if none does."""
    if theirs == mine:
        return ""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        for name in (*mine, *theirs):
            if found := _difference(theirs.get(name), mine.get(name), f"{key}.{name}"):
                return found
    return f"{key} ({str(theirs)[:80]}, now {str(mine)[:80]})"


def _other_content(store: RecordStore, config: SweepConfig, data_hash: str) -> str:
    """Why the trials in the folder saw other data; empty if they saw these. A data set's folder may move, and
    its content must stay: one row of results per content."""
    seen = {known for known in store.read_trials()["dataset_hash"].to_pylist() if known}
    other = sorted(seen - {data_hash})
    if not other:
        return ""
    path = getattr(config.data, "path", None)
    where = f" in {path}" if path is not None else ""
    return (
        f"{store.root}: its trials were trained on other data than {config.data.title}{where} holds now "
        f"(content hash {other[0][:10]}, now {data_hash[:10]}); restore these data, or choose another "
        "folder with --out"
    )


def _other_negative_data(store: RecordStore, negative_data: Mapping[str, Sequence[str]]) -> str:
    """The same for the data sets that the arms' negatives are drawn from."""
    trials = store.read_trials()
    columns = (trials[name].to_pylist() for name in ("arm", "negative_data_json"))
    for arm, recorded in zip(*columns, strict=True):
        for (title, known), now in zip(
            json.loads(recorded or "[]"), negative_data.get(arm, ()), strict=False
        ):
            if known != now:
                return (
                    f"{store.root}: arm {arm!r} drew negatives from another {title} than it is now (content "
                    f"hash {known[:10]}, now {now[:10]}); restore these data, or choose another folder with "
                    "--out"
                )
    return ""


def require_same_data(store: RecordStore, config: SweepConfig, data_hash: str) -> None:
    """Raises `UserError` where the recorded trials saw data of another content than `data_hash`."""
    if problem := _other_content(store.without_retry(), config, data_hash):
        raise UserError(problem)


def require_owned(store: RecordStore) -> None:
    """Raises `UserError` on a node that does not see the folder of the sweep's driver."""
    if store.read_bytes(SWEEP_FILE) is None:
        raise UserError(
            f"{store.root}: the sweep's folder is not seen on {socket.gethostname()}; "
            "--out must lie where every node sees it"
        )


@contextlib.contextmanager
def sole_driver(store: RecordStore) -> Iterator[None]:
    """Keeps other drivers out of the folder while the block lasts; raises `UserError` where one is at work.

    A local folder is locked, and the lock ends with the process, however that ends. On an object store a
    `Lease` takes its place: a driver that loses its lease is interrupted, and a `UserError` says so.
    """
    if store.is_local:
        with _locked(Path(store.local_path(".driver.lock"))):
            yield
        return
    lease = Lease(store, on_lost=lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        lease.take()
        yield
    except KeyboardInterrupt:
        if not lease.lost:
            raise
    finally:
        lease.release()
    if lease.lost:
        raise UserError(f"{store.root}: another driver took this sweep over while this one was silent")


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{file.parent}: another driver is at work here; wait, or stop it") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({reason(error)})") from error
    try:
        yield
    finally:
        lock.release()
