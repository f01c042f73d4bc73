"""Whose a folder of results is: one sweep's, and one driver's at a time."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from ndabench.errors import UserError
from ndabench.lease import Lease
from ndabench.records import SCHEMA_VERSION, RecordStore
from ndabench.records.retry import reason
from ndabench.sweepfile import SweepConfig
from ndabench.trials import without_places

CLAIM = "sweep.yaml"
MUST_AGREE = ("task", "data", "evaluate", "objective")


def claim(store: RecordStore, config: SweepConfig, *, resume: bool) -> None:
    """Makes the folder this sweep's own; `UserError` where `check_claim` has one."""
    check_claim(store, config, resume=resume)
    mine = config.model_dump(mode="json", by_alias=True)
    store.without_retry().write_bytes(
        CLAIM, yaml.safe_dump(mine, sort_keys=False, allow_unicode=True).encode()
    )


def check_claim(store: RecordStore, config: SweepConfig, *, resume: bool) -> None:
    """Raises `UserError` where the folder is not this sweep's to write in; writes nothing.

    A resumed sweep may have more arms, seeds or search than before, never another task, data or evaluation:
    its arms would no longer be comparable. Nor may an arm of the same name be another: what was recorded of
    the one would be averaged with the other.
    """
    mine = config.model_dump(mode="json", by_alias=True)
    where = store.root
    now = store.without_retry()  # a mistake in --out must not look like an outage
    existing = now.read_bytes(CLAIM)
    version = now.schema_version()
    if version is not None and version < SCHEMA_VERSION:
        raise UserError(
            f"{where} holds records of schema version {version}, which ndabench.report still reads; "
            f"a sweep can only continue version {SCHEMA_VERSION}: choose another folder with --out"
        )
    if existing is None and now.list("trials"):
        raise UserError(f"{where} holds the records of an unknown sweep; choose another folder with --out")
    if existing is not None:
        theirs = yaml.safe_load(existing)
        if theirs["name"] != mine["name"]:
            raise UserError(
                f"{where} belongs to the sweep {theirs['name']!r}; choose another folder with --out"
            )
        if not resume:
            raise UserError(
                f"{where} already holds this sweep: continue it with --resume, or choose another --out"
            )
        changed = [key for key in MUST_AGREE if without_places(theirs)[key] != without_places(mine)[key]]
        if changed:
            raise UserError(
                f"{where} was started with another {changed[0]!r}, which a resumed sweep must keep; "
                "choose another folder with --out"
            )
        known = {arm["name"]: arm for arm in theirs["arms"]}
        for arm in mine["arms"]:
            if known.get(arm["name"], arm) != arm:
                raise UserError(
                    f"{where} was started with another arm {arm['name']!r}, which a resumed sweep must keep; "
                    "give the new one a name of its own, or choose another folder with --out"
                )


def require_claimed(store: RecordStore) -> None:
    """Raises `UserError` on a node that does not see the folder which the sweep's driver has claimed."""
    if store.read_bytes(CLAIM) is None:
        raise UserError(
            f"{store.root}: the sweep's folder is not seen on {socket.gethostname()}; "
            "--out must lie where every node sees it"
        )


@contextlib.contextmanager
def sole_driver(store: RecordStore) -> Iterator[None]:
    """Keeps other drivers of sweeps out of the folder; raises `UserError` where one is at work.

    A local folder is locked, and the lock goes with its process, however that ends. Elsewhere there is a
    `Lease`: a driver that lost it is interrupted, and told so by a `UserError`.
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
